#!/usr/bin/env bash
# np.interp gives the right-hand value everywhere in a piece that begins at -inf.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   NaN, as the slope of that piece is 0 and the distance from its knot infinite;
#            or the left-hand value, which is where a flat piece comes from.
# Seen       np.interp([-5, 0.5], [-inf, 1], [3, 7]) is [7, 7]: the value at the right end
#            holds in the whole piece, and jumps to 3 at -inf itself.  Where both *values*
#            are infinite with other signs the result is NaN, also at the middle.
# Source     numpy/_core/src/multiarray/compiled_base.c: where the formula from the left
#            knot is NaN it is taken once more from the right one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

inf = np.inf
got = np.interp([-inf, -5.0, 0.5], [-inf, 1.0], [3.0, 7.0])
print("values", got)
np.testing.assert_array_equal(got, [3.0, 7.0, 7.0])
values = np.interp([0.25, 0.5, 0.75], [0.0, 1.0], [-inf, inf])
print("between infinite values", values)
assert np.isnan(values).all()
PYTHON

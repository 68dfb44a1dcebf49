#!/usr/bin/env bash
# np.trapezoid wraps in small integers although its result is a float.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   the area below two samples of 200 at distance 1 is 200, whatever integer they
#            are stored in; so is one unit of height over abscissae 5 and 2: -3.
# Seen       for uint8 samples [200, 200] it is 72.0 (their sum wraps at 256 before it is
#            halved); for uint8 abscissae [5, 2] it is 253.0 (their difference wraps).
#            np.mean, np.median and np.gradient of the same arrays do not wrap.
# Source     numpy/lib/_function_base_impl.py: d * (y[1:] + y[:-1]) / 2 in the dtypes given.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

y = np.array([200, 200], np.uint8)
x = np.array([5, 2], np.uint8)
print("samples", np.trapezoid(y), "abscissae", np.trapezoid([1.0, 1.0], x))
assert np.trapezoid(y) == 72.0
assert np.trapezoid([1.0, 1.0], x) == 253.0
assert np.trapezoid(y.astype(int)) == 200.0
assert np.mean(y) == np.median(y) == 200.0
np.testing.assert_array_equal(np.gradient(x), [-3.0, -3.0])
PYTHON

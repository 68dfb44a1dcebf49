#!/usr/bin/env bash
# np.quantile(a, 0.5) is NaN where np.median(a) is finite, if the next value is infinite.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   the middle one of three sorted values is their quantile at 0.5, whatever the
#            third is: 2 for [1, 2, inf], as np.median says, and -inf for [-inf].
# Seen       np.quantile([1, 2, inf], 0.5) is NaN with a RuntimeWarning, and so is
#            np.quantile([-inf], 0.5); with method="lower" both are right.
# Why        numpy/lib/_function_base_impl.py, _lerp, adds to the lower value the difference
#            to the upper one, times a weight that is 0 here: 0 times infinity.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np

warnings.simplefilter("ignore", RuntimeWarning)
a = np.array([1.0, 2.0, np.inf])
print(np.median(a), np.quantile(a, 0.5), np.quantile(a, 0.5, method="lower"))
print(np.median(-a[2:]), np.quantile(-a[2:], 0.5))
assert np.median(a) == 2.0 and np.quantile(a, 0.5, method="lower") == 2.0
assert np.isnan(np.quantile(a, 0.5))
assert np.isnan(np.quantile(-a[2:], 0.5)) and np.quantile(-a[2:], 0.5, method="lower") == -np.inf
PYTHON

#!/usr/bin/env bash
# In Numba a float literal makes a float32 array float64, an integer literal does not.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11)
# Expected   with NumPy 2 underneath, Python numbers are weak: a float32 array stays
#            float32 when it meets 2.0, and if Numba widened it, it would for 2 as well.
# Seen       float32 array * 2.0, + 1.0, ** 0.5, np.maximum(·, 0.0) and np.where(·, ·, 0.0)
#            are float64 in an @njit function; * 2, / 2 and ** 2 are float32.  All eight
#            are float32 in NumPy.  A kernel written for float32 doubles its memory by a
#            decimal point.
# Source     found by comparing dtypes; literals are typed as float64 and int64 scalars,
#            and the rules for arrays with scalars are those from before NumPy 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy as np

WIDENED = {
    "a * 2.0": lambda a: a * 2.0,
    "a + 1.0": lambda a: a + 1.0,
    "a ** 0.5": lambda a: a**0.5,
    "np.maximum(a, 0.0)": lambda a: np.maximum(a, 0.0),
    "np.where(a > 0, a, 0.0)": lambda a: np.where(a > 0, a, 0.0),
}
KEPT = {
    "a * 2": lambda a: a * 2,
    "a / 2": lambda a: a / 2,
    "a ** 2": lambda a: a**2,
}
a = np.ones(3, np.float32)
for text, f in (WIDENED | KEPT).items():
    compiled, plain = numba.njit(f)(a).dtype, f(a).dtype
    print(f"{text:26} Numba {compiled}, NumPy {plain}")
    assert plain == np.float32
    assert compiled == (np.float64 if text in WIDENED else np.float32)
PYTHON

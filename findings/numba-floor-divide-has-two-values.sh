#!/usr/bin/env bash
# Numba's np.floor_divide and its // are two functions with two values.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11)
# Expected   inside one @njit function np.floor_divide(a, b) and a // b are the same
#            number, as they are in NumPy and in Python.
# Seen       np.floor_divide(6.0, 0.1) is 60 and 6.0 // 0.1 is 59; for 1.0 and -inf they
#            are -0.0 and -1.0.  NumPy and Python say 59 and -1 for both spellings.
# Why        numba/np/npyfuncs.py computes the ufunc as floor(a / b), which rounds before
#            it takes the floor; numba/cpython/numbers.py follows Python's divmod.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy as np


def both(a, b):
    return np.floor_divide(a, b), a // b


compiled = numba.njit(both)
print("Numba", compiled(6.0, 0.1), compiled(1.0, -np.inf))
print("NumPy", both(6.0, 0.1), both(1.0, -np.inf))
assert compiled(6.0, 0.1) == (60.0, 59.0)
assert compiled(1.0, -np.inf) == (0.0, -1.0)
assert both(6.0, 0.1) == (59.0, 59.0)
assert both(1.0, -np.inf) == (-1.0, -1.0)
PYTHON

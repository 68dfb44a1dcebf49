#!/usr/bin/env bash
# In Numba a uint16 with a float32 makes a float64, and an int16 with it a float32.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11)
# Expected   float32 for both: it holds every integer of 16 bits, and NumPy says so.
# Seen       np.uint16(7) * np.float32(0.1) is 0.10000000149 * 7 in float64, while
#            np.int16(7) * np.float32(0.1) is a float32; arrays of the two types, too,
#            are float32, for ufuncs go by NumPy's table.
# Why        numba/core/typeconv/rules.py has int16 to float32 among the safe conversions
#            and takes uint16 to uint32 and int32 alone, from which float64 is next.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy as np


@numba.njit
def product(a, b):
    return a * b


def made(a, b):
    product(a, b)
    return product.overloads[(numba.typeof(a), numba.typeof(b))].signature.return_type


tenth = np.float32(0.1)
for kind in (np.int16, np.uint16):
    ones = np.ones(2, kind)
    print(kind.__name__, made(kind(7), tenth), made(ones, ones * tenth), (kind(7) * tenth).dtype)
assert made(np.int16(7), tenth) == numba.float32
assert made(np.uint16(7), tenth) == numba.float64
arrays = product(np.ones(2, np.uint16), np.ones(2, np.float32))
assert arrays.dtype == np.float32
assert (np.uint16(7) * tenth).dtype == np.float32
PYTHON

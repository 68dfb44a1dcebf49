#!/usr/bin/env bash
# In Numba -x and 0 - x are two numbers if x is an unsigned integer of few bits.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11)
# Expected   arithmetic on integers of less than 64 bits is done in 64, as documented, so
#            that -np.uint8(1) is -1 or 2**64 - 1, and the same as 0 - np.uint8(1).
# Seen       -np.uint8(1) is 255 and ~np.uint8(1) is 254, both uint64, while
#            0 - np.uint8(1) is -1; -np.int8(-128) is -128, in int64, and
#            0 - np.int8(-128) is 128.
# Why        numba/cpython/numbers.py, int_negate_impl and int_invert_impl, computes in the
#            operand's own width and converts what comes out; binary operators convert first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numba
import numpy as np


@numba.njit
def negative(x):
    return -x, 0 - x


@numba.njit
def inverse(x):
    return ~x


for x in (np.uint8(1), np.uint32(1), np.int8(-128)):
    print(type(x).__name__, x, negative(x), negative.overloads[(numba.typeof(x),)].signature)
assert negative(np.uint8(1)) == (255, -1)
assert negative(np.uint32(1)) == (2**32 - 1, -1)
assert negative(np.int8(-128)) == (-128, 128)
assert inverse(np.uint8(1)) == 254
made = inverse.overloads[(numba.uint8,)].signature.return_type
assert made == numba.uint64, made
PYTHON

#!/usr/bin/env bash
# np.power.reduce and np.arctan2.reduce of a contiguous axis are f(first, last) on AVX-512.
#
# Versions   numpy 2.4.6 (Python 3.11), a processor with AVX-512 (X86_V4)
# Expected   a left fold, as of any ufunc: np.power.reduce([4., 3., 2.]) is (4**3)**2,
#            which np.power.accumulate ends with and which arrays of objects give.
# Seen       16.0 = 4**2: all elements but the first and the last are left out; so is
#            np.arctan2.reduce, and both in float32.  Right where AVX-512 is switched off
#            (NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL").
# Source     not traced in the source; strided axes (x[::-1]) are right, so it is their loop.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

x = np.array([4.0, 3.0, 2.0])
print("reduce", np.power.reduce(x), "accumulate", np.power.accumulate(x)[-1])
assert np.power.accumulate(x)[-1] == np.power.reduce(x.astype(object)) == 4096.0
assert np.power.reduce(x) == 16.0  # 4096 without AVX-512
assert np.arctan2.reduce(x) == np.arctan2(4.0, 2.0)
PYTHON

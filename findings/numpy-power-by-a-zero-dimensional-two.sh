#!/usr/bin/env bash
# NumPy 2.2's x**y has another dtype than its np.power(x, y), where y is a 0-d array of 2.
#
# Versions   numpy 2.2.6 and 2.3.0 (Python 3.11)
# Expected   the operator and the ufunc are one function, and with NumPy 2 a 0-d float64
#            array is as strong as any: float32 ** float64 is float64, whatever its value.
# Seen       in 2.2.6 a float32 array ** np.array(2.0) is float32, and np.power of the same
#            two is float64; so the dtype depends on the operator's short cut for squares.
#            From 2.3.0 both are float64.  A package that follows one of them to the last
#            bit has to ask for a NumPy of one side.
# Source     numpy/_core/src/multiarray/number.c, fast_scalar_power, rewritten for 2.3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 2.2.6 2.3.0; do
    "$folder/venv/bin/pip" install --quiet "numpy==$version"
    "$folder/venv/bin/python" - "$version" <<'PYTHON'
import sys

import numpy as np

x, two = np.ones(3, np.float32), np.array(2.0)
found = (x**two).dtype, np.power(x, two).dtype
print("NumPy", np.__version__, "operator", found[0], "ufunc", found[1])
assert np.__version__ == sys.argv[1]
first = np.float32 if sys.argv[1] == "2.2.6" else np.float64
assert found == (first, np.float64)
PYTHON
done

#!/usr/bin/env bash
# The same int8 array is float16 through np.sin and float64 through scipy.special.erf.
#
# Versions   numpy 2.4.6, scipy 1.17.1 (Python 3.11)
# Expected   one rule for what floating-point type an integer becomes in an elementwise
#            function, at least within NumPy.
# Seen       int8: np.sin, np.exp and np.hypot give float16, np.true_divide and np.mean
#            float64, scipy.special's erf, expit and xlogy float64.  int16: float32 against
#            float64.  expit(x) and 1 / (1 + np.exp(-x)) differ by 4e-4 for small integers.
# Source     ufunc.types: np.sin lists 'e->e' first, to which int8 is cast safely, and
#            scipy.special.erf lists 'd->d' first; true_divide has a resolver of its own,
#            which makes float64 of all integers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import scipy.special as sp

x = np.array([1, 2, 3], np.int8)
found = {
    "np.sin": np.sin(x), "np.exp": np.exp(x), "np.hypot": np.hypot(x, x),
    "np.true_divide": x / x, "np.mean": np.mean(x),
    "sp.erf": sp.erf(x), "sp.expit": sp.expit(x), "sp.xlogy": sp.xlogy(x, x),
}
for name, value in found.items():
    print(f"{name:15} {value.dtype}")
    half = name in ("np.sin", "np.exp", "np.hypot")
    assert value.dtype == (np.float16 if half else np.float64)
assert np.sin(x.astype(np.int16)).dtype == np.float32
assert sp.erf(x.astype(np.int16)).dtype == np.float64
off = np.abs(sp.expit(x) - 1 / (1 + np.exp(-x)))
print("expit against its formula:", off.max())
assert 1e-5 < off.max() < 2e-3
PYTHON

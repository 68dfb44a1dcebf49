#!/usr/bin/env bash
# scipy.special.exprel overflows in float64 where its value fits, and in float32 does not.
#
# Versions   scipy 1.17.1, numpy 2.4.6 (Python 3.11)
# Expected   (eˣ - 1) / x wherever that is a number of the dtype: up to x = 716.3 in
#            float64, up to x = 93.2 in float32.
# Seen       exprel(710.0) is inf, though 3.146e+305 is a float64; exprel(float32(90)) is
#            1.356e+37, though e^90 is no float32.
# Source     SciPy's library xsf: the function gives inf from 717 on, and below that divides
#            expm1(x), which overflows from 709.8 on; float32 is computed in float64.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import math

import numpy as np
from scipy.special import exprel

double, single = exprel(710.0), exprel(np.float32(90))
true = math.exp(710.0 - 10.0) / 710.0 * math.exp(10.0)
print("float64 at 710:", double, "true:", true)
print("float32 at 90:", single, single.dtype, "e^90 in float32:", np.exp(np.float32(90)))
assert math.isfinite(true) and double == math.inf
assert single.dtype == np.float32 and np.isfinite(single)
assert exprel(709.0) < math.inf
PYTHON

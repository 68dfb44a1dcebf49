#!/usr/bin/env bash
# scipy.optimize.minimize compares a gradient with itself if jac= returns the same array.
#
# Versions   scipy 1.17.1, numpy 2.4.6 (Python 3.11)
# Expected   what jac(x) returns is read when it is returned, as x is given as a copy: a
#            function may fill one array of its own at every call.
# Seen       L-BFGS-B, TNC and SLSQP do that.  BFGS, CG and trust-constr keep the array as
#            the last gradient, so that the difference of two gradients is 0, and run out
#            of iterations.  Newton-CG returns its start and says "Optimization terminated
#            successfully".
# Source     found by giving results in memory that is used again; no page of
#            scipy.optimize says who owns what jac returns.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from scipy.optimize import minimize, rosen, rosen_der

warnings.simplefilter("ignore")
start, own = [-1.2, 1.0, 0.7], np.empty(3)


def filled(x):
    own[:] = rosen_der(x)
    return own


for method in ("L-BFGS-B", "SLSQP", "BFGS", "CG", "trust-constr", "Newton-CG"):
    fresh = minimize(rosen, start, jac=rosen_der, method=method)
    same = minimize(rosen, start, jac=filled, method=method)
    print(f"{method:13} {same.success!s:5} {same.x.round(3)}  {same.message}")
    assert fresh.success and np.allclose(fresh.x, 1, atol=1e-3)
    right = np.allclose(same.x, 1, atol=1e-3)
    assert right == (method in ("L-BFGS-B", "SLSQP"))
assert same.success and same.x.tolist() == start  # Newton-CG
PYTHON

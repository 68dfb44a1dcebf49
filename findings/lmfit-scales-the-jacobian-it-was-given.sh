#!/usr/bin/env bash
# lmfit multiplies the array that Dfun= returns in place, and a constant one grows.
#
# Versions   lmfit 1.3.4, scipy 1.17.1, numpy 2.4.6 (Python 3.11)
# Expected   the Jacobian of a linear model is constant: Dfun may return the same matrix at
#            every call.
# Seen       with bounds lmfit multiplies the user's own array by the slopes of its change
#            of variables (jac *= grad_scale), at each call again.  The fit stops far from
#            the minimum and says "Fit succeeded."; with a copy it finds it.  With
#            col_deriv=1 nothing is written, and all is well.
# Source     Minimizer._jacobian; its documentation calls Dfun a function that "returns the
#            Jacobian" and names no such effect.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lmfit==1.3.4 scipy==1.17.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import lmfit
import numpy as np

x = np.linspace(0, 1, 11)
true = np.stack([np.ones(11), x], axis=1)
constant = true.copy()


def residual(p):
    return p["a"].value + p["b"].value * x - (2 + 3 * x)


bounded = {"value": 1.0, "min": 0.0, "max": 10.0}
params = lmfit.create_params(a=bounded, b=bounded)
found = {}
for name, dfun, more in (
    ("a copy", lambda p: true.copy(), {}),
    ("the same", lambda p: constant, {}),
    ("by columns", lambda p: true.T, {"col_deriv": 1}),
):
    fit = lmfit.minimize(residual, params, Dfun=dfun, **more)
    found[name] = [fit.params["a"].value, fit.params["b"].value]
    print(f"{name:10} {found[name]} {fit.message}")
    assert fit.success
print("largest entry, of 1:", constant.max())
assert np.allclose(found["a copy"], [2, 3]) and np.allclose(found["by columns"], [2, 3])
assert not np.allclose(found["the same"], [2, 3], atol=0.1)
assert constant.max() > 10
PYTHON

#!/usr/bin/env bash
# iminuit's strategy 1 "checks" a gradient, and calls a fit with its negative valid.
#
# Versions   iminuit 2.33.0, numpy 2.4.6 (Python 3.11)
# Expected   "1: Default. Checks user-provided gradient against numerical gradient": of a
#            gradient that is wrong in sign a warning, an error or valid == False.
# Seen       no warning, valid is True and accurate is True.  More calls find about the
#            minimum, but the parameter errors, which are what such fits are for, are those
#            of another matrix: 0.963 instead of 1.003, and with strategy 2 0.979.
# Source     Minuit.strategy's documentation; found by handing gradients over transposed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet iminuit==2.33.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from iminuit import Minuit

warnings.simplefilter("error")


def cost(a, b):
    return (a - 1) ** 2 + (a * b - 2) ** 2


def right(a, b):
    return np.array([2 * (a - 1) + 2 * b * (a * b - 2), 2 * a * (a * b - 2)])


def negative(a, b):
    return -right(a, b)


for strategy in (1, 2):
    errors = {}
    for gradient in (right, negative):
        fit = Minuit(cost, a=0.5, b=1.0, grad=gradient)
        fit.strategy = strategy
        fit.migrad()
        errors[gradient] = fit.errors["a"]
        print(strategy, gradient.__name__, list(fit.values), list(fit.errors), fit.valid)
        assert fit.valid and fit.accurate
    assert abs(errors[right] - 1.0025) < 0.002
    assert errors[negative] < 0.985
PYTHON

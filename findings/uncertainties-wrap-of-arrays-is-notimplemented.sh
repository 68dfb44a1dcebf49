#!/usr/bin/env bash
# uncertainties.wrap of a function that returns an array returns NotImplemented.
#
# Versions   uncertainties 3.2.3, numpy 2.4.6 (Python 3.11)
# Expected   an array of numbers with uncertainties, or an error: wrap is for functions that
#            return a number.
# Seen       the value is NotImplemented, the constant of Python's operators, without error
#            or warning; with numbers instead of ufloats the same wrapped function returns
#            the array.  Inside of a longer computation the trouble appears elsewhere.
# Source     uncertainties/core.py, wrap: what is not a number is taken for an operator that
#            leaves the work to its other operand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet uncertainties==3.2.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import uncertainties


def pair(x):
    return np.array([x, 2 * x])


wrapped = uncertainties.wrap(pair)
print("of a number:", wrapped(1.0), " of a ufloat:", wrapped(uncertainties.ufloat(1.0, 0.1)))
assert wrapped(1.0).tolist() == [1.0, 2.0]
assert wrapped(uncertainties.ufloat(1.0, 0.1)) is NotImplemented
one = uncertainties.wrap(lambda x: float(pair(x)[1]))(uncertainties.ufloat(1.0, 0.1))
assert abs(one.std_dev - 0.2) < 1e-6
PYTHON

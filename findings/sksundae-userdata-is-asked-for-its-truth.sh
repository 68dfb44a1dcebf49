#!/usr/bin/env bash
# scikit-sundae's userdata may not be an array, and is not ignored where it says so.
#
# Versions   scikit-sundae 1.2.0, numpy 2.4.6, scipy 1.17.1 (Python 3.11)
# Expected   "userdata can be any Python object"; with a right-hand side of three arguments
#            it is ignored, of which a warning tells.
# Seen       an array of two parameters, the likeliest userdata of all, is a ValueError about
#            the truth value of an array (one of a single entry passes).  Where the warning
#            says that userdata will be ignored the right-hand side is called with it, and
#            the solve ends in a TypeError; an empty tuple does the same without a warning.
# Source     _cy_cvode.pyx and _cy_ida.pyx, _check_options ("elif options['userdata'] and"),
#            and AuxData, which decides by "is not None".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-sundae==1.2.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from sksundae.cvode import CVODE


def with_userdata(t, y, yp, rates):
    yp[:] = -rates[0] * y


def without(t, y, yp):
    yp[:] = -y


def outcome(rhsfn, userdata):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            solver = CVODE(rhsfn, userdata=userdata)
            result = float(solver.solve(np.array([0.0, 1.0]), np.array([1.0])).y[-1, 0])
        except (TypeError, ValueError) as error:
            result = error
    print(repr(userdata), "->", repr(result), [str(w.message) for w in seen])
    return result, len(seen)


pair = np.array([1.0, 2.0])
for fine in ((1.0, 2.0), [1.0, 2.0], pair[:1]):
    assert abs(outcome(with_userdata, fine)[0] - np.exp(-1)) < 1e-3
assert isinstance(outcome(with_userdata, pair)[0], ValueError)
result, warned = outcome(without, (1.0, 2.0))
assert isinstance(result, TypeError) and warned == 1
result, warned = outcome(without, ())
assert isinstance(result, TypeError) and warned == 0
PYTHON

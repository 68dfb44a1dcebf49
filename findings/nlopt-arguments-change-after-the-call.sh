#!/usr/bin/env bash
# The x that NLopt hands to an objective is a view of its memory, which later steps change.
#
# Versions   nlopt 2.11.0, numpy 2.4.6 (Python 3.11)
# Expected   xs.append(x) in an objective records the path of the optimiser, as in SciPy,
#            whose x is a copy; x is read-only here, so that it looks safe to keep.
# Seen       the recorded points are views of NLopt's memory: afterwards they are equal, all
#            but the last are not what the objective was computed of, and the path has
#            length 0.  An objective that returns an array without axes ends in an
#            nlopt.invalid_argument whose text is empty, while np.float64 passes.
# Source     found by giving adapters' functions to NLopt; its Python reference says that x
#            is "a NumPy array" and that the value returned is a number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nlopt==2.11.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import nlopt
import numpy as np

seen, copies = [], []


def objective(x, grad):
    seen.append(x)
    copies.append(x.copy())
    grad[:] = 4 * (x - 1) ** 3
    return float(np.sum((x - 1) ** 4))


opt = nlopt.opt(nlopt.LD_LBFGS, 2)
opt.set_min_objective(objective)
opt.set_xtol_rel(1e-6)
opt.optimize(np.array([-1.0, 3.0]))
path = [float(np.ptp([p[0] for p in points])) for points in (seen, copies)]
print("evaluations:", len(seen), " path kept:", path[0], " path copied:", path[1])
assert len(seen) > 2 and not seen[0].flags.writeable
assert path[0] == 0.0 and path[1] > 1.0
for value, refused in ((np.float64(1.0), False), (np.array(1.0), True)):
    opt = nlopt.opt(nlopt.LN_COBYLA, 1)
    opt.set_maxeval(2)
    opt.set_min_objective(lambda x, grad, value=value: value)
    try:
        opt.optimize(np.zeros(1))
        message = None
    except nlopt.invalid_argument as error:
        message = str(error)
    print(repr(value), "refused with", repr(message))
    assert message == ("" if refused else None)
PYTHON

#!/usr/bin/env bash
# SALib's dgsm takes mean and deviation of a normal variable for the ends of an interval.
#
# Versions   SALib 1.6.0, numpy 2.4.6, scipy 1.17.1 (Python 3.11)
# Expected   problem["dists"] = "norm" says that bounds are mean and standard deviation;
#            finite_diff.sample draws such samples, so dgsm.analyze, which belongs to it, is
#            an upper bound of the total index there too (or refuses).
# Seen       analyze uses (deviation - mean)**2 / pi**2 as if they were bounds.  Of a + b,
#            where each has half of the variance, dgsm of a (mean 2, deviation 2) is 0, and
#            that of b (mean 50, deviation 2) is 29: an important variable looks as if
#            it did nothing.
# Source     SALib/analyze/dgsm.py, calc_dgsm, which is given bounds alone; the constant of
#            normal variables is the variance (Sobol and Kucherenko, 2009).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet SALib==1.6.0 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from SALib.analyze import dgsm
from SALib.sample import finite_diff

problem = {
    "num_vars": 2, "names": ["a", "b"], "bounds": [[2, 2], [50, 2]],
    "dists": ["norm", "norm"],
}
X = finite_diff.sample(problem, 2048, delta=1e-4, seed=1)
base = X[::3]
print("means", base.mean(axis=0), "deviations", base.std(axis=0))
assert np.allclose(base.mean(axis=0), [2, 50], atol=0.3)
found = dgsm.analyze(problem, X, X.sum(axis=1), seed=1)
print("dgsm", found["dgsm"], "true total indices [0.5, 0.5]")
assert found["dgsm"][0] == 0.0 and found["dgsm"][1] > 10
PYTHON

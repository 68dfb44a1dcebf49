#!/usr/bin/env bash
# SALib's dgsm_conf is the interval of vi, not of dgsm; and seed=0 seeds nothing.
#
# Versions   SALib 1.6.0, numpy 2.4.6, scipy 1.17.1 (Python 3.11)
# Expected   dgsm_conf, printed and plotted beside dgsm, is how far off dgsm may be.  An
#            index does not depend on the unit of the model's output, nor does its interval.
# Seen       of 10 f instead of f dgsm stays as it is and dgsm_conf is ten times as large:
#            the resamples are of vi, before it is divided by the variance and multiplied by
#            the squared range.  seed=0 gives other intervals at every call, seed=1 does not.
# Source     SALib/analyze/dgsm.py, calc_dgsm (calc_vi_mean of the resamples) and "if seed:".
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

problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0, 1], [0, 1]]}
X = finite_diff.sample(problem, 512, delta=1e-4, seed=1)
Y = X[:, 0] ** 2 + X[:, 1]
one, ten = [dgsm.analyze(problem, X, c * Y, seed=1) for c in (1, 10)]
print("dgsm     ", one["dgsm"], ten["dgsm"])
print("dgsm_conf", one["dgsm_conf"], ten["dgsm_conf"])
assert np.allclose(ten["dgsm"], one["dgsm"], rtol=1e-6)
assert np.isclose(one["dgsm_conf"][0] * 100, ten["dgsm_conf"][0], rtol=1e-6)
for seed in (0, 1):
    np.random.seed(None)
    pair = [dgsm.analyze(problem, X, Y, seed=seed)["dgsm_conf"][0] for _ in range(2)]
    print("seed", seed, pair)
    assert (pair[0] == pair[1]) == (seed == 1)
PYTHON

#!/usr/bin/env bash
# np.unique of whole numbers takes several times as long when it is asked for less.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   That np.unique(a) is not slower than np.unique(a, return_index=True), which
#            does the same and more, nor than the same numbers as float64.
# Seen       For 10⁶ different int64 numbers: plain 0.5 to 0.7 s, with return_index=True
#            0.13 s, as float64 0.015 s.  The plain call of integers goes through a hash
#            table since NumPy 2.3, the others sort; many different numbers are its worst.
# Source     numpy issue 28375 and pull request 30496, where sorting is said to win in some
#            cases.  To ask whether places are all different, mark them in an array of
#            bools.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import time

import numpy as np


def best(call) -> float:
    found = []
    for _ in range(3):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


numbers = np.random.default_rng(0).permutation(1_000_000)
plain = best(lambda: np.unique(numbers))
indexed = best(lambda: np.unique(numbers, return_index=True))
floats = best(lambda: np.unique(numbers.astype(float)))
print(f"plain {plain:.3f} s, with indices {indexed:.3f} s, as floats {floats:.3f} s")
assert plain > 2 * indexed, "the plain call is not slower any more"
assert plain > 10 * floats, "floats are not quicker any more"
PYTHON

#!/usr/bin/env bash
# np.concatenate(…, out=) does not notice that out overlaps what it reads; ufuncs do.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   what an operation gives does not depend on whether out= shares memory with an
#            operand: NumPy 1.13 promised that for ufuncs, and assignments keep it too.
# Seen       swapping the halves of x by np.concatenate((x[2:], x[:2]), out=x) gives
#            [3, 4, 3, 4]: the first half is overwritten before it is read.
#            np.add(x, x[::-1], out=x) and x[:] = x[::-1] are right, and
#            x.flat[:] = x[::-1] is not.
# Source     found by holding all functions to one law of aliasing; concatenation copies
#            its pieces one after the other.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np


def fresh():
    return np.array([1.0, 2.0, 3.0, 4.0])


joined = fresh()
np.concatenate((joined[2:], joined[:2]), out=joined)
added = fresh()
np.add(added, added[::-1], out=added)
assigned = fresh()
assigned[:] = assigned[::-1]
flat = fresh()
flat.flat[:] = flat[::-1]
print("concatenate", joined, "add", added, "assign", assigned, "flat", flat)
assert joined.tolist() == [3.0, 4.0, 3.0, 4.0]
assert added.tolist() == [5.0, 5.0, 5.0, 5.0]
assert assigned.tolist() == [4.0, 3.0, 2.0, 1.0]
assert flat.tolist() == [4.0, 3.0, 3.0, 4.0]
PYTHON

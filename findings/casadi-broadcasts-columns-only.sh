#!/usr/bin/env bash
# A 2×2 matrix times a vector scales rows in CasADi and columns in NumPy, both silently.
#
# Versions   casadi 3.8.2, numpy 2.4.6 (Python 3.11)
# Expected   NumPy's rule (the vector lies along the last axis), or an error.
# Seen       DM([[1, 2], [3, 4]]) * DM([1, 2]) is [[1, 2], [6, 8]], where NumPy's arrays of
#            the same numbers give [[1, 4], [3, 8]].  A row, DM([[1, 2]]), which would say
#            the other, raises RuntimeError (dimension mismatch).
# Source     casadi issue 3555: broadcasting along one axis only; a DM of a flat list is a
#            column.  A model that is tried with NumPy and derived with CasADi changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet casadi==3.8.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import casadi
import numpy as np

matrix, vector = [[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0]
theirs = np.array(casadi.DM(matrix) * casadi.DM(vector))
ours = np.array(matrix) * np.array(vector)
print("CasADi", theirs.tolist(), "NumPy", ours.tolist())
assert theirs.tolist() == [[1.0, 2.0], [6.0, 8.0]]
assert ours.tolist() == [[1.0, 4.0], [3.0, 8.0]]
try:
    casadi.DM(matrix) * casadi.DM([vector])
except RuntimeError as error:
    assert "Dimension mismatch" in str(error)
else:
    raise AssertionError("a row is broadcast now")
PYTHON

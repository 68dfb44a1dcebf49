#!/usr/bin/env bash
# np.einsum ignores dtype= and order= where its result happens to be a view.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   dtype= is what the result is computed and returned in, whatever the subscripts.
# Seen       np.einsum("ij->ji", a, dtype=float32, casting="unsafe") is a float64 view of a,
#            and so are "ii->i" and "ij"; order="F" is ignored there as well.  With "ij->i",
#            which adds something up, dtype= holds.  Whoever narrows results to save memory
#            gets them wide, and writes to them change the operand.
# Source     found by holding all functions to one law of aliasing; that einsum of a single
#            operand may be a view is documented, that dtype= is lost there is not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

a = np.arange(9.0).reshape(3, 3)
narrow = {"dtype": np.float32, "casting": "unsafe"}
for subscripts in ("ij->ji", "ii->i", "ij", "ij->i"):
    found = np.einsum(subscripts, a, **narrow)
    shared = np.shares_memory(found, a)
    print(f"{subscripts:7} {found.dtype}, shares memory: {shared}")
    assert (found.dtype == np.float32) == (subscripts == "ij->i")
    assert shared == (subscripts != "ij->i")
assert not np.einsum("ij", a, order="F").flags.f_contiguous
PYTHON

#!/usr/bin/env bash
# np.where wraps a Python int that + refuses, np.clip takes it, np.maximum refuses it.
#
# Versions   numpy 2.4.6 (Python 3.11)
# Expected   since NEP 50 a Python int that does not fit the dtype of the array beside it
#            raises OverflowError; or is compared by its value.  One or the other.
# Seen       for u = uint8 [3]: u + 300 and np.maximum(u, 300) raise OverflowError;
#            np.clip(u, 0, 300) is [3], by value; np.where(u > 5, u, 300),
#            np.select([u > 5], [u], 300) and np.pad(u, 1, constant_values=300) hold 44,
#            which is 300 - 256, without a word.
# Source     NEP 50 speaks of ufuncs; where, select and pad convert by result_type and a
#            cast that may wrap.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np

u = np.array([3], np.uint8)
wrapped = {
    "where": np.where(u > 5, u, 300),
    "select": np.select([u > 5], [u], 300),
    "pad": np.pad(u, 1, constant_values=300)[:1],
}
for name, found in wrapped.items():
    print(name, found, found.dtype)
    assert found.dtype == np.uint8
    assert found.tolist() == [44]
assert np.clip(u, 0, 300).tolist() == [3]
for refused in (lambda: u + 300, lambda: np.maximum(u, 300)):
    try:
        refused()
    except OverflowError as error:
        print("refused:", error)
    else:
        raise AssertionError("it is taken now")
PYTHON

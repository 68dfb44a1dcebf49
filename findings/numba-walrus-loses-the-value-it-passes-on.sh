#!/usr/bin/env bash
# Numba compiles `y := …` where its value is not used any further, and fails where it is.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11; the same on 3.13)
# Expected   an assignment expression is the value that it assigns: `(y := 2 * x) + y`
#            compiles as `y = 2 * x` and `y + y` do, or is refused as not supported.
# Seen       TypingError: "Type of variable '$binop_mul….…' cannot be determined", a name of
#            Numba's own.  `y = z = 2 * x` compiles, which is the same bytecode but for
#            where the second copy goes.
# Why        the value lies in a temporary, of which the bytecode takes a copy for y.
#            Interpreter._remove_unused_temporaries in numba/core/interpreter.py lets the
#            operation write to y instead, and by its comment the temporary is then not
#            read elsewhere; it repairs assignments that do read it, as those of
#            `y = z = …`, but no other expression.  The IR of run_frontend shows it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat > "$folder/walrus.py" <<'PYTHON'
import numba
from numba.core import compiler, ir
from numba.core.errors import TypingError


def used(x):
    return (y := 2 * x) + y


def in_a_condition(x):
    if (y := 2 * x) > 1:
        return y
    return x


def assigned_twice(x):
    y = z = 2 * x
    return y + z


def unknown(function):
    """The names that the blocks of a function read and do not assign."""
    blocks = compiler.run_frontend(function).blocks.values()
    assigned, read = set(), set()
    for statement in (s for block in blocks for s in block.body):
        names = {v.name for v in statement.list_vars()}
        if isinstance(statement, ir.Assign):
            assigned.add(statement.target.name)
            names.discard(statement.target.name)
        read |= names
    return read - assigned


def fails(function):
    try:
        print(function.__name__, numba.njit(function)(3.0), unknown(function))
    except TypingError as error:
        print(function.__name__, str(error).splitlines()[1], unknown(function))
        return True
    return False


assert fails(used) and unknown(used)
assert fails(in_a_condition) and unknown(in_a_condition)
assert not fails(assigned_twice) and not unknown(assigned_twice)
assert used(3.0) == assigned_twice(3.0) == 12.0
PYTHON
"$folder/venv/bin/python" "$folder/walrus.py"

#!/usr/bin/env bash
# Numba's CFGraph.topo_order() is no topological order, even of a single `if`.
#
# Versions   numba 0.68.1, numpy 2.4.6 (Python 3.11)
# Expected   topo_order(), "in topological order (ignoring back edges)" by its docstring,
#            puts a block behind all blocks that lead to it, but for the ends of loops.
# Seen       of a function with one `if` and no loop the block after the `if` may come before
#            the block inside it, which leads there; a line before the `if` that moves both
#            decides.  Whoever walks blocks in this order meets names before they are set.
# Why        CFGraph._find_postorder in numba/core/controlflow.py marks a successor as seen
#            when it is pushed and not when it is visited, so that the join, which the
#            first block pushes too, may be recorded before the branch that leads to it;
#            successors are a set of bytecode offsets, pushed in the order of their hashes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat > "$folder/order.py" <<'PYTHON'
from numba.core import analysis, compiler


def one_side(s):
    if s > 3:
        s += 1
    return s


def a_line_later(s):
    s = 0
    s = s * 2
    if s > 3:
        s += 1
    return s


def misplaced(function):
    """The edges that lead backwards in Numba's order; there are no loops."""
    blocks = compiler.run_frontend(function).blocks
    graph = analysis.compute_cfg_from_blocks(blocks)
    assert not graph.loops()
    order = graph.topo_order()
    print(function.__name__, order)
    return [
        (a, b)
        for a in graph.nodes()
        for b, _ in graph.successors(a)
        if order.index(a) > order.index(b)
    ]


assert misplaced(one_side) == []
assert len(misplaced(a_line_later)) == 1
PYTHON
"$folder/venv/bin/python" "$folder/order.py"

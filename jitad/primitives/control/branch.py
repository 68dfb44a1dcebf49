"""Branches as functions, with JAX's conventions: cond and switch.

With a concrete predicate one side is called.  With a traced one all sides are, and
their results are merged, as those of a Python `if` are (see `ir.fork`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jitad import tree
from jitad.errors import InputError
from jitad.ir.fork import branch, condition, mark, merge
from jitad.ir.graph import scalar
from jitad.ir.source import source_line
from jitad.ir.trace import current, inner, running
from jitad.ir.tracer import Tracer, innermost, lift


def cond(
    pred: Any,
    true_fun: Callable[..., Any],
    false_fun: Callable[..., Any],
    *operands: Any,
) -> Any:
    """true_fun(*operands) where pred holds, else false_fun(*operands).

    pred is a number or an array of one element.  Results may be any nested containers
    of arrays, of the same structure, shapes and dtypes on both sides.
    Raises TracingError where they differ, or a side writes to an array from outside.
    """
    if not isinstance(pred, Tracer):
        return true_fun(*operands) if pred else false_fun(*operands)
    test = Tracer(pred.builder, condition(pred), scalar(np.dtype(bool)))
    return _chosen("cond", [test], (true_fun, false_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """branches[index](*operands), index being clamped to 0, …, len(branches) - 1.

    Results are as those of `cond`.
    Raises InputError where index is no whole number or there are no branches.
    """
    if not branches:
        raise InputError(
            f"switch: no branches ({source_line()}); expected at least one function"
        )
    last = len(branches) - 1
    if not isinstance(index, Tracer):
        return branches[min(max(_whole(index), 0), last)](*operands)
    if index.shape or index.dtype.kind not in "iu":
        raise InputError(
            f"switch: an index of {index.type} ({source_line()}); expected a whole "
            "number of shape (), as index.astype(int) gives"
        )
    tests = [index <= k for k in range(last)]
    return _chosen("switch", tests, branches, operands)


def _whole(index: Any) -> int:
    try:
        return operator.index(index)
    except TypeError:
        raise InputError(
            f"switch: an index of {index!r} ({source_line()}); expected a whole number"
        ) from None


def _chosen(
    name: str,
    tests: Sequence[Tracer],
    functions: Sequence[Callable[..., Any]],
    operands: Sequence[Any],
) -> Any:
    """The result of the function whose test is the first to hold, else of the last."""
    start = mark(running())
    results = [inner(f, operands) for f in functions]
    start.check(name)
    trace = current() or innermost(tests)
    *sides, merged = [branch(trace, result, name) for result in results]
    told = name, source_line()
    for test, side in reversed(list(zip(tests, sides, strict=True))):
        merged = merge(trace, lift(trace, test), (side, merged), told)
    leaves = [Tracer(trace, i, type, weak) for i, type, weak in merged.leaves]
    return tree.unflatten(merged.spec, leaves)

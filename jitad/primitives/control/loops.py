"""Structured loops: scan, fori_loop and while_loop, with JAX's conventions.

Inside a traced function a loop becomes one node (see `ir.loop`), whatever its length;
outside it runs in Python.  What is carried may be any nested containers.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np

from jitad import tree
from jitad.errors import InputError, ShapeError
from jitad.ir.bind import cast
from jitad.ir.call import Custom, add_call
from jitad.ir.graph import Type
from jitad.ir.loop import INT, LIMIT
from jitad.ir.source import source_line
from jitad.ir.trace import Input, Traced, current, trace
from jitad.ir.tracer import Tracer, as_tracer, lift, traced
from jitad.primitives.scalar.barrier import undefined_where

from .body import Carry, Iteration, array_leaf, is_weak, repeat, trace_body

_KEPT = 1000  # steps whose carries "auto" keeps


def scan(
    f: Callable[[Carry, Any], tuple[Carry, Any]],
    init: Carry,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    *,
    checkpoint: Literal["auto", "sqrt"] | int | None = None,
) -> tuple[Carry, Any]:
    """(c, xs) -> (c', ys): cₖ₊₁, yₖ = f(cₖ, xₖ) for k = 0, 1, …, length - 1.

    init     what is carried, in any containers; f returns the same structure, shapes
             and dtypes
    xs       arrays in any containers, read along their leading axes, or None
    length   how many steps; needed where xs is None
    reverse  begin with the last element of xs; ys are in the order of xs
    checkpoint  what reverse mode keeps: None, every carry (of large arrays no more
             than pays); "sqrt", about 2 √length of them, running every step once more;
             a number, at most about that many, running every step as often as that
             takes; "auto", every carry of up to 1,000 steps, else "sqrt"
    Returns the last carry and the y's, stacked along a new leading axis.
    Raises InputError, ShapeError where lengths or carries do not fit.
    """
    xs = tree.transform(array_leaf, xs)
    steps = _length(xs, length)
    running = current()
    if running is None:
        return _scan_now(f, init, xs, steps, reverse)
    lengths = segments(steps, checkpoint)
    if lengths:
        return _scan_segments(f, init, xs, steps, reverse, lengths)
    leaves, xs_spec = tree.flatten(xs)
    slices = [Input(Type(x.dtype, x.shape[1:])) for x in leaves]
    outputs: list[tree.PyTreeSpec] = []

    def step(index: Any, carry: Any, xs: Any) -> Any:
        del index
        result = f(carry, xs)
        if not isinstance(result, tuple) or len(result) != 2:
            raise InputError(
                f"scan: f returned {type(result).__name__} ({source_line()}); expected "
                "a pair: the next carry, and what to stack (None for nothing)"
            )
        outputs[:] = [tree.flatten(result[1])[1]]
        return result

    body = trace_body("scan", step, init, (xs_spec, slices))
    parts = repeat(running, body, steps, leaves, backwards=reverse)
    last = tree.unflatten(body.carry, parts[: body.count])
    return last, tree.unflatten(outputs[0], parts[body.count : -1])


def segments(steps: int, checkpoint: Literal["auto", "sqrt"] | int | None) -> list[int]:
    """Into loops of which lengths, inside one another, a loop is split; [] for none.

    A loop in a loop is recorded once for each of the outer one's iterations, one at a
    time: d loops keep about d ᵈ√steps carries and run every step d times (the uniform
    form of A. Griewank's recursive checkpointing, 1992).
    """
    if checkpoint is None or (checkpoint == "auto" and steps <= _KEPT):
        return []
    if isinstance(checkpoint, str) and checkpoint not in ("auto", "sqrt"):
        raise InputError(
            f"scan: checkpoint={checkpoint!r} ({source_line()}); expected 'auto', "
            "'sqrt', a number of carries to keep, or None"
        )
    depth = 2
    if not isinstance(checkpoint, str):
        if operator.index(checkpoint) < 2:
            raise InputError(
                f"scan: checkpoint={checkpoint} ({source_line()}); expected at least 2 "
                "carries to keep"
            )
        depth = 1
        while depth * _root(steps, depth) > checkpoint and 2**depth < steps:
            depth += 1
    if depth == 1 or steps < 4:
        return []
    return [_root(steps, depth)] * (depth - 1)


def _root(steps: int, depth: int) -> int:
    """The least whole number whose depth-th power is at least steps."""
    root = max(1, round(steps ** (1 / depth)) - 1)
    while root**depth < steps:
        root += 1
    return root


def _scan_segments(
    f: Callable[[Carry, Any], tuple[Carry, Any]],
    init: Carry,
    xs: Any,
    steps: int,
    reverse: bool,
    lengths: list[int],
) -> tuple[Carry, Any]:
    """A scan over segments, each a scan of its own; what is left over comes last.

    Where there would be one segment only, or for what is left over, segments are those
    of the next level.
    """
    if not lengths:
        return scan(f, init, xs, steps)
    if reverse:
        xs = tree.transform(lambda x: np.flip(x, 0), xs)
        carry, ys = _scan_segments(f, init, xs, steps, False, lengths)
        return carry, tree.transform(lambda y: np.flip(y, 0), ys)
    inner = math.prod(lengths)
    if steps % inner == 1 and len(lengths) == 1 and inner > 2:
        inner -= 1  # so that no single step is left over
    count = steps // inner
    if count < 2:
        return _scan_segments(f, init, xs, steps, reverse, lengths[1:])
    whole = count * inner
    parts = tree.transform(
        lambda x: np.reshape(x[:whole], (count, inner, *x.shape[1:])), xs
    )

    def segment(carry: Carry, xs: Any) -> tuple[Carry, Any]:
        return _scan_segments(f, carry, xs, inner, False, lengths[1:])

    carry, ys = scan(segment, init, parts, count)
    ys = tree.transform(lambda y: np.reshape(y, (whole, *y.shape[2:])), ys)
    if whole < steps:
        rest = tree.transform(lambda x: x[whole:], xs)
        left = steps - whole
        carry, last = _scan_segments(f, carry, rest, left, False, lengths[1:])
        pairs = zip(tree.flatten(ys)[0], tree.flatten(last)[0], strict=True)
        joined = [np.concatenate(pair) for pair in pairs]
        ys = tree.unflatten(tree.flatten(ys)[1], joined)
    return carry, ys


def fori_loop(
    lower: Any,
    upper: Any,
    body_fun: Callable[[Any, Carry], Carry],
    init_val: Carry,
    *,
    max_steps: int | None = None,
) -> Carry:
    """c -> c': c = body_fun(i, c) for i = lower, …, upper - 1.

    lower, upper  whole numbers, which may be traced: in a batch every point runs its
                  own number of times
    body_fun      returns the structure, shapes and dtypes of init_val, which may be any
                  containers
    max_steps     the most iterations of a loop with traced bounds, ten million where it
                  is not given: a point that would go on has NaN in its floating-point
                  results.  Reverse mode keeps a record of all of up to 100,000, of more
                  about 2 √max_steps, and runs each twice
    Raises InputError, ShapeError where the body returns another carry than it got.
    """
    running = current()
    if running is None:
        carry = init_val
        for i in range(operator.index(lower), operator.index(upper)):
            carry = body_fun(i, carry)
        return carry
    dynamic = traced([lower, upper])
    as_bound = partial(_bound, running) if dynamic else operator.index
    first, last = as_bound(lower), as_bound(upper)

    def step(i: Any, carry: Carry) -> tuple[Carry, None]:
        place = first + i
        place.weak = True
        return body_fun(place, carry), None

    body = trace_body("fori_loop", step, init_val)
    if not dynamic:
        steps = max(0, last - first)
        parts = repeat(running, body, steps, [])
        return tree.unflatten(body.carry, parts[: body.count])
    count = np.maximum(last - first, 0)
    bound = LIMIT if max_steps is None else max_steps
    parts = repeat(running, body, bound, [], count=count)
    unfinished = count > bound
    return tree.unflatten(body.carry, _spoilt(parts[: body.count], unfinished))


def while_loop(
    cond_fun: Callable[[Carry], Any],
    body_fun: Callable[[Carry], Carry],
    init_val: Carry,
    *,
    max_steps: int | None = None,
    status: bool = False,
) -> Carry:
    """c -> c': c = body_fun(c) while cond_fun(c).

    In a batch every point runs its own number of times.
    cond_fun   gives one truth value
    body_fun   returns the structure, shapes and dtypes of init_val, which may be any
               containers
    max_steps  a point that would go on has NaN in its floating-point results; the
               default is ten million.  Reverse mode keeps a record of all of up to
               100,000, of more about 2 √max_steps, and runs each twice
    status     whether to return (c', finished)
    Raises InputError, ShapeError where the body returns another carry than it got.
    """
    bound = LIMIT if max_steps is None else max_steps
    running = current()
    if running is None:
        return _while_now(cond_fun, body_fun, init_val, bound, status)
    body = trace_body("while_loop", lambda i, c: (body_fun(c), None), init_val)
    head = _head(cond_fun, body)
    parts = repeat(running, body, bound, [], head=head)
    last = tree.unflatten(body.carry, parts[: body.count])
    unfinished = cond_fun(last)
    carry = tree.unflatten(body.carry, _spoilt(parts[: body.count], unfinished))
    return (carry, np.logical_not(unfinished)) if status else carry


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, whose loops reverse mode runs once more instead of keeping their records.

    Between the value of f and its pullback nothing of f is stored but its arguments.
    Values and derivatives are those of f.
    """

    @functools.wraps(f)
    def checkpointed(*args: Any) -> Any:
        running = current()
        if running is None:
            return f(*args)
        leaves, spec = tree.flatten((args, {}))
        weak = [is_weak(x) for x in leaves]
        leaves = [array_leaf(x) for x in leaves]
        types = [Type(x.dtype, x.shape) for x in leaves]
        made = trace(f, spec, list(map(Input, types, weak)), plain=True)
        name = getattr(f, "__name__", "checkpoint")
        value = made.graph
        custom = Custom(name, value, "again", lambda: value, 0)
        operands = [lift(running, x) for x in (*leaves, *made.captured)]
        parts = add_call(running, custom, operands, running.line())
        results = [Tracer(running, p, running.nodes[p].type) for p in parts]
        return tree.unflatten(made.result, results)

    return checkpointed


# -- conditions, lengths and ends ----------------------------------------------------


def _bound(running: Any, bound: Any) -> Tracer:
    """A bound of a loop as an int64, whose differences do not wrap around."""
    found = as_tracer(running, bound)
    if found.dtype.kind not in "iu" or found.shape:
        raise InputError(
            f"fori_loop: a bound of {found.type} ({source_line()}); expected whole "
            "numbers of shape ()"
        )
    return cast(found, INT)


def _head(cond_fun: Callable[[Carry], Any], body: Iteration) -> Traced:
    """Trace the condition of a while_loop."""
    carry = tree.unflatten(body.carry, list(range(body.count)))
    spec = tree.flatten(((0, carry), {}))[1]

    def condition(index: Any, carry: Any) -> Any:
        del index
        alive = cond_fun(carry)
        if np.shape(alive) != ():
            raise ShapeError(
                f"while_loop: cond_fun returned shape {np.shape(alive)} "
                f"({source_line()}); expected one bool: use .any() or .all()"
            )
        return alive != 0 if _dtype(alive).kind != "b" else alive

    return trace(condition, spec, [Input(Type(INT)), *body.types], plain=True)


def _dtype(value: Any) -> np.dtype:
    return value.dtype if isinstance(value, Tracer) else np.asarray(value).dtype


def _length(xs: Any, length: int | None) -> int:
    """The common length of the leading axes, or the one that is given."""
    leaves = tree.flatten(xs)[0]
    if any(not x.shape for x in leaves):
        raise ShapeError(
            f"scan: xs holds a number ({source_line()}); expected arrays, which are "
            "read along their leading axes"
        )
    lengths = {x.shape[0] for x in leaves} | ({length} if length is not None else set())
    if len(lengths) != 1:
        found = ", ".join(map(str, sorted(lengths))) or "none"
        raise ShapeError(
            f"scan: lengths {found} ({source_line()}); expected one, of the leading "
            "axes of xs and of length="
        )
    return operator.index(lengths.pop())


def _spoilt(parts: Sequence[Any], unfinished: Any) -> list[Any]:
    """NaN, with derivatives of NaN, where a loop did not come to its end."""
    return [
        undefined_where(unfinished, np.nan, x) if x.dtype.kind == "f" else x
        for x in parts
    ]


# -- without a trace -----------------------------------------------------------


def _scan_now(
    f: Callable[[Carry, Any], tuple[Carry, Any]],
    init: Carry,
    xs: Any,
    steps: int,
    reverse: bool,
) -> tuple[Carry, Any]:
    carry, rows = init, []
    for k in reversed(range(steps)) if reverse else range(steps):
        carry, y = f(carry, tree.transform(lambda x, k=k: x[k], xs))
        rows.append(y)
    if not rows:
        raise ShapeError("scan: no steps outside of a traced function: expected xs")
    rows = rows[::-1] if reverse else rows
    columns = zip(*(tree.flatten(y)[0] for y in rows), strict=True)
    spec = tree.flatten(rows[0])[1]
    return carry, tree.unflatten(spec, [_stacked(c) for c in columns])


def _stacked(column: Sequence[Any]) -> Any:
    """What every step gave; numbers of Python take the dtype of the others."""
    dtype = np.result_type(*column)
    return np.stack([np.asarray(y, dtype) for y in column])


def _while_now(
    cond_fun: Callable[[Carry], Any],
    body_fun: Callable[[Carry], Carry],
    carry: Carry,
    bound: int,
    status: bool,
) -> Carry:
    steps = 0
    while steps < bound and cond_fun(carry):
        carry = body_fun(carry)
        steps += 1
    finished = steps < bound or not cond_fun(carry)
    if not finished:
        carry = tree.transform(
            lambda x: x * np.nan if np.asarray(x).dtype.kind == "f" else x, carry
        )
    return (carry, np.bool_(finished)) if status else carry

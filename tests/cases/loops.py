"""Kernels with loops, branches and storage of their own, and inputs for them.

All arithmetic is on small whole numbers, so that results are exact in any order.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from jitad.lowering.kernel import Buffer, Kernel, Local
from jitad.lowering.statement import Statement
from jitad.lowering.statements import (
    Carried,
    Const,
    For,
    If,
    Load,
    Merged,
    Op,
    Read,
    Repeat,
    Store,
    Write,
)

I8, BOOL = np.dtype(np.int64), np.dtype(bool)


@dataclass
class Lines:
    """Statements in the making; those of inner bodies share the counter of values."""

    body: list[Statement] = field(default_factory=list)
    numbers: itertools.count = field(default_factory=itertools.count)

    def inner(self) -> Lines:
        return Lines([], self.numbers)

    def new(self) -> int:
        return next(self.numbers)

    def add(self, make: Callable[[int], Statement]) -> int:
        v = self.new()
        self.body.append(make(v))
        return v

    def const(self, value: object, dtype: np.dtype) -> int:
        return self.add(lambda v: Const(v, dtype.type(value), dtype))

    def op(self, word: str, *operands: int, dtype: np.dtype) -> int:
        return self.add(lambda v: Op(v, word, operands, dtype))

    def load(self, buffer: int, element: int, dtype: np.dtype, *far: int) -> int:
        return self.add(lambda v: Load(v, buffer, element, dtype, *far))

    def read(self, local: int, element: int, dtype: np.dtype, *far: int) -> int:
        return self.add(lambda v: Read(v, local, element, dtype, *far))

    def write(self, local: int, element: int, value: int, *far: int) -> None:
        self.body.append(Write(local, element, value, *far))

    def store(self, buffer: int, values: Sequence[int]) -> None:
        self.body += [Store(buffer, i, v) for i, v in enumerate(values)]

    def repeat(
        self,
        starts: Sequence[tuple[int, np.dtype]],
        iteration: Callable[..., Sequence[int]],
        *,
        bound: int | None = None,
        count: int | None = None,
        alive: Callable[..., int] | None = None,
        backwards: bool = False,
    ) -> tuple[int, ...]:
        """Append a loop; returns its last values and its steps.

        iteration and alive take (lines, index, inner values).
        """
        head, body = self.inner(), self.inner()
        index, inner = self.new(), [self.new() for _ in starts]
        living = None if alive is None else alive(head, index, *inner)
        nexts = iteration(body, index, *inner)
        outer, steps = [self.new() for _ in starts], self.new()
        carried = tuple(
            Carried(v, start, then, last, dtype)
            for v, (start, dtype), then, last in zip(
                inner, starts, nexts, outer, strict=True
            )
        )
        self.body.append(
            Repeat(
                *(index, bound, count, carried, tuple(head.body), living),
                *(tuple(body.body), steps, backwards),
            )
        )
        return (*outer, steps)

    def branch(
        self,
        mask: int,
        others: Sequence[tuple[int, np.dtype]],
        then: Callable[[Lines], Sequence[int]],
    ) -> list[int]:
        """Append a branch; returns the merged values."""
        body = self.inner()
        made = then(body)
        outer = [self.new() for _ in others]
        merged = tuple(
            Merged(v, other, last, dtype)
            for v, (other, dtype), last in zip(made, others, outer, strict=True)
        )
        self.body.append(If(mask, tuple(body.body), merged))
        return outer


def inputs(
    kernel: Kernel, rng: np.random.Generator, extents: Sequence[int]
) -> list[np.ndarray]:
    """Small whole numbers for every input, of shape (*extents or 1, elements)."""
    return [
        _numbers(rng, b, [n if a in b.axes else 1 for a, n in enumerate(extents)])
        for b in kernel.buffers
        if not b.output
    ]


def _numbers(rng: np.random.Generator, b: Buffer, shape: list[int]) -> np.ndarray:
    if b.dtype == BOOL:
        return rng.random((*shape, b.elements)) < 0.5
    low = -2 if b.dtype.kind == "i" else -9
    return rng.integers(low, 10, (*shape, b.elements)).astype(b.dtype)


def varying(name: str, dtype: np.dtype, elements: int, *, output: bool = False):
    return Buffer(name, dtype, elements, (0,), "rows", output)


# -- kernels -------------------------------------------------------------------


def sequence(dtype: np.dtype) -> Kernel:
    """Every lane nine times: (a, b) becomes (b, a - b), and the indices are summed."""
    k = Lines()
    a, b, n = k.load(0, 0, dtype), k.load(0, 1, dtype), k.const(0, I8)

    def iteration(body: Lines, i: int, a: int, b: int, n: int) -> list[int]:
        return [b, body.op("sub", a, b, dtype=dtype), body.op("add", n, i, dtype=I8)]

    *last, n, steps = k.repeat([(a, dtype), (b, dtype), (n, I8)], iteration, bound=9)
    k.store(1, last)
    k.store(2, [n, steps])
    buffers = (
        *(varying("x", dtype, 2), varying("y", dtype, 2, output=True)),
        varying("n", I8, 2, output=True),
    )
    return Kernel(buffers, 1, tuple(k.body))


def counts(dtype: np.dtype) -> Kernel:
    """Each lane as often as it says, at most seven times; int and bool carries."""
    k = Lines()
    x, n = k.load(0, 0, dtype), k.load(1, 0, I8)
    zero, no, one = k.const(0, dtype), k.const(False, BOOL), k.const(1, I8)

    def iteration(body: Lines, i: int, y: int, m: int, odd: int) -> list[int]:
        return [
            body.op("sub", x, y, dtype=dtype),
            body.op("add", body.op("add", m, m, dtype=I8), i, dtype=I8),
            body.op("not", odd, dtype=BOOL),
        ]

    starts = [(zero, dtype), (one, I8), (no, BOOL)]
    y, m, odd, steps = k.repeat(starts, iteration, bound=7, count=n)
    z, r, *_ = k.repeat(starts, iteration, count=n, backwards=True)
    (w, *_) = k.repeat(starts, iteration, bound=3, count=n, backwards=True)
    k.store(2, [y, z, w])
    k.store(3, [m, r, steps])
    k.store(4, [odd])
    buffers = (
        *(varying("x", dtype, 1), varying("n", I8, 1)),
        varying("y", dtype, 3, output=True),
        *(varying("m", I8, 3, output=True), varying("odd", BOOL, 1, output=True)),
    )
    return Kernel(buffers, 1, tuple(k.body))


def alive(dtype: np.dtype) -> Kernel:
    """Add until 12 is reached, at most six times: some lanes never stop themselves."""
    k = Lines()
    x, limit = k.load(0, 0, dtype), k.const(12, dtype)
    yes, one = k.const(True, BOOL), k.const(1, dtype)

    def below(head: Lines, i: int, y: int, even: int) -> int:
        return head.op("lt", y, limit, dtype=BOOL)

    def iteration(body: Lines, i: int, y: int, even: int) -> list[int]:
        far = body.op("add", y, one, dtype=dtype)
        return [body.op("add", far, one, dtype=dtype), body.op("not", even, dtype=BOOL)]

    starts = [(x, dtype), (yes, BOOL)]
    y, even, steps = k.repeat(starts, iteration, bound=6, alive=below)
    z, _, unbounded = k.repeat(starts, iteration, alive=below)
    k.store(1, [y, z])
    k.store(2, [even])
    total = k.op("cast", k.op("sub", unbounded, steps, dtype=I8), dtype=dtype)
    k.store(3, [total])
    buffers = (
        *(varying("x", dtype, 1), varying("y", dtype, 2, output=True)),
        varying("even", BOOL, 1, output=True),
        varying("n", dtype, 1, output=True),
    )
    return Kernel(buffers, 1, tuple(k.body))


def stopped(dtype: np.dtype) -> Kernel:
    """A lane stops in the iteration that it names, and does not go on in the next."""
    k = Lines()
    x, zero, one = k.load(0, 0, dtype), k.const(0, dtype), k.const(1, dtype)

    def going(head: Lines, i: int, y: int) -> int:
        return head.op("ne", head.op("cast", i, dtype=dtype), x, dtype=BOOL)

    y, steps = k.repeat(
        [(zero, dtype)],
        lambda body, i, y: [body.op("add", y, one, dtype=dtype)],
        bound=7,
        alive=going,
    )
    k.store(1, [y, k.op("cast", steps, dtype=dtype)])
    buffers = varying("x", dtype, 1), varying("y", dtype, 2, output=True)
    return Kernel(buffers, 1, tuple(k.body))


def both(dtype: np.dtype) -> Kernel:
    """A loop that a lane leaves by its count or for its value, whichever is first."""
    k = Lines()
    x, n, limit = k.load(0, 0, dtype), k.load(1, 0, I8), k.const(8, dtype)
    one = k.const(1, dtype)
    y, steps = k.repeat(
        [(x, dtype)],
        lambda body, i, y: [body.op("add", y, one, dtype=dtype)],
        count=n,
        alive=lambda head, i, y: head.op("ne", y, limit, dtype=BOOL),
    )
    k.store(2, [y])
    k.store(3, [steps])
    buffers = (
        *(varying("x", dtype, 1), varying("n", I8, 1)),
        *(varying("y", dtype, 1, output=True), varying("m", I8, 1, output=True)),
    )
    return Kernel(buffers, 1, tuple(k.body))


def history(dtype: np.dtype, bound: int = 8) -> Kernel:
    """Write down what a loop does, and go back through it."""
    k = Lines()
    x, limit, one = k.load(0, 0, dtype), k.const(6, dtype), k.const(1, dtype)
    zero, no = k.const(0, dtype), k.const(False, BOOL)

    def iteration(body: Lines, i: int, y: int) -> list[int]:
        body.write(0, 1, y, i, 2)
        positive = body.op("gt", y, zero, dtype=BOOL)
        body.write(1, 0, positive, i, 1)
        body.write(2, bound - 1, body.op("add", i, i, dtype=I8), i, -1)
        return [body.op("add", y, one, dtype=dtype)]

    last, steps = k.repeat(
        [(x, dtype)],
        iteration,
        bound=bound,
        alive=lambda head, i, y: head.op("lt", y, limit, dtype=BOOL),
    )

    def back(body: Lines, i: int, y: int, any: int, n: int) -> list[int]:
        was, positive = body.read(0, 1, dtype, i, 2), body.read(1, 0, BOOL, i, 1)
        twice = body.read(2, bound - 1, I8, i, -1)
        return [
            body.op("sub", was, y, dtype=dtype),
            body.op("xor", any, positive, dtype=BOOL),
            body.op("sub", twice, n, dtype=I8),
        ]

    starts = [(last, dtype), (no, BOOL), (steps, I8)]
    y, any, n, _ = k.repeat(starts, back, count=steps, backwards=True)
    k.write(0, 0, y)
    k.store(1, [y, last, k.read(0, 0, dtype)])
    k.store(2, [any])
    k.store(3, [n])
    buffers = (
        *(varying("x", dtype, 1), varying("y", dtype, 3, output=True)),
        *(varying("any", BOOL, 1, output=True), varying("n", I8, 1, output=True)),
    )
    own = (
        *(Local("values", dtype, 2 * bound), Local("signs", BOOL, bound)),
        Local("twice", I8, bound),
    )
    return Kernel(buffers, 1, tuple(k.body), locals=own)


def triangle(dtype: np.dtype) -> Kernel:
    """Loops in loops: inner counts that change, and a bound of none."""
    k = Lines()
    x, n, zero = k.load(0, 0, dtype), k.load(1, 0, I8), k.const(0, dtype)

    def outer(body: Lines, i: int, y: int, m: int) -> list[int]:
        z, ran = body.repeat(
            [(y, dtype)],
            lambda inner, j, z: [inner.op("sub", x, z, dtype=dtype)],
            count=m,
        )
        (unchanged, _) = body.repeat(
            [(z, dtype)],
            lambda inner, j, z: [inner.op("add", z, x, dtype=dtype)],
            bound=0,
        )
        (w, _) = body.repeat(
            [(unchanged, dtype)],
            lambda inner, j, w: [
                inner.op("add", w, inner.op("cast", j, dtype=dtype), dtype=dtype)
            ],
            bound=3,
            backwards=True,
        )
        return [w, body.op("add", m, body.op("sub", i, ran, dtype=I8), dtype=I8)]

    y, m, _ = k.repeat([(zero, dtype), (n, I8)], outer, bound=5)
    k.store(2, [y])
    k.store(3, [m])
    buffers = (
        *(varying("x", dtype, 1), varying("n", I8, 1)),
        *(varying("y", dtype, 1, output=True), varying("m", I8, 1, output=True)),
    )
    return Kernel(buffers, 1, tuple(k.body))


def choices(dtype: np.dtype) -> Kernel:
    """Branches in loops and loops in branches; one that no lane ever takes."""
    k = Lines()
    x, y = k.load(0, 0, dtype), k.load(0, 1, dtype)
    zero, one, never = k.const(0, dtype), k.const(1, dtype), k.const(False, BOOL)

    def iteration(body: Lines, i: int, z: int) -> list[int]:
        positive = body.op("gt", z, zero, dtype=BOOL)

        def then(inner: Lines) -> list[int]:
            far = inner.load(0, 2, dtype)
            return [inner.op("sub", z, far, dtype=dtype)]

        other = body.op("sub", y, z, dtype=dtype)
        return body.branch(positive, [(other, dtype)], then)

    z, _ = k.repeat([(x, dtype)], iteration, bound=5)
    negative = k.op("lt", z, zero, dtype=BOOL)

    def climb(inner: Lines) -> list[int]:
        w, steps = inner.repeat(
            [(z, dtype)],
            lambda body, i, w: [body.op("add", w, one, dtype=dtype)],
            alive=lambda head, i, w: head.op("lt", w, zero, dtype=BOOL),
            bound=20,
        )
        again = inner.load(0, 2, dtype)
        return [
            inner.op("add", w, again, dtype=dtype),
            inner.op("cast", steps, dtype=dtype),
        ]

    w, steps = k.branch(negative, [(z, dtype), (zero, dtype)], climb)
    (u,) = k.branch(
        never, [(w, dtype)], lambda inner: [inner.op("div", w, zero, dtype=dtype)]
    )
    both = k.op("and", negative, k.op("gt", y, zero, dtype=BOOL), dtype=BOOL)
    (flag,) = k.branch(
        both, [(never, BOOL)], lambda inner: [inner.op("gt", w, y, dtype=BOOL)]
    )
    k.store(1, [z, w, u, steps, k.load(0, 2, dtype)])
    k.store(2, [flag])
    buffers = (
        *(varying("x", dtype, 3), varying("y", dtype, 5, output=True)),
        varying("flag", BOOL, 1, output=True),
    )
    return Kernel(buffers, 1, tuple(k.body))


def chosen(
    dtype: np.dtype, layouts: tuple[str, str], axes: tuple[int, ...] = (0,)
) -> Kernel:
    """Σ x[1 + 2 i] c[4 - i] for i < 5: elements of two buffers, one for all lanes.

    axes  those of x and of the output; inner ones are walked by loops
    """
    k = Lines()
    zero, two = k.const(0, dtype), k.const(2, I8)
    inner = k.inner()

    def iteration(body: Lines, i: int, y: int) -> list[int]:
        x = body.load(0, 1, dtype, i, 2)
        c, flag = (body.load(b, 4, t, i, -1) for b, t in ((1, dtype), (2, BOOL)))
        term = body.op("mul", x, c, dtype=dtype)
        term = body.op("select", flag, term, x, dtype=dtype)
        return [body.op("add", y, term, dtype=dtype)]

    y, _ = inner.repeat([(zero, dtype)], iteration, bound=5)
    same = inner.load(0, 1, dtype, two, 4)
    inner.store(3, [y, same, inner.load(0, 3, dtype)])
    body = tuple(inner.body)
    for axis in reversed(axes[1:]):
        body = (For(axis, body),)
    varies, shared = layouts
    buffers = (
        Buffer("x", dtype, 10, axes, varies, False),
        Buffer("c", dtype, 5, (), shared, False),
        Buffer("flags", BOOL, 5, (0,), varies, False),
        Buffer("y", dtype, 3, axes, "rows", True),
    )
    return Kernel(buffers, max(axes) + 1, (*k.body, *body))


KERNELS: dict[str, Callable[[np.dtype], Kernel]] = {
    "sequence": sequence,
    "counts": counts,
    "alive": alive,
    "stopped": stopped,
    "both": both,
    "history": history,
    "long history": partial(history, bound=3000),
    "triangle": triangle,
    "choices": choices,
}
LAYOUTS = [
    *(("rows", "fixed"), ("streams", "general"), ("general", "streams")),
    ("streams", "rows"),
]

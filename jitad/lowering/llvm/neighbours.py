"""Lanes whose elements lie side by side, in LLVM IR: one block of memory for all.

Where an index grows by one from lane to lane, as where lanes are the iterations of an
outer loop and places are i + k, rows of elements that are read, or added to, are a
block of memory.  Whether it does so is asked where the kernel runs; the numbers are the
same.  Start at `either`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from jitad.lowering.statement import Statement
from jitad.lowering.statements import Gather, Scatter

from .target import memory_type
from .values import Values

_INDEX = np.dtype(np.int64)
_MOST = 64  # scalars of a block


def together(body: Iterable[Statement]) -> dict[int, list[Gather]]:
    """The gathers of whole rows of a buffer, by the target of the first of them."""
    rows: dict[tuple[int, ...], list[Gather]] = {}
    for s in body:
        if isinstance(s, Gather) and s.buffer is not None:
            rows.setdefault((s.buffer, s.index, s.stride, s.count), []).append(s)
    found = [own for own in rows.values() if whole(own[0], [s.element for s in own])]
    return {own[0].result: own for own in found}


def whole(s: Gather | Scatter, elements: Sequence[int]) -> bool:
    """Whether elements are all that there are before those of the next index."""
    first = min(elements)
    return sorted(elements) == list(range(first, first + s.stride))


def fits(f: Values, s: Gather | Scatter) -> bool:
    """Whether the rows of all lanes are few enough to be a block of memory."""
    return s.stride * f.width <= _MOST


def either(
    f: Values,
    far: str,
    step: int,
    near: Callable[[str], None],
    apart: Callable[[], None],
) -> tuple[str, str]:
    """Print near(how far lane 0 is) where lanes are a step apart, else what apart does.

    far   how many bytes the lanes' elements lie further, as a vector
    Returns the labels of the two blocks, which lead to where printing goes on.
    """  # fmt: skip
    vector, mask = f.type(_INDEX), f"<{f.width} x i1>"
    first, one, splat, line, same, all_ = (f.fresh() for _ in range(6))
    zeros = f"<{f.width} x i32> zeroinitializer"
    steps = ", ".join(f"i64 {k * step}" for k in range(f.width))
    symbol = f"@llvm.vector.reduce.and.v{f.width}i1"
    f.module.calls.declare(symbol, f"declare i1 {symbol}({mask})")
    yes, no, out = (f.label(kind) for kind in ("near", "apart", "out"))
    f.add(
        [
            f"{first} = extractelement {vector} {far}, i64 0",
            f"{one} = insertelement {vector} poison, i64 {first}, i64 0",
            f"{splat} = shufflevector {vector} {one}, {vector} poison, {zeros}",
            f"{line} = add {vector} {splat}, <{steps}>",
            f"{same} = icmp eq {vector} {line}, {far}",
            f"{all_} = call i1 {symbol}({mask} {same})",
            f"br i1 {all_}, label %{yes}, label %{no}",
        ]
    )
    f.begin(yes)
    with f.scope():
        near(first)
    f.add([f"br label %{out}"])
    f.begin(no)
    with f.scope():
        apart()
    last = f.label("apart")
    f.go(last)
    f.go(out)
    return yes, last


def block(f: Values, pointer: str, first: str, element: int, size: int) -> str:
    """The address of a block that begins with an element."""
    lines: list[str] = []
    start = f.module.memory.offset(pointer, element * size, lines)
    place = f.module.memory.offset(start, first, lines)
    f.add(lines)
    return place


def rows(
    f: Values, place: str, stride: int, dtype: np.dtype, numbers: Sequence[int]
) -> list[str]:
    """Load a block of rows: their elements of these numbers, each a vector of lanes."""
    scalar, count = memory_type(dtype), stride * f.width
    wide, made = f.fresh(), []
    f.add([f"{wide} = load <{count} x {scalar}>, ptr {place}, align {dtype.itemsize}"])
    for k in numbers:
        made.append(name := f.fresh())
        picks = ", ".join(f"i32 {lane * stride + k}" for lane in range(f.width))
        f.add(
            [
                f"{name} = shufflevector <{count} x {scalar}> {wide}, "
                f"<{count} x {scalar}> poison, <{f.width} x i32> <{picks}>"
            ]
        )
    return made


def include(f: Values, place: str, columns: Sequence[str], dtype: np.dtype) -> None:
    """Add vectors of lanes, the elements of their rows in order, to a block."""
    scalar, count = memory_type(dtype), len(columns) * f.width
    kind, how = f"<{count} x {scalar}>", f"align {dtype.itemsize}"
    wide = _interleaved(f, columns, scalar)
    old, new = f.fresh(), f.fresh()
    add = "fadd" if dtype.kind == "f" else "add"
    f.add(
        [
            f"{old} = load {kind}, ptr {place}, {how}",
            f"{new} = {add} {kind} {old}, {wide}",
            f"store {kind} {new}, ptr {place}, {how}",
        ]
    )


def _interleaved(f: Values, columns: Sequence[str], scalar: str) -> str:
    """One vector of the first lane's elements, the second's, and so on."""
    joined, size, width = list(columns), f.width, f.width
    if len(joined) == 1:
        return joined[0]
    while len(joined) > 1:  # one behind the other
        joined += ["poison"] * (len(joined) % 2)
        pairs = zip(joined[::2], joined[1::2], strict=True)
        joined = [_behind(f, a, b, size, scalar) for a, b in pairs]
        size *= 2
    stride = len(columns)
    picks = [k * width + lane for lane in range(width) for k in range(stride)]
    name, kind = f.fresh(), f"<{size} x {scalar}>"
    order = ", ".join(f"i32 {i}" for i in picks)
    f.add(
        [
            f"{name} = shufflevector {kind} {joined[0]}, {kind} poison, "
            f"<{len(picks)} x i32> <{order}>"
        ]
    )
    return name


def _behind(f: Values, a: str, b: str, size: int, scalar: str) -> str:
    name, kind = f.fresh(), f"<{size} x {scalar}>"
    order = ", ".join(f"i32 {i}" for i in range(2 * size))
    f.add(
        [f"{name} = shufflevector {kind} {a}, {kind} {b}, <{2 * size} x i32> <{order}>"]
    )
    return name


def chosen(
    f: Values, names: tuple[str, str], labels: tuple[str, str], kind: str
) -> str:
    """A value that one of two blocks has made."""
    name = f.fresh()
    edges = ", ".join(f"[{n}, %{b}]" for n, b in zip(names, labels, strict=True))
    f.add([f"{name} = phi {kind} {edges}"])
    return name

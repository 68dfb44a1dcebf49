"""Reading and adding to arrays at places that every lane computes, in LLVM IR.

An index is first taken into its range, whatever it is: lanes that do not take part in
a loop or branch read memory like the others.  Two lanes may name the same place, so
they add to it one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitad.lowering.statement import Statement
from jitad.lowering.statements import Clear, Gather, Scatter, StoreAll

from . import neighbours
from .formulas import constant
from .pieces import flat
from .target import memory_type
from .values import LINE, Values

_INDEX = np.dtype(np.int64)


@dataclass(frozen=True, slots=True)
class Where:
    """Where the elements of lanes lie.

    pointer  of element 0 of lane 0
    lane     bytes from lane to lane, as text; None: all lanes have the same elements
    element  bytes from element to element, as text
    table    the address of the byte offsets of all elements, if they are irregular
    """

    pointer: str
    lane: str | None
    element: str
    dtype: np.dtype
    table: str | None = None


def in_local(f: Values, s: Gather | Scatter) -> Where:
    """Where the elements of a local lie: a vector of lanes for each."""
    assert s.local is not None
    dtype = f.module.kernel.locals[s.local].dtype
    lines: list[str] = []
    pointer = f.module.memory.offset("%live", f.offsets[s.local], lines)
    f.add(lines)
    return Where(pointer, str(dtype.itemsize), str(f.width * dtype.itemsize), dtype)


def gather(f: Values, s: Gather, where: Where) -> None:
    """Print a load of every lane at its own index."""
    if where.table is not None:
        table = Where(where.table, None, "8", _INDEX)
        far = _loaded(f, _addresses(f, s, s.element, table), _INDEX)
        addresses = _further(f, where.pointer, far)
    else:
        addresses = _addresses(f, s, s.element, where)
    f.loaded(s.result, _loaded(f, addresses, where.dtype), where.dtype)


def gather_rows(f: Values, group: Sequence[Gather], where: Where) -> None:
    """Print loads of whole rows, of every lane at its own index.

    Where the rows of lanes lie side by side they are a block of memory.
    """
    s, size = group[0], where.dtype.itemsize
    if not _block(where) or not neighbours.fits(f, s):
        for own in group:
            gather(f, own, where)
        return
    far = _far(f, s, where)
    first = min(own.element for own in group)
    found: dict[str, list[str]] = {}

    def near(start: str) -> None:
        place = neighbours.block(f, where.pointer, start, first, size)
        numbers = [own.element - first for own in group]
        found["near"] = neighbours.rows(f, place, s.stride, where.dtype, numbers)

    def apart() -> None:
        found["apart"] = [
            _loaded(f, _addresses(f, own, own.element, where), where.dtype)
            for own in group
        ]

    labels = neighbours.either(f, far, s.stride * size, near, apart)
    pairs = zip(found["near"], found["apart"], strict=True)
    kind = f.memory(where.dtype)
    made = [neighbours.chosen(f, pair, labels, kind) for pair in pairs]
    for own, raw in zip(group, made, strict=True):
        f.loaded(own.result, raw, where.dtype)


def _block(where: Where) -> bool:
    """Whether elements of consecutive numbers are a block of memory for all lanes."""
    return where.lane is None and where.table is None and where.element.isdigit()


def room(steps: Sequence[Statement], width: int) -> list[str]:
    """Reserve memory for the values of one `Scatter` after the other, if any."""
    terms = [len(s.terms) for s in flat(steps) if isinstance(s, Scatter)]
    size = 8 * width * (1 + max(terms, default=0))
    return [f"  %scatter = alloca [{size} x i8], align 64"] if terms else []


def scatter(f: Values, s: Scatter, where: Where, mask: str | None) -> None:
    """Print additions of every lane at its own index, one lane after the other.

    Where lanes add to rows that lie side by side, each adds to places of its own, and
    all do so at once.
    mask  the lanes that exist; None: all of them
    """
    far = _far(f, s, where)
    given = [_masked(f, v, f.memory(where.dtype), mask) for _, v in s.terms]
    elements = [element for element, _ in s.terms]
    rows = _block(where) and neighbours.whole(s, elements) and neighbours.fits(f, s)
    if not rows:
        _one_by_one(f, s, where, far, given)
        return
    size = where.dtype.itemsize
    columns = [v for _, v in sorted(zip(elements, given, strict=True))]

    def near(start: str) -> None:
        place = neighbours.block(f, where.pointer, start, min(elements), size)
        neighbours.include(f, place, columns, where.dtype)

    neighbours.either(
        f, far, s.stride * size, near, lambda: _one_by_one(f, s, where, far, given)
    )


def _one_by_one(
    f: Values, s: Scatter, where: Where, offsets: str, given: Sequence[str]
) -> None:
    """Put offsets and values into memory, where a loop over lanes finds them."""
    scalar, size = memory_type(where.dtype), where.dtype.itemsize
    add = "fadd" if where.dtype.kind == "f" else "add"
    f.add([f"store {f.type(_INDEX)} {offsets}, ptr %scatter, align 8"])
    for k, value in enumerate(given):
        lines: list[str] = []
        at = f.module.memory.offset("%scatter", 8 * f.width * (1 + k), lines)
        f.add(
            [*lines, f"store {f.memory(where.dtype)} {value}, ptr {at}, align {size}"]
        )
    before, each, out = (f.label(kind) for kind in ("before", "each", "out"))
    lane, far, own, place = (f.fresh() for _ in range(4))
    f.go(before)
    f.go(each)
    f.add(
        [
            f"{lane} = phi i64 [0, %{before}], [{lane}.next, %{each}]",
            f"{own} = getelementptr i64, ptr %scatter, i64 {lane}",
            f"{far} = load i64, ptr {own}",
            f"{place} = getelementptr i8, ptr {where.pointer}, i64 {far}",
        ]
    )
    for k, (element, _) in enumerate(s.terms):
        value, old, new = (f.fresh() for _ in range(3))
        lines = [f"{own}.{k} = getelementptr i8, ptr %scatter, "
                 f"i64 {8 * f.width * (1 + k)}"]  # fmt: skip
        to = f.module.memory.offset(place, int(where.element) * element, lines)
        f.add(
            [
                *lines,
                f"{value}.at = getelementptr {scalar}, ptr {own}.{k}, i64 {lane}",
                f"{value} = load {scalar}, ptr {value}.at",
                f"{old} = load {scalar}, ptr {to}, align {size}",
                f"{new} = {add} {scalar} {old}, {value}",
                f"store {scalar} {new}, ptr {to}, align {size}",
            ]
        )
    f.add(
        [
            f"{lane}.next = add i64 {lane}, 1",
            f"{lane}.more = icmp ult i64 {lane}.next, {f.width}",
            f"br i1 {lane}.more, label %{each}, label %{out}",
        ]
    )
    f.begin(out)


def clear(f: Values, s: Clear) -> None:
    """Print what sets all of a local to zero."""
    local = f.module.kernel.locals[s.local]
    size = local.elements * f.width * local.dtype.itemsize
    lines: list[str] = []
    pointer = f.module.memory.offset("%live", f.offsets[s.local], lines)
    symbol = "@llvm.memset.p0.i64"
    f.module.calls.declare(symbol, f"declare void {symbol}(ptr, i8, i64, i1)")
    call = f"call void {symbol}(ptr align {LINE} {pointer}, i8 0, i64 {size}, i1 false)"
    f.add([*lines, call])


def store_all(f: Values, s: StoreAll, pointer: str, element: str) -> None:
    """Print a loop that stores every element of a local.

    pointer  of the buffer's element 0
    element  bytes from element to element, as text
    """
    buffer = f.module.kernel.buffers[s.buffer]
    before, each, out = (f.label(kind) for kind in ("before", "each", "out"))
    k, value = f.fresh(), f.fresh()
    size = f.width * buffer.dtype.itemsize
    f.go(before)
    f.go(each)
    f.add([f"{k} = phi i64 [0, %{before}], [{k}.next, %{each}]"])
    lines = [f"{k}.from = mul i64 {k}, {size}", f"{k}.to = mul i64 {k}, {element}"]
    local = f.module.memory.offset("%live", f.offsets[s.local], lines)
    source = f.module.memory.offset(local, f"{k}.from", lines)
    to = f.module.memory.offset(pointer, f"{k}.to", lines)
    how = f"align {min(size, LINE)}"
    f.add([*lines, f"{value} = load {f.memory(buffer.dtype)}, ptr {source}, {how}"])
    f.add(f.module.memory.store_stream(value, to, element, 0, buffer))
    f.add(
        [
            f"{k}.next = add i64 {k}, 1",
            f"{k}.more = icmp ult i64 {k}.next, {buffer.elements}",
            f"br i1 {k}.more, label %{each}, label %{out}",
        ]
    )
    f.begin(out)


def _masked(f: Values, value: int, vector: str, mask: str | None) -> str:
    given = f.stored(value)
    if mask is None:
        return given
    name = f.fresh()
    choice = f"{vector} {given}, {vector} zeroinitializer"
    f.add([f"{name} = select <{f.width} x i1> {mask}, {choice}"])
    return name


def _loaded(f: Values, addresses: str, dtype: np.dtype) -> str:
    """Load a scalar from every address."""
    name, vector, width = f.fresh(), f.memory(dtype), f.width
    kind = f"{'f' if dtype.kind == 'f' else 'i'}{8 * dtype.itemsize}"
    symbol = f"@llvm.masked.gather.v{width}{kind}.v{width}p0"
    pointers, mask = f"<{width} x ptr>", f"<{width} x i1>"
    f.module.calls.declare(
        symbol, f"declare {vector} {symbol}({pointers}, i32, {mask}, {vector})"
    )
    given = f"{pointers} {addresses}, i32 {dtype.itemsize}"
    f.add(
        [
            f"{name} = call {vector} {symbol}({given}, {mask} splat (i1 true), "
            f"{vector} poison)"
        ]
    )
    return name


def _addresses(f: Values, s: Gather | Scatter, element: int, where: Where) -> str:
    """Where the element of every lane is, as a vector of pointers."""
    key = (s.index, s.stride, s.count, element, where)
    if key not in f.named:
        lines: list[str] = []
        amount: str | int = f.fresh()
        if where.element.isdigit():
            amount = int(where.element) * element
        else:
            lines.append(f"{amount} = mul i64 {where.element}, {element}")
        pointer = f.module.memory.offset(where.pointer, amount, lines)
        f.add(lines)
        f.named[key] = _further(f, pointer, _far(f, s, where))
    return f.named[key]


def _further(f: Values, pointer: str, far: str) -> str:
    """A pointer that is further in every lane, by that lane's bytes."""
    name, vector = f.fresh(), f.type(_INDEX)
    f.add([f"{name} = getelementptr i8, ptr {pointer}, {vector} {far}"])
    return name


def _far(f: Values, s: Gather | Scatter, where: Where) -> str:
    """How many bytes the index of every lane leads further, and the lane itself."""
    key = (s.index, s.stride, s.count, where.lane, where.element)
    if key not in f.named:
        vector, far = f.type(_INDEX), f.fresh()
        step = _everywhere(f, where.element, s.stride)
        f.add([f"{far} = mul {vector} {_inside(f, s)}, {step}"])
        if where.lane is not None:
            numbers = ", ".join(f"i64 {k}" for k in range(f.width))
            own, both = f.fresh(), f.fresh()
            step = _everywhere(f, where.lane, 1)
            f.add([f"{own} = mul {vector} <{numbers}>, {step}"])
            f.add([f"{both} = add {vector} {far}, {own}"])
            far = both
        f.named[key] = far
    return f.named[key]


def _everywhere(f: Values, number: str, factor: int) -> str:
    """A number times a factor, the same in all lanes."""
    if number.isdigit():
        return constant(np.int64(int(number) * factor), _INDEX, f.width)
    vector = f.type(_INDEX)
    scaled, first, name = (f.fresh() for _ in range(3))
    zeros = f"<{f.width} x i32> zeroinitializer"
    f.add(
        [
            f"{scaled} = mul i64 {number}, {factor}",
            f"{first} = insertelement {vector} poison, i64 {scaled}, i64 0",
            f"{name} = shufflevector {vector} {first}, {vector} poison, {zeros}",
        ]
    )
    return name


def _inside(f: Values, s: Gather | Scatter) -> str:
    """The index taken into its range: as unsigned, whatever is not in it is larger."""
    key = (s.index, s.count)
    if key not in f.named:
        name, vector = f.fresh(), f.type(_INDEX)
        symbol = f"@llvm.umin.v{f.width}i64"
        f.module.calls.declare(symbol, f"declare {vector} {symbol}({vector}, {vector})")
        last = constant(np.int64(s.count - 1), _INDEX, f.width)
        given = f"{vector} {f.value(s.index)}, {vector} {last}"
        f.add([f"{name} = call {vector} {symbol}({given})"])
        f.named[key] = name
    return f.named[key]

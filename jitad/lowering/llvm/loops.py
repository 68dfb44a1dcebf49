"""Loops with carried values, branches, and lane-local storage, in LLVM IR.

All lanes of a vector walk a loop together.  Where they may differ in how long they
need, a mask says which are active, and the others keep what they carry by selects;
where they cannot differ there is no mask.  The caller prints what stands inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from jitad.lowering.statements import Access, Carried, If, Load, Read, Repeat, Write

from . import watch
from .formulas import constant
from .later import put_off
from .values import LINE, Values

_INDEX, _BOOL = np.dtype(np.int64), np.dtype(bool)

Printer = Callable[[], None]


def repeat(f: Values, s: Repeat, head: Printer, body: Printer) -> None:
    """Print a loop; head and body print what stands in it."""
    starts = [f.value(c.start) for c in s.carried]
    if s.count is None and s.alive is None:
        outers, steps = _counted(f, s, starts, body), f"splat (i64 {s.bound})"
    else:
        outers, steps = _masked(f, s, starts, head, body)
    for c, outer in zip(s.carried, outers, strict=True):
        f.define(c.outer, outer)
    if s.steps is not None:
        f.define(s.steps, steps)


def _counted(
    f: Values, s: Repeat, starts: Sequence[str], body: Printer
) -> Sequence[str]:
    """A loop of which every lane runs as many iterations; its last values."""
    assert s.bound is not None
    if not s.bound:
        return starts
    before, inside, latch, out = map(f.label, ("before", "in", "latch", "out"))
    first, end, step = (s.bound - 1, -1, -1) if s.backwards else (0, s.bound, 1)
    i = f"%v{s.index}.i"
    f.go(before)
    f.go(inside)
    with f.scope():
        phis = _Phis(f, before, latch)
        phis.add(i, "i64", str(first), f"{i}.next")
        _enter(f, s)
        body()
        watch.latch(f, s, latch)
        nexts = [f.value(c.next) for c in s.carried]
        _carry(f, s.carried, starts, nexts, phis)
        phis.close()
    f.add(
        [
            f"{i}.next = add i64 {i}, {step}",
            f"{i}.more = icmp ne i64 {i}.next, {end}",
            f"br i1 {i}.more, label %{inside}, label %{out}",
        ]
    )
    f.begin(out)
    return nexts


def _masked(
    f: Values, s: Repeat, starts: Sequence[str], head: Printer, body: Printer
) -> tuple[Sequence[str], str]:
    """A loop that runs until no lane is active; its last values, and its steps."""
    limit = _limit(f, s)
    first, step = ("0", 1) if not s.backwards else (f"%v{s.index}.last", -1)
    if s.backwards:
        f.add([f"{first} = add i64 {limit}, -1"])
    before, top, latch, out = map(f.label, ("before", "head", "latch", "out"))
    i, ran = f"%v{s.index}.i", f"%v{s.index}.ran"
    f.go(before)
    f.go(top)
    with f.scope():
        phis = _Phis(f, before, latch)
        phis.add(i, "i64", first, f"{i}.next")
        _enter(f, s)
        if limit is not None:
            inside = f.label("in")
            test = f"sge i64 {i}, 0" if s.backwards else f"slt i64 {i}, {limit}"
            f.add([f"{i}.more = icmp {test}"])
            f.add([f"br i1 {i}.more, label %{inside}, label %{out}"])
            f.begin(inside)
        head()
        active = _active(f, s, phis, out)
        body()
        watch.latch(f, s, latch)
        nexts = [_kept(f, c, active) for c in s.carried]
        _carry(f, s.carried, starts, nexts, phis)
        if s.steps is not None and s.alive is not None:
            vector = f.type(_INDEX)
            phis.add(ran, vector, "zeroinitializer", f"{ran}.next")
            f.add(
                [
                    f"{ran}.one = zext {f.type(_BOOL)} {active} to {vector}",
                    f"{ran}.next = add {vector} {ran}, {ran}.one",
                ]
            )
        phis.close()
    f.add([f"{i}.next = add i64 {i}, {step}", f"br label %{top}"])
    f.begin(out)
    steps = ran if s.alive is not None else _clipped(f, s)
    return [f"%v{c.inner}" for c in s.carried], steps


def _limit(f: Values, s: Repeat) -> str | None:
    """How many iterations there are at most, as an i64."""
    if s.count is None:
        return None if s.bound is None else str(s.bound)
    most, symbol = f.fresh(), f"@llvm.vector.reduce.smax.v{f.width}i64"
    vector = f.type(_INDEX)
    f.module.calls.declare(symbol, f"declare i64 {symbol}({vector})")
    f.add([f"{most} = call i64 {symbol}({vector} {f.value(s.count)})"])
    if s.bound is None:
        return most
    least = f.fresh()
    f.add([f"{least} = call i64 @llvm.smin.i64(i64 {most}, i64 {s.bound})"])
    return least


def _enter(f: Values, s: Repeat) -> None:
    """Define what an iteration begins with: its number, and the carried values."""
    i, vector = f"%v{s.index}.i", f.type(_INDEX)
    zeros = f"<{f.width} x i32> zeroinitializer"
    f.add(
        [
            f"{i}.0 = insertelement {vector} poison, i64 {i}, i64 0",
            f"%v{s.index} = shufflevector {vector} {i}.0, {vector} poison, {zeros}",
        ]
    )
    f.numbers[s.index] = i
    f.define(s.index, f"%v{s.index}")
    for c in s.carried:
        f.define(c.inner, f"%v{c.inner}")


def _active(f: Values, s: Repeat, phis: _Phis, out: str) -> str:
    """The mask of the lanes that run this iteration; leave the loop if there is none.

    Without `alive` there is one, as the loop's limit is that of the slowest lane.
    """
    mask, active = f.type(_BOOL), f"%v{s.index}.active"
    if s.count is not None:
        limited = f.fresh()
        pair = f"{f.type(_INDEX)} %v{s.index}, {f.value(s.count)}"
        f.add([f"{limited} = icmp slt {pair}"])
        if s.alive is None:
            return limited
    assert s.alive is not None
    phis.add(f"{active}.before", mask, "splat (i1 true)", active)
    alive = f.value(s.alive)
    if s.count is not None:
        f.add([f"{active}.both = and {mask} {alive}, {limited}"])
        alive = f"{active}.both"
    f.add([f"{active} = and {mask} {active}.before, {alive}"])
    inside = f.label("in")
    some = _some(f, active)
    f.add([f"br i1 {some}, label %{inside}, label %{out}"])
    f.begin(inside)
    return active


def _some(f: Values, mask: str) -> str:
    """Whether a mask is true in any lane."""
    name, vector = f.fresh(), f.type(_BOOL)
    symbol = f"@llvm.vector.reduce.or.v{f.width}i1"
    f.module.calls.declare(symbol, f"declare i1 {symbol}({vector})")
    f.add([f"{name} = call i1 {symbol}({vector} {mask})"])
    return name


def _kept(f: Values, c: Carried, active: str) -> str:
    """The next value in active lanes, in others the value that they had."""
    given, inner = f.value(c.next), f"%v{c.inner}"
    if c.next == c.inner:
        return inner
    name, vector = f"{inner}.next", f.type(c.dtype)
    mask = f.type(_BOOL)
    f.add([f"{name} = select {mask} {active}, {vector} {given}, {vector} {inner}"])
    return name


def _clipped(f: Values, s: Repeat) -> str:
    """The number of iterations that each lane runs of a loop that only counts."""
    assert s.count is not None
    steps, vector = f.value(s.count), f.type(_INDEX)
    limits = [("smax", 0), *([] if s.bound is None else [("smin", s.bound)])]
    for function, limit in limits if s.steps is not None else ():
        symbol, name = f.module.calls.intrinsic(function, 2, _INDEX), f.fresh()
        to = constant(limit, _INDEX, f.width)
        f.add([f"{name} = call {vector} {symbol}({vector} {steps}, {vector} {to})"])
        steps = name
    return steps


def _carry(
    f: Values,
    carried: Sequence[Carried],
    starts: Sequence[str],
    nexts: Sequence[str],
    phis: _Phis,
) -> None:
    for c, start, then in zip(carried, starts, nexts, strict=True):
        phis.add(f"%v{c.inner}", f.type(c.dtype), start, then)


class _Phis:
    """The first lines of a loop, of which some are known only at its end."""

    def __init__(self, f: Values, before: str, latch: str) -> None:
        self._lines, self._place = f.lines, len(f.lines)
        self._before, self._latch = before, latch
        self._phis: list[str] = []
        f.lines.append("")

    def add(self, name: str, kind: str, start: str, then: str) -> None:
        """name is start in the first iteration, then `then`."""
        edges = f"[{start}, %{self._before}], [{then}, %{self._latch}]"
        self._phis.append(f"  {name} = phi {kind} {edges}")

    def close(self) -> None:
        """Print them where they belong."""
        self._lines[self._place] = "\n".join(self._phis)


def branch(f: Values, s: If, body: Printer) -> None:
    """Print a branch that is skipped if no lane needs it; body prints what is in it."""
    mask, others = f.value(s.mask), [f.value(m.otherwise) for m in s.merged]
    before, inside, end, out = map(f.label, ("before", "in", "end", "out"))
    some = _some(f, mask)
    f.go(before)
    around = [before]
    if s.later and f.module.noting:
        around.append(put_off(f, mask, some, inside, out))
    else:
        f.add([f"br i1 {some}, label %{inside}, label %{out}"])
    f.begin(inside)
    mixed = []
    with f.scope():
        body()
        for m, other in zip(s.merged, others, strict=True):
            name, vector = f"%v{m.outer}.mixed", f.type(m.dtype)
            choice = f"{vector} {f.value(m.inner)}, {vector} {other}"
            f.add([f"{name} = select {f.type(_BOOL)} {mask}, {choice}"])
            mixed.append(name)
    f.go(end)
    f.go(out)
    for m, name, other in zip(s.merged, mixed, others, strict=True):
        edges = ", ".join([f"[{name}, %{end}]", *(f"[{other}, %{b}]" for b in around)])
        f.add([f"%v{m.outer} = phi {f.type(m.dtype)} {edges}"])
    for m in s.merged:
        f.define(m.outer, f"%v{m.outer}")


def read(f: Values, s: Read) -> None:
    """Print a load from lane-local storage."""
    address, how = _local(f, s)
    raw = f.fresh()
    f.add([f"{raw} = load {f.memory(s.dtype)}, ptr {address}, {how}"])
    f.loaded(s.result, raw, s.dtype)


def write(f: Values, s: Write) -> None:
    """Print a store to lane-local storage."""
    value = f.stored(s.value)
    address, how = _local(f, s)
    dtype = f.module.dtypes[s.value]
    f.add([f"store {f.memory(dtype)} {value}, ptr {address}, {how}"])


def _local(f: Values, s: Read | Write) -> tuple[str, str]:
    """The address of an element's vector, and how it is aligned."""
    size = f.width * f.module.kernel.locals[s.local].dtype.itemsize
    pointer = far(f, "%live", s, str(size))
    lines: list[str] = []
    offset = f.offsets[s.local] + s.element * size
    address = f.module.memory.offset(pointer, offset, lines)
    f.add(lines)
    return address, f"align {min(size, LINE)}"


def far(f: Values, pointer: str, s: Access, size: str) -> str:
    """The pointer further by index * stride elements of a size in bytes."""
    if s.index is None:
        return pointer
    lines, bytes_ = [], f.fresh()
    scaled = f"{s.stride}" if not size.isdigit() else str(s.stride * int(size))
    if not size.isdigit():
        lines.append(f"{bytes_}.s = mul i64 {size}, {s.stride}")
        scaled = f"{bytes_}.s"
    lines.append(f"{bytes_} = mul i64 {f.number(s.index)}, {scaled}")
    pointer = f.module.memory.offset(pointer, bytes_, lines)
    f.add(lines)
    return pointer


def hoisted(s: Repeat) -> list[Load]:
    """Loads that every iteration would do alike, those in inner loops included."""
    found = []
    for inner in (*s.head, *s.body):
        if isinstance(inner, Load):
            found.append(inner)
        elif isinstance(inner, Repeat):
            found += hoisted(inner)
    return found

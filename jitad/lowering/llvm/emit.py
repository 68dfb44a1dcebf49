"""Print a Kernel as LLVM IR: one lane is one element of an explicit vector.

Start at `emit`.  The loop nest `lanes(frame, lo, hi)` runs whole vectors; its
statements come from `body`, everything around it from `staging`.  A long body
is cut into functions (see `pieces`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from functools import partial

from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Kernel
from jitad.lowering.spread import spread
from jitad.lowering.statement import Statement, statements
from jitad.lowering.statements import (
    Const,
    Load,
    Op,
    Store,
)

from . import copies, later, loops, memory, places, series, staging, watch
from .body import Body, Place
from .calls import Calls
from .formulas import constant
from .live import keep
from .memory import Memory
from .pieces import (
    Branch,
    Cycle,
    Item,
    Nest,
    Part,
    accessed,
    arrange,
    each,
    flat,
    length,
    scatters,
    settle,
    split,
)
from .row_products import by_rows
from .target import Target, lanes
from .values import LINE, Module

NAME = "kernel"
LONGEST = 3000  # steps in one function; beyond, compilers take more than linear time
# In functions of parts: they store what others need, and of such steps twice as many
# take three times as long.
_PART = 500
# What stands in a module of parts, which are compiled quickly.
PARTS = 'source_filename = "parts"\n'
# So many vectors of partial sums stay in registers.
_HELD = 8
# Vectors with 8 or 16 bits in a lane.
_NARROW = re.compile(r"x i(8|16)>").search


def emit(kernel: Kernel, target: Target, *, longest: int = LONGEST) -> str:
    """The LLVM module of a kernel: `@kernel(block, lo, hi)` and `@kernel.tiles`."""
    width, kernel = lanes(kernel, target), settle(kernel)
    if target.fused:
        kernel = fuse(kernel)
    kernel = spread(kernel)
    indexed = {k for s in statements(kernel.body) for k in s.indexed}
    steps = arrange(kernel, kernel.body, width, indexed)
    whole = length(steps) + len(kernel.once) <= longest
    if not whole:
        known = {s.result for s in kernel.once}
        again = (s for s in steps if not isinstance(s, Load) or s.result not in known)
        steps = (*kernel.once, *again)
    steps = by_rows(kernel, steps, width) if whole else steps
    items = () if whole else split(steps, min(longest, _PART), longest)
    calls = Calls(target, width)
    body = flat(steps)
    every = [*kernel.once, *body]
    plan = staging.staging(kernel, width, indexed)
    module = Module(
        kernel=kernel,
        calls=calls,
        memory=Memory(width, around=not plan.copied),
        plan=plan,
        constants=_constants(every, width),
        dtypes={v: dtype for s in every for v, dtype in s.made},
        slots=keep(items),
        noting=whole and later.waits(steps) and later.few(width) > 0,
    )
    if whole:
        functions = [_whole(module, steps)]
    else:
        functions = [*_parts(module, items, ()), _outline(module, steps, items)]
    texts = [
        copies.DECLARATIONS,
        *staging.declarations(target.fence),
        *([watch.DECLARATION] if watch.long_loops(steps) else []),
        *calls.texts(sum([isinstance(s, Op) for s in body])),
        *functions,
        staging.staged(kernel, width, plan, fence=target.fence, noting=module.noting),
        *_entries(module),
        staging.tiles(NAME),
        memory.METADATA,
        series.METADATA,
    ]
    text = "\n".join(texts) + "\n"
    return text if whole else PARTS + text


def _entries(module: Module) -> list[str]:
    """What runs any lanes, and what it needs."""
    kernel, width, plan = module.kernel, module.calls.width, module.plan
    fence = module.calls.target.fence
    if not module.noting:
        return [staging.entry(NAME, kernel, width, plan, fence)]
    return [
        later.DECLARATION,
        later.again(kernel, width, plan),
        staging.entry("run", kernel, width, plan, fence, "internal "),
        later.entry(NAME, "run", kernel, width),
    ]


def _constants(every: Sequence[Statement], width: int) -> dict[int, str]:
    return {
        s.result: constant(s.value, s.dtype, width)
        for s in every
        if isinstance(s, Const)
    }


def _live(module: Module) -> tuple[list[str], list[str]]:
    """Reserve and release memory for values between parts, and for locals."""
    return staging.room("%live", max(module.offsets[-1], LINE))


def _stack(module: Module) -> str:
    """Let what is moved out to the stack lie within cache lines, not across them."""
    return f"alignstack({min(LINE, max(16, module.slot_bytes))})"


def _lanes(
    body: Body, used: Set[int], reserve: Sequence[str], release: Sequence[str]
) -> str:
    """Wrap printed lines into the loop over vectors; they begin after the frame."""
    width = body.width
    head = [
        "define internal void @lanes(ptr %frame, i64 %lo, i64 %hi) noinline nounwind "
        f"{_stack(body.module)} {{",
        "entry:",
        *reserve,
    ]
    tail = [
        "  br label %latch",
        "latch:",
        f"  %x0.next = add i64 %x0, {width}",
        "  %x0.more = icmp slt i64 %x0.next, %hi",
        "  br i1 %x0.more, label %loop, label %exit",
        "exit:",
        *release,
        "  ret void",
        "}",
    ]
    return "\n".join([*head, *body.frame_of(used), *body.lines, *tail])


_LOOP = (
    "  br label %before",
    "before:",
    "  br label %loop",
    "loop:",
    "  %x0 = phi i64 [%lo, %before], [%x0.next, %latch]",
)


def _whole(module: Module, steps: Sequence[Statement]) -> str:
    """The loop over vectors with the whole body inside."""
    once = module.kernel.once
    used = accessed((*once, *steps))
    body = Body(module)
    body.read_frame()
    body.enter(-1, used, copying=True)
    body.steps(once)
    sums = list(body.hold(_sums(module.kernel, steps)))
    body.lines += [*_LOOP, *sums]
    body.enter(0, used, copying=True)
    if scatters(steps):
        body.there()
    body.steps(steps)
    reserve, release = _live(module) if module.kernel.locals else ([], [])
    room = [*places.room(steps, body.width), *watch.room(steps)]
    before, after = body.finish()
    return _lanes(body, used, [*reserve, *room, *before], [*after, *release])


def _sums(kernel: Kernel, steps: Sequence[Statement]) -> list[Place]:
    """The sums that every vector adds to once, as many as registers can hold.

    None where the loop over vectors may be left from within.
    """
    if watch.long_loops(steps):
        return []
    found = [
        (s.buffer, s.element)
        for s in steps
        if isinstance(s, Store) and kernel.buffers[s.buffer].layout == "sum"
    ]
    return [place for place in found if found.count(place) == 1][:_HELD]


def _outline(module: Module, steps: Sequence[Statement], items: Sequence[Item]) -> str:
    """The loop over vectors, which calls the parts in order."""
    used = accessed(steps)
    body = Body(module)
    body.read_frame()
    body.enter(-1, used, copying=True)
    body.lines += _LOOP
    body.enter(0, used, copying=True)
    _call_parts(body, items)
    reserve, release = _live(module)
    return _lanes(body, used, [*reserve, *watch.room(steps)], release)


def _call_parts(body: Body, items: Sequence[Item]) -> None:
    axes = range(body.module.kernel.axes)
    for item in items:
        match item:
            case Part():
                indices = ", ".join(f"i64 {body.index.get(a, '0')}" for a in axes)
                call = f"call void @part{item.number}(ptr %frame, ptr %live, {indices})"
                body.add([call])
                watch.after(body, item.steps)
            case Nest():
                inside = accessed([s for part in each([item]) for s in part.steps])
                body.loop(item.axis, inside, partial(_call_parts, body, item.items))
            case Cycle():
                printers = (
                    partial(_call_parts, body, x) for x in (item.head, item.body)
                )
                loops.repeat(body, item.repeat, *printers)
            case Branch():
                printer = partial(_call_parts, body, item.items)
                loops.branch(body, item.choice, printer)


def _parts(
    module: Module, items: Sequence[Item], axes: tuple[int, ...]
) -> Iterator[str]:
    """The parts as functions of the frame, the values in memory, and the indices."""
    for item in items:
        match item:
            case Part():
                yield _part(module, item, axes)
            case Nest():
                yield from _parts(module, item.items, (*axes, item.axis))
            case Cycle():
                yield from _parts(module, (*item.head, *item.body), axes)
            case Branch():
                yield from _parts(module, item.items, axes)


def _part(module: Module, part: Part, axes: tuple[int, ...]) -> str:
    used = accessed(part.steps)
    indices = ", ".join(f"i64 %x{a}" for a in range(module.kernel.axes))
    body = Body(module)
    body.read_frame()
    body.enter(-1, used, copying=False)
    for axis in (0, *axes):
        body.index[axis] = f"%x{axis}"
        body.enter(axis, used, copying=False)
    if scatters(part.steps):
        body.there()
    body.steps(part.steps)
    room = [*places.room(part.steps, body.width), *watch.room(part.steps)]
    ending = ("  br label %exit", "exit:", "  ret void", "}")
    lines = [*room, *body.frame_of(used), *body.lines, *ending]
    # Without optimisation LLVM 22 cannot compile some shuffles of 16-bit integers.
    quick = "" if any(map(_NARROW, lines)) else "optnone "
    head = (
        f"define internal void @part{part.number}(ptr %frame, ptr %live, {indices}) "
        f"noinline {quick}nounwind {_stack(module)} {{"
    )
    return "\n".join([head, "entry:", *lines])

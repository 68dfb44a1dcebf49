"""What `explain` gives: the facts of a call as fields, and as text to read.

Start at Explanation.  `jitad.explain` finds the facts, which `facts` names.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jitad.transforms.rewrite.tidy import MOST_COUNTED

from .facts import Array, Block, Choice, Gpu, Machine, Memory, Operations, Sums, number
from .nests import Nest, Sweep, sweeps

_WIDTH = 88
_INDENT = 13
_TIE = "\N{NO-BREAK SPACE}"
_NUMBER = re.compile(r"(at most )?[<\d]")
_ENDS = {"": "", "count": "by count", "condition": "by condition"}


@dataclass(frozen=True, slots=True)
class Explanation:
    """A call explained: print it, or use its fields.

    extents  lengths of the batch levels, outermost first; () for a single point
    seconds  that each step took when it was taken, which may be in an earlier call
    sums     of a call that adds up over many points, which is not a batch
    loops    that are run, with those inside them
    source   the lines of the user's loops, and what became of each
    blocks   what only some vectors of points run
    storage  bytes that a lane keeps while it is worked on: above all records of loops
    gpu      on a card, where machine is None
    memory and machine are None where nothing is compiled (backend="numpy").
    """

    name: str
    backend: str
    extents: tuple[int, ...]
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]
    choice: Choice
    operations: Operations
    memory: Memory | None
    machine: Machine | None
    seconds: Mapping[str, float]
    sums: tuple[Sums, ...] = ()
    loops: tuple[Nest, ...] = ()
    source: tuple[tuple[str, str], ...] = ()
    blocks: tuple[Block, ...] = ()
    storage: int = 0
    gpu: Gpu | None = None

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        """What reverse mode keeps of loops, and what it runs again."""
        return tuple(sweeps(self.loops))

    @property
    def intensity(self) -> float | None:
        """Weighted operations per byte moved, where any is."""
        if self.memory is None or not self.memory.read + self.memory.written:
            return None
        return self.operations.weighted / (self.memory.read + self.memory.written)

    @property
    def text(self) -> str:
        """All of it, as a person reads it."""
        return "\n".join(_text(self))

    def __str__(self) -> str:
        return self.text


# -- words ---------------------------------------------------------------------


def _text(e: Explanation) -> Iterator[str]:
    yield f"{e.name} at {_points(e.extents)}"
    yield from _table("inputs", e.inputs)
    yield from _table("outputs", e.outputs)
    yield from _row("mode", e.choice.reason)
    yield from _inside(e.choice)
    work = e.operations
    total = f"{_plural(work.total, 'operation')} per point"
    weighted = f"{number(work.weighted)} weighted{_counting(e.loops)}"
    yield from _row("work", f"{total}, {weighted}{_listed(work.counts)}")
    compiled = e.machine is not None or e.gpu is not None
    if work.words != work.counts and compiled:
        count = f"{sum(work.words.values()):,} for the machine"
        once = ", those of loops once" if e.loops else ""
        yield from _row("words", f"{count}{once}{_listed(work.words)}")
    yield from _columns("source", [(_place(line), what) for line, what in e.source])
    yield from _columns("loops", [*_loops(e.loops, "")])
    for k, sweep in enumerate(e.sweeps):
        yield from _row("" if k else "reverse", _swept(sweep))
    if e.storage and e.machine is not None:
        yield from _row("storage", _stored(e.storage, e.machine.lanes))
    elif e.storage:
        yield from _row("storage", f"{e.storage:,} bytes per thread")
    for k, block in enumerate(e.blocks):
        yield from _row("" if k else "branches", _held(block))
    for total in e.sums:
        yield from _row("sums", _summed(total))
    if e.memory is not None:
        yield from _row("memory", _moved(e, e.memory))
        yield from _row("bound", _bound(e.memory, on_card=e.gpu is not None))
    if e.machine is not None:
        yield from _row("machine", _compiled(e.machine, len(e.extents)))
    elif e.gpu is not None:
        yield from _on_card(e.gpu)
    else:
        yield from _row("back end", f"{e.backend}: node by node, nothing is compiled")
    steps = [f"{step}{_TIE}{_milliseconds(s)}" for step, s in e.seconds.items()]
    total = _milliseconds(sum(e.seconds.values()))
    yield from _row("time", f"{total}: {', '.join(steps)}")


def _row(label: str, text: str) -> list[str]:
    lines = textwrap.wrap(
        text, _WIDTH, initial_indent=f"  {label:<{_INDENT - 2}}",
        subsequent_indent=" " * _INDENT, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(_TIE, " ") for line in lines]


def _inside(chosen: Choice) -> Iterator[str]:
    for name, part in chosen.inside:
        if part.mode != "value":
            yield from _row("inside", f"{name}, {part.reason}")
        yield from _inside(part)


def _table(label: str, arrays: Sequence[Array]) -> Iterator[str]:
    cells = [(a.name, str(a.type), _batch(a.batch), *_moving(a)) for a in arrays]
    if not cells:
        yield from _row(label, "none")
    yield from _columns(label, cells)


def _columns(label: str, cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Rows of cells below one another, numbers flush right."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for k, row in enumerate(cells):
        padded = [
            c.rjust(w) if _NUMBER.match(c) else c.ljust(w)
            for c, w in zip(row, widths, strict=True)
        ]
        head = f"  {label if k == 0 else '':<{_INDENT - 2}}"
        yield (head + "  ".join(p for p in padded if p.strip())).rstrip()


def _moving(array: Array) -> tuple[str, str]:
    """The layout of an array and its bytes; nothing where nothing is compiled."""
    if not array.layout:
        return "", ""
    if array.type.size and not array.bytes:
        return array.layout, "not read"
    return array.layout, f"{number(array.bytes)} bytes"


def _batch(axes: Sequence[int | None]) -> str:
    if not axes:
        return ""
    if all(a is None for a in axes):
        return "shared"
    return "batch " + ", ".join("shared" if a is None else f"axis {a}" for a in axes)


def _points(extents: Sequence[int]) -> str:
    if not extents:
        return "one point"
    lengths = " × ".join(f"{n:,}" for n in extents)
    return f"{lengths} point{'s' if math.prod(extents) != 1 else ''}"


def _listed(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,}{_TIE}{name}" for name, count in counts.items())
    return f": {parts}" if parts else ""


def _counting(loops: Sequence[Nest]) -> str:
    """How operations in loops are counted."""
    if not loops:
        return ""
    if max(_longest(loops)) > MOST_COUNTED:
        return f", of loops those of at most {MOST_COUNTED:,} steps"
    return ", those of loops as often as they may run"


def _longest(loops: Sequence[Nest]) -> Iterator[int]:
    for nest in loops:
        yield nest.steps
        yield from _longest(nest.inside)


def _loops(loops: Sequence[Nest], indent: str) -> Iterator[tuple[str, ...]]:
    """The cells of each loop and of those in it."""
    for nest in loops:
        most = "at most " if nest.until else ""
        yield (
            indent + " and ".join(map(_place, nest.lines)),
            f"{most}{_plural(nest.steps, 'step')}",
            "backwards" if nest.backwards else "forwards",
            f"{nest.carried:,} carried" if nest.carried else "",
            f"{nest.stored:,} stored" if nest.stored else "",
            _ENDS[nest.until],
        )
        yield from _loops(nest.inside, indent + "  ")


def _place(line: str) -> str:
    return Path(line).name or "inside jitad"


def _swept(sweep: Sweep) -> str:
    most = "at most " if sweep.most else ""
    nested = " + ".join(" × ".join(map(str, own)) for own in sweep.lengths)
    nested = f" as {nested}" if len(nested.split()) > 1 else ""
    return (
        f"{_place(sweep.line)}, {most}{_plural(sweep.steps, 'step')}{nested}: "
        f"{sweep.kept:,} carries stored ({sweep.bytes:,} bytes per lane), "
        f"{_plural(sweep.repeated, 'step') if sweep.repeated else 'none'} recomputed"
    )


def _stored(bytes: int, lanes: int) -> str:
    return (
        f"{bytes:,} bytes per lane, {bytes * lanes:,} for the {lanes} lanes of a "
        "vector; what is not needed at once shares them, and a thread works on one "
        "vector at a time"
    )


def _held(block: Block) -> str:
    count = _plural(sum(block.words.values()), "word")
    loops = f" and {_plural(block.loops, 'loop')}" if block.loops else ""
    later = ", and later where few lanes do" if block.later else ""
    return (
        f"{count}{loops} run only for vectors of which a lane needs them{later}"
        f"{_listed(block.words)}"
    )


def _moved(e: Explanation, memory: Memory) -> str:
    total = number(memory.read + memory.written)
    text = (
        f"{total} bytes per point: {number(memory.read)} read, "
        f"{number(memory.written)} written"
    )
    if e.intensity is not None:
        shown = f"{e.intensity:.2g}" if e.intensity < 10 else f"{e.intensity:,.0f}"
        text += f"; {shown} weighted operations per byte"
    return text


def _summed(sums: Sums) -> str:
    weighted = number(sums.operations.weighted)
    order = (
        f"in {sums.lanes} lanes, then tiles of {sums.tile:,} points, then pairwise, "
        "in one order for any number of threads"
        if sums.tile
        else f"in threads, then by trees over {sums.lanes} threads and over blocks, in "
        "one order for any card"
    )
    return (
        f"{_plural(sums.count, 'sum')} over {sums.points:,} points, each "
        f"{weighted} weighted operations{_listed(sums.operations.counts)}; added up "
        f"{order}; nothing is stored per point"
    )


def _bound(memory: Memory, *, on_card: bool) -> str:
    whose = "the card" if on_card else "this machine"
    rate = f"{memory.bandwidth / 1e9:,.1f} GB/s, {whose}'s measured copy bandwidth"
    text = f"{memory.bound:.3g} ns per point at {rate}"
    return f"{text} (this call fits into the cache)" if memory.cached else text


def _compiled(machine: Machine, levels: int) -> str:
    along = f" along batch level {machine.level}" if levels > 1 else ""
    spills = _plural(machine.spills, "spill") if machine.spills else "no spills"
    return (
        f"{machine.lanes} lanes{along}, vectors of {machine.vector_bytes} bytes, "
        f"{spills}, {_plural(machine.threads, 'thread')} at most"
        f"{'' if machine.settled else '; made quickly so far'}"
    )


def _on_card(gpu: Gpu) -> Iterator[str]:
    parts = f", {gpu.part:,} points at a time" if gpu.part else ""
    yield from _row("card", f"{', '.join(gpu.cards)}{parts}")
    shared = f", {gpu.shared:,} bytes of shared memory a block" if gpu.shared else ""
    columns = f", outputs in {gpu.columns} blocks" if gpu.columns > 1 else ""
    yield from _row(
        "kernel",
        f"{_registers(gpu.registers, gpu.spilled)}{shared}{columns}; of {gpu.threads} "
        f"threads {_plural(gpu.blocks, 'block')} at once on a multiprocessor, "
        f"{gpu.warps} of {gpu.most} warps, limited by {' and '.join(gpu.limits)}",
    )
    others = [
        f"{_registers(r, s)}{f' in {c} blocks' if c > 1 else ''}"
        for r, s, c in gpu.tried
    ]
    if len(others) > 1:
        yield from _row("tried", f"{len(others)} kernels: {'; '.join(others)}")


def _registers(count: int, spilled: int) -> str:
    spills = f"{spilled:,} bytes spilled" if spilled else "no spills"
    return f"{count} registers, {spills}"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}{_TIE}ms"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

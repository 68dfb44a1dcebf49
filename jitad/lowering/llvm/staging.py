"""The functions around a kernel's body: tiles, scratch memory, and the ragged end.

`lanes` (printed by `emit`) runs whole vectors only.  `staged` runs it on a frame: what
cannot be read in place is copied to scratch before, missing lanes repeating the last
one, and what must not be written in place is copied out after.  `entry` chooses; the
same vector code computes every point, wherever it lies in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statements import For

from . import arguments

_DECLARATIONS: tuple[str, ...] = (
    "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
    "declare i64 @llvm.smin.i64(i64, i64)",
    "declare ptr @aligned_alloc(i64, i64)",
    "declare void @free(ptr)",
)
# Scratch for outputs: small enough that copying it out overlaps with what follows.
_TILE_BYTES = 8192
# Streams are copied out in runs, which should not be short: `_RUN` vectors at least,
# unless their scratch exceeded this.
_RUN = 16
_LONG_TILE_BYTES = 1 << 17
_ON_STACK = 1 << 17  # bytes that the stack of a thread may hold
# Of functions that run once for many lanes: they are better compiled soon than well.
QUICK = "noinline optnone nounwind"


@dataclass(frozen=True)
class Scratch:
    """Where one buffer's copy lies in scratch memory, and its strides there."""

    offset: int
    lane: int
    element: int


@dataclass(frozen=True)
class Staging:
    """The scratch memory of a kernel: lanes in a tile, bytes in all, one per buffer.

    copied  the buffers that the body finds in scratch always, as it cannot address
            them itself: there they are streams, if they were not
    """

    lanes: int
    bytes: int
    scratch: dict[int, Scratch]
    copied: frozenset[int]


def has_loops(kernel: Kernel) -> bool:
    """Whether a lane walks along other batch axes."""
    return any(isinstance(s, For) for s in kernel.body)


def sums(kernel: Kernel) -> list[int]:
    """The buffers that take sums over lanes."""
    layouts = ("sum", "scatter")
    return [i for i, b in enumerate(kernel.buffers) if b.layout in layouts]


def framed(kernel: Kernel) -> bool:
    """Whether the body asks which lanes of its frame are real."""
    return has_loops(kernel) or bool(sums(kernel))


def _copied(kernel: Kernel, indexed: Set[int]) -> frozenset[int]:
    """The buffers that the body cannot address itself."""
    varying = [(i, b) for i, b in enumerate(kernel.buffers) if b.varies]
    return frozenset(
        i
        for i, b in varying
        if b.layout == "general" or (b.layout == "rows" and i in indexed)
    )


def past_cache(kernel: Kernel) -> bool:
    """Whether the body itself writes around the cache."""
    return any(b.layout == "lines" for b in kernel.buffers)


def staging(kernel: Kernel, width: int, indexed: Set[int]) -> Staging:
    """Plan scratch memory: outputs get a whole tile, inputs one vector.

    indexed  the buffers of which elements are loaded, or stored, by numbers known at
             run time
    """
    copied = _copied(kernel, indexed)
    moved = [i for i, b in enumerate(kernel.buffers) if b.varies]
    outputs = [i for i in moved if kernel.buffers[i].output]
    point = sum(kernel.buffers[i].elements * kernel.buffers[i].dtype.itemsize
                for i in outputs)  # fmt: skip
    fitting = _TILE_BYTES // max(point, 1) // width * width
    streams = any(kernel.buffers[i].layout != "rows" for i in outputs)
    if streams and _RUN * width * point <= _LONG_TILE_BYTES:
        fitting = max(fitting, _RUN * width)
    lanes = width if has_loops(kernel) else min(max(fitting, width), 64 * width)
    scratch, offset = {}, 0
    for i in moved:
        buffer = kernel.buffers[i]
        held = lanes if buffer.output else width
        size = buffer.dtype.itemsize
        if buffer.layout == "rows" and i not in copied:
            scratch[i] = Scratch(offset, buffer.elements * size, size)
            total = held * buffer.elements * size
        else:
            # One line more than a power of two, lest all elements share a cache set.
            stride = held * size + (64 if held > width else 0)
            scratch[i] = Scratch(offset, size, stride)
            total = buffer.elements * stride
        offset += -(-total // 64) * 64
    return Staging(lanes, max(offset, 64), scratch, copied)


def word(lines: list[str], name: str, block: str, index: int, kind: str = "i64") -> str:
    """Read a word of a block or frame."""
    lines += [
        f"  {name}.w = getelementptr i64, ptr {block}, i64 {index}",
        f"  {name} = load {kind}, ptr {name}.w",
    ]
    return name


def declarations(fence: str) -> list[str]:
    """What the functions printed here call."""
    lines = list(_DECLARATIONS)
    if fence:
        lines.append(f"declare void @{fence}()")
    return lines


def _waiting(fence: str) -> list[str]:
    """Wait for stores around the cache, where there are such."""
    return [f"  call void @{fence}()"] if fence else []


def entry(
    name: str,
    kernel: Kernel,
    width: int,
    plan: Staging,
    fence: str,
    linkage: str = "",
) -> str:
    """Print void @name(ptr block, i64 lo, i64 hi): run lanes lo to hi."""
    summing = sums(kernel)
    argument = "%given" if summing else "%block"
    lines = [
        f"define {linkage}void @{name}(ptr {argument}, i64 %lo, i64 %hi) {QUICK} {{",
        *(_of_tile(kernel, width, summing) if summing else ()),
        "  %empty = icmp sge i64 %lo, %hi",
        "  br i1 %empty, label %done, label %work",
        "work:",
    ]
    if plan.copied:
        lines += [
            f"  call void @staged(ptr %block, i64 %lo, i64 %hi, i64 {width})",
            "  br label %done",
        ]
    else:
        lines += [
            "  %count = sub i64 %hi, %lo",
            f"  %whole = and i64 %count, -{width}",
            "  %mid = add i64 %lo, %whole",
            "  %any = icmp ne i64 %whole, 0",
            "  br i1 %any, label %main, label %rest",
            "main:",
        ]
        if not has_loops(kernel) and not past_cache(kernel):
            word(lines, "%mode", "%block", arguments.MODE)
            lines += [
                f"  %inplace = icmp eq i64 %mode, {arguments.DIRECT}",
                "  br i1 %inplace, label %direct, label %tiled",
                "tiled:",
                f"  call void @staged(ptr %block, i64 %lo, i64 %mid, i64 {plan.lanes})",
                "  br label %rest",
                "direct:",
            ]
        lines += [
            "  call void @lanes(ptr %block, i64 %lo, i64 %mid)",
            *(_waiting(fence) if past_cache(kernel) else ()),
            "  br label %rest",
            "rest:",
            "  %left = icmp slt i64 %mid, %hi",
            "  br i1 %left, label %end, label %done",
            "end:",
            f"  call void @staged(ptr %block, i64 %mid, i64 %hi, i64 {width})",
            "  br label %done",
        ]
    return "\n".join([*lines, "done:", "  ret void", "}"])


def _of_tile(kernel: Kernel, width: int, summing: Sequence[int]) -> list[str]:
    """A block of this tile's own: sums go to the partial sums of lane lo's tile."""
    words = arguments.size(kernel)
    lines = [
        f"  %block = alloca [{words} x i64]",
        "  call void @llvm.memcpy.p0.p0.i64(ptr %block, ptr %given, "
        f"i64 {8 * words}, i1 false)",
    ]
    word(lines, "%tile", "%block", arguments.TILE)
    lines.append("  %number = udiv i64 %lo, %tile")
    for i in summing:
        buffer, at = kernel.buffers[i], arguments.slots(kernel, i).address
        held = width if buffer.layout == "sum" else 1
        size = buffer.elements * held * buffer.dtype.itemsize
        word(lines, f"%sum{i}", "%block", at, "ptr")
        lines += [
            f"  %far{i} = mul i64 %number, {size}",
            f"  %own{i} = getelementptr i8, ptr %sum{i}, i64 %far{i}",
            f"  store ptr %own{i}, ptr %sum{i}.w",
        ]
    return lines


def tiles(name: str) -> str:
    """Print void @name.tiles(args, dims, steps, block): take tiles until none is left.

    The signature is that of a NumPy inner loop, as Numba's thread pool wants it.
    """
    lines = [
        f"define void @{name}.tiles(ptr %args, ptr %dims, ptr %steps, ptr %block) "
        f"{QUICK} {{",
    ]
    word(lines, "%tile", "%block", arguments.TILE)
    word(lines, "%stop", "%block", arguments.STOP)
    lines += [
        f"  %counter = getelementptr i64, ptr %block, i64 {arguments.COUNTER}",
        "  br label %take",
        "take:",
        "  %lo = atomicrmw add ptr %counter, i64 %tile seq_cst",
        "  %over = icmp sge i64 %lo, %stop",
        "  br i1 %over, label %done, label %work",
        "work:",
        "  %end = add i64 %lo, %tile",
        "  %hi = call i64 @llvm.smin.i64(i64 %end, i64 %stop)",
        f"  call void @{name}(ptr %block, i64 %lo, i64 %hi)",
        "  br label %take",
        "done:",
        "  ret void",
        "}",
    ]
    return "\n".join(lines)


class _Staged:
    """Prints the function that runs lanes through scratch memory."""

    def __init__(
        self,
        kernel: Kernel,
        width: int,
        plan: Staging,
        *,
        fence: str,
        noting: bool,
    ) -> None:
        self.kernel, self.width, self.plan = kernel, width, plan
        self.fence, self.noting = fence, noting
        self.lines: list[str] = []

    def text(self) -> str:
        words = arguments.size(self.kernel)
        reserve, release = room("%scratch", self.plan.bytes)
        head = (
            "define internal void @staged(ptr %block, i64 %lo, i64 %hi, i64 %tile) "
            f"{QUICK} {{"
        )
        self.lines = [
            head,
            "entry:",
            f"  %frame = alloca [{words} x i64]",
            *reserve,
            "  call void @llvm.memcpy.p0.p0.i64(ptr %frame, ptr %block, "
            f"i64 {8 * words}, i1 false)",
            "  br label %next",
            "next:",
            "  %t = phi i64 [%lo, %entry], [%after, %written]",
            "  %after = add i64 %t, %tile",
            "  %left = sub i64 %hi, %t",
            "  %n = call i64 @llvm.smin.i64(i64 %left, i64 %tile)",
            f"  %n.up = add i64 %n, {self.width - 1}",
            f"  %up = and i64 %n.up, -{self.width}",
            "  %ragged = icmp ne i64 %n, %up",
            "  %ragged.w = zext i1 %ragged to i64",
            "  %last = sub i64 %n, 1",
        ]
        self._set(arguments.VALID, "%n")
        self._set(arguments.RAGGED, "%ragged.w")
        if self.noting:
            word(self.lines, "%origin", "%block", arguments.LATER, "ptr")
            self.lines.append("  %marks = getelementptr i8, ptr %origin, i64 %t")
            self._set(arguments.LATER, "%marks", "ptr")
        for i, buffer in enumerate(self.kernel.buffers):
            if buffer.varies:
                self._address(i, buffer)
                self._prepare(i, buffer)
        self.lines.append("  call void @lanes(ptr %frame, i64 0, i64 %up)")
        for i, buffer in enumerate(self.kernel.buffers):
            if buffer.output and buffer.axes == (0,):
                self._write_back(i, buffer)
        self.lines += [
            "  br label %written",
            "written:",
            "  %more = icmp slt i64 %after, %hi",
            "  br i1 %more, label %next, label %done",
            "done:",
            *_waiting(self.fence),
            *release,
            "  ret void",
            "}",
        ]
        return "\n".join(self.lines)

    def _set(self, index: int, value: str, kind: str = "i64") -> None:
        slot = f"%f{len(self.lines)}"
        self.lines += [
            f"  {slot} = getelementptr i64, ptr %frame, i64 {index}",
            f"  store {kind} {value}, ptr {slot}",
        ]

    def _address(self, i: int, buffer: Buffer) -> None:
        """The user's address of the tile's first lane, %u, and scratch, %s."""
        at = arguments.slots(self.kernel, i)
        word(self.lines, f"%a{i}", "%block", at.address, "ptr")
        word(self.lines, f"%l{i}", "%block", at.stride)
        word(self.lines, f"%e{i}", "%block", at.given)
        word(self.lines, f"%t{i}", "%block", at.given, "ptr")
        self.lines += [
            f"  %d{i} = mul i64 %t, %l{i}",
            f"  %u{i} = getelementptr i8, ptr %a{i}, i64 %d{i}",
            f"  %s{i} = getelementptr i8, ptr %scratch, "
            f"i64 {self.plan.scratch[i].offset}",
        ]

    def _prepare(self, i: int, buffer: Buffer) -> None:
        """Point the frame to the user's memory or to scratch, filled if an input."""
        at, plan = arguments.slots(self.kernel, i), self.plan.scratch[i]
        word(self.lines, f"%r{i}", "%block", at.lane)
        whole_tile = buffer.output and buffer.level == 0
        copies = "true" if i in self.plan.copied or whole_tile else "%ragged"
        element = f"%e{i}" if buffer.layout != "rows" else "0"
        lane = f"%r{i}"
        self.lines += [
            f"  %rs{i} = select i1 {copies}, i64 {plan.lane}, i64 {lane}",
            f"  %es{i} = select i1 {copies}, i64 {plan.element}, i64 {element}",
        ]
        self._set(at.lane, f"%rs{i}")
        self._set(at.element, f"%es{i}")
        if buffer.level > 0:
            self._set(at.address, f"%u{i}", "ptr")
            self._set(at.scratch, f"%s{i}", "ptr")
            return
        self.lines += [
            f"  %ps{i} = select i1 {copies}, ptr %s{i}, ptr %u{i}",
            f"  %ls{i} = select i1 {copies}, i64 {plan.lane}, i64 %l{i}",
        ]
        self._set(at.address, f"%ps{i}", "ptr")
        self._set(at.stride, f"%ls{i}")
        if not buffer.output:
            self.lines += [
                f"  br i1 {copies}, label %copy{i}, label %copied{i}",
                f"copy{i}:",
                "  "
                + copy_call(
                    buffer,
                    (f"%s{i}", str(plan.lane), str(plan.element), "null"),
                    (f"%u{i}", f"%l{i}", element_stride(buffer, f"%e{i}"), f"%t{i}"),
                    "%up",
                    "%last",
                ),
                f"  br label %copied{i}",
                f"copied{i}:",
            ]

    def _write_back(self, i: int, buffer: Buffer) -> None:
        """Copy the valid lanes of an output from scratch to the user's memory."""
        plan, size = self.plan.scratch[i], buffer.dtype.itemsize
        user = (f"%u{i}", f"%l{i}", element_stride(buffer, f"%e{i}"), f"%t{i}")
        copy = "  " + copy_call(
            buffer,
            user,
            (f"%s{i}", str(plan.lane), str(plan.element), "null"),
            "%n",
            "%last",
        )
        if buffer.layout == "general" or i in self.plan.copied:
            self.lines.append(copy)
            return
        rows = buffer.layout == "rows"
        packed = buffer.elements * size if rows else size
        runs, bytes_ = (1, packed) if rows else (buffer.elements, size)
        self.lines += [
            f"  %k{i} = icmp eq i64 %l{i}, {packed}",
            f"  br i1 %k{i}, label %run{i}, label %each{i}",
            f"each{i}:",
            copy,
            f"  br label %out{i}",
            f"run{i}:",
            f"  %b{i} = mul i64 %n, {bytes_}",
            f"  call void @jitad.runs(ptr %u{i}, i64 %e{i}, ptr %s{i}, "
            f"i64 {plan.element}, i64 {runs}, i64 %b{i}, ptr %block)",
            f"  br label %out{i}",
            f"out{i}:",
        ]


def room(name: str, size: int) -> tuple[list[str], list[str]]:
    """Reserve and release memory: on the stack, if a thread's has room for it."""
    if size <= _ON_STACK:
        return [f"  {name} = alloca [{size} x i8], align 64"], []
    reserve = f"  {name} = call ptr @aligned_alloc(i64 64, i64 {size})"
    return [reserve], [f"  call void @free(ptr {name})"]


def element_stride(buffer: Buffer, given: str) -> str:
    """The bytes from element to element in the user's memory, as text."""
    return str(buffer.dtype.itemsize) if buffer.layout == "rows" else given


def copy_call(
    buffer: Buffer,
    to: tuple[str, str, str, str],
    source: tuple[str, str, str, str],
    count: str,
    last: str,
) -> str:
    """Copy lanes one scalar at a time; each side: address, lane, element, table."""

    def side(s: tuple[str, str, str, str]) -> str:
        table = s[3] if buffer.layout == "general" else "null"
        return f"ptr {s[0]}, i64 {s[1]}, i64 {s[2]}, ptr {table}"

    return (
        f"call void @jitad.copy{buffer.dtype.itemsize}({side(to)}, {side(source)}, "
        f"i64 {count}, i64 {last}, i64 {buffer.elements})"
    )


def staged(
    kernel: Kernel, width: int, plan: Staging, *, fence: str, noting: bool
) -> str:
    """Print void @staged(block, lo, hi, tile): run lanes through scratch memory.

    noting  whether lanes may be noted there that are to be run again
    """
    return _Staged(kernel, width, plan, fence=fence, noting=noting).text()

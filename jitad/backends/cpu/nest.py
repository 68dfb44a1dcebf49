"""Rows of lanes: a kernel run again and again, its arguments moving along outer axes.

A kernel over points has one axis of lanes.  `launch` runs it for every index of further
axes around that, in machine code, on threads that take rows by turns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from jitad.lowering.kernel import Argument
from jitad.lowering.llvm.arguments import COUNTER, STOP, TILE, WATCH, slots

from . import rounds
from .executable import Executable
from .link import Library
from .objects import linked
from .threads import POOL, get_threads
from .watch import here

# The words behind those of a launch block: the kernel, its own block and that one's
# size in bytes, lanes, outer axes, arguments; then the extents of the axes; then for
# each argument where its address is in the kernel's block, and its steps.
KERNEL, _BLOCK, _BYTES, _LANES, _AXES, _ARGUMENTS, _FIRST = range(8, 15)
ROW_NANOSECONDS = 60.0  # of a row, beside its lanes

# Rows that follow one another are found by steps from the one before.
_TEXT = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define void @rows(ptr %args, ptr %dims, ptr %steps, ptr %nest) nounwind {{
entry:
  %stop.at = getelementptr i64, ptr %nest, i64 {STOP}
  %tile.at = getelementptr i64, ptr %nest, i64 {TILE}
  %kernel.at = getelementptr i64, ptr %nest, i64 {KERNEL}
  %block.at = getelementptr i64, ptr %nest, i64 {_BLOCK}
  %bytes.at = getelementptr i64, ptr %nest, i64 {_BYTES}
  %lanes.at = getelementptr i64, ptr %nest, i64 {_LANES}
  %axes.at = getelementptr i64, ptr %nest, i64 {_AXES}
  %count.at = getelementptr i64, ptr %nest, i64 {_ARGUMENTS}
  %extents = getelementptr i64, ptr %nest, i64 {_FIRST}
  %stop = load i64, ptr %stop.at
  %tile = load i64, ptr %tile.at
  %kernel = load ptr, ptr %kernel.at
  %given = load ptr, ptr %block.at
  %bytes = load i64, ptr %bytes.at
  %lanes = load i64, ptr %lanes.at
  %axes = load i64, ptr %axes.at
  %count = load i64, ptr %count.at
  %own = getelementptr i64, ptr %extents, i64 %axes
  %width = add i64 %axes, 1
  %inner = sub i64 %axes, 1
  %index = alloca i64, i64 %axes
  %block = alloca i8, i64 %bytes, align 64
  br label %take
take:
  %first = atomicrmw add ptr %nest, i64 %tile seq_cst
  %over = icmp sge i64 %first, %stop
  br i1 %over, label %done, label %some
some:
  %end = add i64 %first, %tile
  %within = icmp slt i64 %end, %stop
  %last = select i1 %within, i64 %end, i64 %stop
  call void @llvm.memcpy.p0.p0.i64(ptr %block, ptr %given, i64 %bytes, i1 false)
  br label %digit
digit:
  %k = phi i64 [%inner, %some], [%k.next, %digit.done]
  %rest = phi i64 [%first, %some], [%above, %digit.done]
  %extent.at = getelementptr i64, ptr %extents, i64 %k
  %extent = load i64, ptr %extent.at
  %above = udiv i64 %rest, %extent
  %whole = mul i64 %above, %extent
  %i = sub i64 %rest, %whole
  %index.at = getelementptr i64, ptr %index, i64 %k
  store i64 %i, ptr %index.at
  br label %start
start:
  %a = phi i64 [0, %digit], [%a.next, %start]
  %a.words = mul i64 %a, %width
  %a.at = getelementptr i64, ptr %own, i64 %a.words
  %place = load i64, ptr %a.at
  %k.word = add i64 %k, 1
  %step.at = getelementptr i64, ptr %a.at, i64 %k.word
  %step = load i64, ptr %step.at
  %far = mul i64 %i, %step
  %address.at = getelementptr i64, ptr %block, i64 %place
  %address = load i64, ptr %address.at
  %there = add i64 %address, %far
  store i64 %there, ptr %address.at
  %a.next = add i64 %a, 1
  %a.left = icmp slt i64 %a.next, %count
  br i1 %a.left, label %start, label %digit.done
digit.done:
  %k.next = sub i64 %k, 1
  %k.left = icmp sge i64 %k.next, 0
  br i1 %k.left, label %digit, label %row
row:
  %r = phi i64 [%first, %digit.done], [%r.next, %moved]
  call void %kernel(ptr %block, i64 0, i64 %lanes)
  %r.next = add i64 %r, 1
  %more = icmp slt i64 %r.next, %last
  br i1 %more, label %axis, label %take
axis:
  %m = phi i64 [%inner, %row], [%m.next, %moved]
  %m.extent.at = getelementptr i64, ptr %extents, i64 %m
  %m.extent = load i64, ptr %m.extent.at
  %m.index.at = getelementptr i64, ptr %index, i64 %m
  %m.index = load i64, ptr %m.index.at
  %up = add i64 %m.index, 1
  %wraps = icmp eq i64 %up, %m.extent
  %m.new = select i1 %wraps, i64 0, i64 %up
  store i64 %m.new, ptr %m.index.at
  %m.back = sub i64 1, %m.extent
  %moves = select i1 %wraps, i64 %m.back, i64 1
  %m.word = add i64 %m, 1
  br label %move
move:
  %b = phi i64 [0, %axis], [%b.next, %move]
  %b.words = mul i64 %b, %width
  %b.at = getelementptr i64, ptr %own, i64 %b.words
  %b.place = load i64, ptr %b.at
  %b.step.at = getelementptr i64, ptr %b.at, i64 %m.word
  %b.step = load i64, ptr %b.step.at
  %b.far = mul i64 %moves, %b.step
  %b.address.at = getelementptr i64, ptr %block, i64 %b.place
  %b.address = load i64, ptr %b.address.at
  %b.there = add i64 %b.address, %b.far
  store i64 %b.there, ptr %b.address.at
  %b.next = add i64 %b, 1
  %b.left = icmp slt i64 %b.next, %count
  br i1 %b.left, label %move, label %moved
moved:
  %m.next = sub i64 %m, 1
  br i1 %wraps, label %axis, label %row
done:
  ret void
}}
"""


@cache
def _library() -> Library:
    """What takes rows."""
    return linked(_TEXT)


def launch(
    executable: Executable,
    lanes: int,
    extents: Sequence[int],
    arguments: Sequence[Argument],
    steps: Sequence[Sequence[int]],
    *,
    alone: bool = False,
) -> None:
    """Run a kernel for every index of outer axes, of these extents.

    steps  for each argument the bytes that it moves along each of them
    alone  whether rows must run in order, one after the other
    """
    rows = math.prod(extents)
    if not rows or not lanes:
        return
    block = executable.block((lanes,), arguments)
    block[TILE] = max(lanes, 1)
    own = words(executable, lanes, extents, block.ctypes.data, block.nbytes, steps)
    nest = np.array(own, np.int64)
    watch = here()
    nest[WATCH] = watch.ctypes.data
    each = executable.outline.work.nanoseconds((lanes,)) * lanes + ROW_NANOSECONDS
    threads = 1 if alone or each * rows < rounds.SERIAL_NANOSECONDS else get_threads()
    size = max(1, int(min(rounds.TILE_NANOSECONDS / each, rows / (4 * threads))))
    nest[TILE], take = size, address()
    with executable.tiers.running() as code:
        nest[KERNEL] = code.address
        for first, last in rounds.rounds(each, 0, rows, threads, size):
            nest[COUNTER], nest[STOP] = first, last
            few = min(threads, -(-(last - first) // size))
            POOL.run(take, nest.ctypes.data, few)


def address() -> int:
    """Where the code is that takes rows, of the words of a nest."""
    return _library().address("rows")


def words(
    executable: Executable,
    lanes: int,
    extents: Sequence[int],
    block: Any,
    size: int,
    steps: Sequence[Sequence[int]],
) -> list[Any]:
    """The words of a nest, but for the address of the code: a block of a size, steps.

    block  where it is
    """
    rows = math.prod(extents)
    made = [0, rows, rows, 0, 0, 0, 0, 0, 0, block]
    made += [size, lanes, len(extents), len(steps), *extents]
    for k, own in enumerate(steps):
        made += [slots(executable.outline, k).address, *own]
    return made

"""Running a kernel again for the few lanes of each vector that need a costly branch.

Where a branch is wanted by a lane here and a lane there, a vector would run it for the
sake of one of them.  Instead the lanes are noted, and what they were given is wrong
until the whole kernel has been run for them again, by as many at a time as a vector
has.  It is the same code that computes a lane wherever it is, so results do not depend
on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

from jitad.lowering.kernel import Kernel
from jitad.lowering.later import SHARE
from jitad.lowering.statement import Statement
from jitad.lowering.statements import If

from . import arguments
from .staging import Staging, copy_call, element_stride, room, word
from .values import Values

_NOTED = 4096  # lanes of which is noted whether to run them again, before they are

DECLARATION = "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)"


def waits(steps: Sequence[Statement]) -> bool:
    """Whether a branch among the steps may have lanes run again."""
    return any(isinstance(s, If) and s.later for s in steps)


def few(width: int) -> int:
    """How many lanes of a vector there are at most for which a branch is put off."""
    return width // SHARE


def put_off(f: Values, mask: str, some: str, inside: str, out: str) -> str:
    """Go inside, out, or note few lanes and go out; the block that notes them."""
    asked, note, width = f.label("asked"), f.label("note"), f.width
    bits, count, seldom, able, both = (f.fresh() for _ in range(5))
    symbol = f"@llvm.ctpop.i{width}"
    f.module.calls.declare(symbol, f"declare i{width} {symbol}(i{width})")
    f.add([f"br i1 {some}, label %{asked}, label %{out}"])
    f.begin(asked)
    f.add(
        [
            f"{bits} = bitcast <{width} x i1> {mask} to i{width}",
            f"{count} = call i{width} {symbol}(i{width} {bits})",
            f"{seldom} = icmp ule i{width} {count}, {few(width)}",
            f"{able} = icmp ne ptr %later, null",
            f"{both} = and i1 {seldom}, {able}",
            f"br i1 {both}, label %{note}, label %{inside}",
        ]
    )
    f.begin(note)
    place, old, new, now = (f.fresh() for _ in range(4))
    marks = f"<{width} x i8>"
    f.add(
        [
            f"{place} = getelementptr i8, ptr %later, i64 %x0",
            f"{old} = load {marks}, ptr {place}, align 1",
            f"{new} = zext <{width} x i1> {mask} to {marks}",
            f"{now} = or {marks} {old}, {new}",
            f"store {marks} {now}, ptr {place}, align 1",
            f"br label %{out}",
        ]
    )
    return note


def entry(name: str, run: str, kernel: Kernel, width: int) -> str:
    """Print void @name(ptr block, i64 lo, i64 hi): run lanes, some of them again."""
    words = arguments.size(kernel)
    return f"""\
define void @{name}(ptr %given, i64 %lo, i64 %hi) nounwind {{
entry:
  %block = alloca [{words} x i64]
  %marks = alloca [{_NOTED + width} x i8], align 64
  call void @llvm.memcpy.p0.p0.i64(ptr %block, ptr %given, i64 {8 * words}, i1 false)
  %later = getelementptr i64, ptr %block, i64 {arguments.LATER}
  br label %next
next:
  %first = phi i64 [%lo, %entry], [%end, %some]
  %more = icmp slt i64 %first, %hi
  br i1 %more, label %some, label %done
some:
  %most = add i64 %first, {_NOTED}
  %end = call i64 @llvm.smin.i64(i64 %most, i64 %hi)
  %count = sub i64 %end, %first
  %bytes = add i64 %count, {width}
  call void @llvm.memset.p0.i64(ptr %marks, i8 0, i64 %bytes, i1 false)
  %before = sub i64 0, %first
  %origin = getelementptr i8, ptr %marks, i64 %before
  store ptr %origin, ptr %later
  call void @{run}(ptr %block, i64 %first, i64 %end)
  store ptr null, ptr %later
  call void @again(ptr %block, i64 %first, i64 %count, ptr %marks)
  br label %next
done:
  ret void
}}"""


def again(kernel: Kernel, width: int, plan: Staging) -> str:
    """Print void @again(block, lo, count, marks): run the marked lanes once more."""
    words = arguments.size(kernel)
    reserve, release = room("%scratch", plan.bytes)
    return f"""\
define internal void @again(ptr %block, i64 %lo, i64 %count, ptr %marks) \
noinline nounwind {{
entry:
  %list = alloca [{width} x i64]
  %frame = alloca [{words} x i64]
{chr(10).join(reserve)}
  call void @llvm.memcpy.p0.p0.i64(ptr %frame, ptr %block, i64 {8 * words}, i1 false)
{_in_scratch(kernel, plan)}
  br label %look
look:
  %i = phi i64 [0, %entry], [%i.next, %skip], [%i.next, %after]
  %n = phi i64 [0, %entry], [%n, %skip], [%n.next, %after]
  %i.next = add i64 %i, 8
  %more = icmp slt i64 %i, %count
  br i1 %more, label %eight, label %rest
eight:
  %place = getelementptr i8, ptr %marks, i64 %i
  %marked = load i64, ptr %place, align 1
  %any = icmp ne i64 %marked, 0
  br i1 %any, label %one, label %skip
skip:
  br label %look
one:
  %j = phi i64 [%i, %eight], [%j.next, %after]
  %m = phi i64 [%n, %eight], [%n.next, %after]
  %own = getelementptr i8, ptr %marks, i64 %j
  %mark = load i8, ptr %own
  %noted = icmp ne i8 %mark, 0
  %real = icmp slt i64 %j, %count
  %wanted = and i1 %noted, %real
  br i1 %wanted, label %keep, label %after
keep:
  %lane = add i64 %lo, %j
  %slot = getelementptr i64, ptr %list, i64 %m
  store i64 %lane, ptr %slot
  %m.next = add i64 %m, 1
  %full = icmp eq i64 %m.next, {width}
  br i1 %full, label %run, label %after
run:
  call void @again.lanes(ptr %block, ptr %frame, ptr %scratch, ptr %list, i64 {width})
  br label %after
after:
  %n.next = phi i64 [%m, %one], [%m.next, %keep], [0, %run]
  %j.next = add i64 %j, 1
  %left = icmp slt i64 %j.next, %i.next
  br i1 %left, label %one, label %look
rest:
  %some = icmp ne i64 %n, 0
  br i1 %some, label %last, label %done
last:
  call void @again.lanes(ptr %block, ptr %frame, ptr %scratch, ptr %list, i64 %n)
  br label %done
done:
{chr(10).join([*release, "  ret void"])}
}}
{_listed(kernel, width, plan)}"""


def _in_scratch(kernel: Kernel, plan: Staging) -> str:
    """Let a frame point to scratch memory for all that is a lane's own."""
    lines: list[str] = []
    for i, scratch in plan.scratch.items():
        at = arguments.slots(kernel, i)
        place = f"%s{i}"
        lines.append(
            f"  {place} = getelementptr i8, ptr %scratch, i64 {scratch.offset}"
        )
        for slot, value in (
            (at.address, f"ptr {place}"),
            (at.lane, f"i64 {scratch.lane}"),
            (at.element, f"i64 {scratch.element}"),
            (at.stride, f"i64 {scratch.lane}"),
        ):
            pointer = f"%f{len(lines)}"
            lines += [
                f"  {pointer} = getelementptr i64, ptr %frame, i64 {slot}",
                f"  store {value}, ptr {pointer}",
            ]
    return "\n".join(lines)


def _listed(kernel: Kernel, width: int, plan: Staging) -> str:
    """Print void @again.lanes(block, frame, scratch, list, n): run listed lanes."""
    lines: list[str] = []
    for i in plan.scratch:
        at = arguments.slots(kernel, i)
        word(lines, f"%a{i}", "%block", at.address, "ptr")
        word(lines, f"%l{i}", "%block", at.stride)
        word(lines, f"%e{i}", "%block", at.given)
        word(lines, f"%t{i}", "%block", at.given, "ptr")
    taken = _copies(kernel, plan, "k", output=False)
    given = _copies(kernel, plan, "g", output=True)
    return f"""\
define internal void @again.lanes(ptr %block, ptr %frame, ptr %scratch, ptr %list, \
i64 %n) noinline nounwind {{
entry:
  %last = sub i64 %n, 1
{chr(10).join(lines)}
  br label %take
take:
  %k = phi i64 [0, %entry], [%k.next, %take]
  %k.slot = call i64 @llvm.smin.i64(i64 %k, i64 %last)
{taken}
  %k.next = add i64 %k, 1
  %k.more = icmp slt i64 %k.next, {width}
  br i1 %k.more, label %take, label %run
run:
  call void @lanes(ptr %frame, i64 0, i64 {width})
  br label %give
give:
  %g = phi i64 [0, %run], [%g.next, %give]
  %g.slot = add i64 %g, 0
{given}
  %g.next = add i64 %g, 1
  %g.more = icmp slt i64 %g.next, %n
  br i1 %g.more, label %give, label %done
done:
  ret void
}}"""


def _copies(kernel: Kernel, plan: Staging, k: str, *, output: bool) -> str:
    """Copies of listed lane number %k to scratch, or from it."""
    lines = [
        f"  %{k}.where = getelementptr i64, ptr %list, i64 %{k}.slot",
        f"  %{k}.lane = load i64, ptr %{k}.where",
    ]
    for i, scratch in plan.scratch.items():
        buffer = kernel.buffers[i]
        if buffer.output != output:
            continue
        lines += [
            f"  %{k}.d{i} = mul i64 %{k}.lane, %l{i}",
            f"  %{k}.u{i} = getelementptr i8, ptr %a{i}, i64 %{k}.d{i}",
            f"  %{k}.o{i} = mul i64 %{k}, {scratch.lane}",
            f"  %{k}.p{i} = add i64 %{k}.o{i}, {scratch.offset}",
            f"  %{k}.s{i} = getelementptr i8, ptr %scratch, i64 %{k}.p{i}",
        ]
        user = (f"%{k}.u{i}", f"%l{i}", element_stride(buffer, f"%e{i}"), f"%t{i}")
        own = (f"%{k}.s{i}", str(scratch.lane), str(scratch.element), "null")
        sides = (user, own) if output else (own, user)
        lines.append("  " + copy_call(buffer, *sides, "1", "0"))
    return "\n".join(lines)

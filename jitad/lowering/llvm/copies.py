"""Copies between scratch and the user's memory, which all kernels share.

`jitad.copyN` moves scalars of N bytes in any layout; `jitad.runs` moves contiguous
runs, around the cache where the launch asks for it.  A process compiles each once.
"""

from __future__ import annotations

from .arguments import MODE, STREAMED

SIZES = (1, 2, 4, 8)
# The name of copies that were made quickly begins so.
QUICK = "quick."
USUAL = ("jitad.runs", "jitad.copy8")
_SIDE = "ptr, i64, i64, ptr"
_INTRINSICS = """\
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @llvm.smin.i64(i64, i64)"""

_COPY = """\
define void @jitad.copy{size}(ptr %to, i64 %to.lane, i64 %to.element, \
ptr %to.table, ptr %from, i64 %from.lane, i64 %from.element, ptr %from.table, \
i64 %count, i64 %last, i64 %elements) nounwind {{
entry:
  %to.listed = icmp ne ptr %to.table, null
  %from.listed = icmp ne ptr %from.table, null
  br label %element
element:
  %j = phi i64 [0, %entry], [%j.next, %next]
  %to.even = mul i64 %j, %to.element
  %from.even = mul i64 %j, %from.element
  br i1 %to.listed, label %to.look, label %to.known
to.look:
  %to.entry = getelementptr i64, ptr %to.table, i64 %j
  %to.found = load i64, ptr %to.entry
  br label %to.known
to.known:
  %to.offset = phi i64 [%to.even, %element], [%to.found, %to.look]
  br i1 %from.listed, label %from.look, label %from.known
from.look:
  %from.entry = getelementptr i64, ptr %from.table, i64 %j
  %from.found = load i64, ptr %from.entry
  br label %from.known
from.known:
  %from.offset = phi i64 [%from.even, %to.known], [%from.found, %from.look]
  %to.start = getelementptr i8, ptr %to, i64 %to.offset
  %from.start = getelementptr i8, ptr %from, i64 %from.offset
  br label %lane
lane:
  %i = phi i64 [0, %from.known], [%i.next, %lane]
  %row = call i64 @llvm.smin.i64(i64 %i, i64 %last)
  %to.far = mul i64 %i, %to.lane
  %from.far = mul i64 %row, %from.lane
  %to.at = getelementptr i8, ptr %to.start, i64 %to.far
  %from.at = getelementptr i8, ptr %from.start, i64 %from.far
  %value = load i{bits}, ptr %from.at, align 1
  store i{bits} %value, ptr %to.at, align 1
  %i.next = add i64 %i, 1
  %i.more = icmp slt i64 %i.next, %count
  br i1 %i.more, label %lane, label %next, !llvm.loop !1
next:
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %elements
  br i1 %j.more, label %element, label %done, !llvm.loop !1
done:
  ret void
}}"""

_RUNS = """\
define void @jitad.runs(ptr %to, i64 %to.step, ptr %from, i64 %from.step, \
i64 %count, i64 %bytes, ptr %block) nounwind {{
entry:
  %mode.w = getelementptr i64, ptr %block, i64 {mode}
  %mode = load i64, ptr %mode.w
  %stream = icmp eq i64 %mode, {streamed}
  br label %run
run:
  %j = phi i64 [0, %entry], [%j.next, %next]
  %to.far = mul i64 %j, %to.step
  %from.far = mul i64 %j, %from.step
  %t = getelementptr i8, ptr %to, i64 %to.far
  %f = getelementptr i8, ptr %from, i64 %from.far
  br i1 %stream, label %around, label %plain
plain:
  call void @llvm.memcpy.p0.p0.i64(ptr %t, ptr %f, i64 %bytes, i1 false)
  br label %next
around:
  %address = ptrtoint ptr %t to i64
  %negative = sub i64 0, %address
  %skip = and i64 %negative, 63
  %head = call i64 @llvm.smin.i64(i64 %skip, i64 %bytes)
  %unaligned = icmp ne i64 %head, 0
  br i1 %unaligned, label %before, label %lines
before:
  call void @llvm.memcpy.p0.p0.i64(ptr %t, ptr %f, i64 %head, i1 false)
  br label %lines
lines:
  %rest = sub i64 %bytes, %head
  %whole = and i64 %rest, -64
  %end = add i64 %head, %whole
  %any = icmp ne i64 %whole, 0
  br i1 %any, label %line, label %tail
line:
  %k = phi i64 [%head, %lines], [%k.next, %line]
  %tk = getelementptr i8, ptr %t, i64 %k
  %fk = getelementptr i8, ptr %f, i64 %k
  %v = load <8 x i64>, ptr %fk, align 8
  store <8 x i64> %v, ptr %tk, align 64, !nontemporal !0
  %k.next = add i64 %k, 64
  %k.more = icmp slt i64 %k.next, %end
  br i1 %k.more, label %line, label %tail, !llvm.loop !1
tail:
  %over = sub i64 %bytes, %end
  %some = icmp ne i64 %over, 0
  br i1 %some, label %last, label %next
last:
  %te = getelementptr i8, ptr %t, i64 %end
  %fe = getelementptr i8, ptr %f, i64 %end
  call void @llvm.memcpy.p0.p0.i64(ptr %te, ptr %fe, i64 %over, i1 false)
  br label %next
next:
  %j.next = add i64 %j, 1
  %j.more = icmp slt i64 %j.next, %count
  br i1 %j.more, label %run, label %done, !llvm.loop !1
done:
  ret void
}}"""

_METADATA = """\
!0 = !{i32 1}
!1 = distinct !{!1, !2}
!2 = !{!"llvm.loop.unroll.disable"}
"""

DECLARATIONS = "\n".join(
    [
        *(
            f"declare void @jitad.copy{size}({_SIDE}, {_SIDE}, i64, i64, i64)"
            for size in SIZES
        ),
        "declare void @jitad.runs(ptr, i64, ptr, i64, i64, i64, ptr)",
    ]
)


def copies(*sizes: int) -> str:
    """The LLVM module that defines `jitad.copyN` for each N."""
    return "\n".join([_INTRINSICS, *map(_copy, sizes), _METADATA])


def usual() -> str:
    """The LLVM module that defines `jitad.runs` and `jitad.copy8`.

    Nearly every kernel calls them, and one module takes less time than two.
    """
    runs = _RUNS.format(mode=MODE, streamed=STREAMED)
    return "\n".join([_INTRINSICS, runs, _copy(8), _METADATA])


def defining(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The module that defines a copy, and all that it defines; None for other names."""
    if name in USUAL:
        return usual(), USUAL
    found = [copies(n) for n in SIZES if name == f"jitad.copy{n}"]
    return (found[0], (name,)) if found else None


def _copy(size: int) -> str:
    return _COPY.format(size=size, bits=8 * size)


def quick(text: str) -> str:
    """The name of a copy, or a text with such, for copies that were made quickly."""
    for kind in ("copy", "runs"):
        text = text.replace(f"jitad.{kind}", f"{QUICK}{kind}")
    return text

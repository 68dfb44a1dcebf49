"""An allocator in machine code, as NumPy takes one for its arrays (NEP 49).

Blocks that come back are kept, oldest first, and given out again.  NumPy calls `take`,
`blank` (zeros), `renew` and `give`, and keeps with every array which allocator made it.
`empty` lets the system have what is kept.  `fresh` links TEXT and says when it is used.

@used and @kept are bytes, of blocks that arrays have and of the @count that none has.
At most @most are kept, and none for more than @longest seconds while others come and
go.  Where there are @large pages they are asked for, and of kept blocks the system may
take them when it runs short.

Before the memory of an array lie the bytes of its block.  Whoever finds the list @taken
does without it: nobody waits, nor does a forked child.
"""

from __future__ import annotations

from jitad.lowering.llvm.staging import QUICK

# Bytes from which a block is the system's; a smaller one is the C library's, for a
# process may have only a limited number of the system's.
_SYSTEM = 1 << 20
# How many blocks are kept at most.
BLOCKS = 64
# A block is used again where at most 1 / 2**_SPARE of what is asked for stays unused.
_SPARE = 2
# Bytes from which the system is asked for large pages, as NumPy does, and theirs.
_LARGE, _WIDE = 1 << 22, 1 << 21
# Before an array, so that it begins on a cache line.
_HEAD = 64
_HUGE_PAGES, _FREE = 14, 8  # for madvise
_READ_WRITE, _PRIVATE = 3, 0x22  # for mmap
_COARSE = 6  # a clock that is read quickly
_END = r"\00"

TEXT = f"""
%block = type {{ ptr, i64, i64 }}
%handler = type {{ [127 x i8], i8, ptr, ptr, ptr, ptr, ptr }}
@label = global [12 x i8] c"mem_handler{_END}"
@handler = global %handler {{ [127 x i8] c"jitad{_END * 122}", i8 1, ptr null,
  ptr @take, ptr @blank, ptr @renew, ptr @give }}
@most = global i64 0
@longest = global i64 0
@large = global i64 0
@used = global i64 0
@kept = global i64 0
@count = global i64 0
@blocks = internal global [{BLOCKS} x %block] zeroinitializer
@taken = internal global i64 0

declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
declare i32 @madvise(ptr, i64, i32)
declare i32 @clock_gettime(i32, ptr)
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i64 @llvm.umin.i64(i64, i64)
declare {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64, i64)

define internal i1 @enter() alwaysinline {{
  %before = atomicrmw xchg ptr @taken, i64 1 acquire
  %free = icmp eq i64 %before, 0
  ret i1 %free
}}

define internal void @leave() alwaysinline {{
  store atomic i64 0, ptr @taken release, align 8
  ret void
}}

; Whether a block is of large pages.
define internal i1 @wide(i64 %bytes) alwaysinline {{
  %large = load i64, ptr @large
  %are = icmp ne i64 %large, 0
  %enough = icmp uge i64 %bytes, {_LARGE}
  %both = and i1 %are, %enough
  ret i1 %both
}}

; Takes block k, of a number of bytes, off the list: where it is.
define internal ptr @remove(i64 %k, i64 %bytes) alwaysinline {{
  %at = getelementptr %block, ptr @blocks, i64 %k
  %next = getelementptr %block, ptr %at, i64 1
  %place = load ptr, ptr %at
  %kept = load i64, ptr @kept
  %kept.less = sub i64 %kept, %bytes
  store i64 %kept.less, ptr @kept
  %count = load i64, ptr @count
  %less = sub i64 %count, 1
  store i64 %less, ptr @count
  %after = sub i64 %less, %k
  %moved = mul i64 %after, 24
  call void @llvm.memmove.p0.p0.i64(ptr %at, ptr %next, i64 %moved, i1 false)
  ret ptr %place
}}

; Gives a block to whoever had it before.
define internal void @release(ptr %place, i64 %bytes) {QUICK} {{
entry:
  %own.size = icmp uge i64 %bytes, {_SYSTEM}
  br i1 %own.size, label %system, label %library
system:
  %failed = call i32 @munmap(ptr %place, i64 %bytes)
  ret void
library:
  call void @free(ptr %place)
  ret void
}}

; Gives the oldest blocks back: those from before a time, and what is more
; than these bytes and blocks.
define internal void @trim(i64 %most, i64 %blocks, i64 %time) {QUICK} {{
entry:
  br label %look
look:
  %count = load i64, ptr @count
  %kept = load i64, ptr @kept
  %bytes = load i64, ptr getelementptr (%block, ptr @blocks, i64 0, i32 1)
  %since = load i64, ptr getelementptr (%block, ptr @blocks, i64 0, i32 2)
  %many = icmp ugt i64 %count, %blocks
  %much = icmp ugt i64 %kept, %most
  %old = icmp slt i64 %since, %time
  %some = icmp ne i64 %count, 0
  %more = or i1 %many, %much
  %out = or i1 %more, %old
  %any = and i1 %out, %some
  br i1 %any, label %drop, label %done
drop:
  %place = call ptr @remove(i64 0, i64 %bytes)
  call void @release(ptr %place, i64 %bytes)
  br label %look
done:
  ret void
}}

define void @empty() {QUICK} {{
entry:
  %alone = call i1 @enter()
  br i1 %alone, label %all, label %done
all:
  call void @trim(i64 0, i64 0, i64 0)
  call void @leave()
  br label %done
done:
  ret void
}}

define ptr @take(ptr %context, i64 %size) {QUICK} {{
entry:
  %needed = add i64 %size, {_HEAD}
  %large = icmp uge i64 %needed, {_LARGE}
  %last = select i1 %large, i64 {_WIDE - 1}, i64 4095
  %over = add i64 %needed, %last
  %mask = xor i64 %last, -1
  %bytes = and i64 %over, %mask
  %spare = lshr i64 %bytes, {_SPARE}
  %most = add i64 %bytes, %spare
  %alone = call i1 @enter()
  br i1 %alone, label %begin, label %new
begin:
  %count = load i64, ptr @count
  br label %look
; The kept block that fits best, and of these the latest.
look:
  %k = phi i64 [0, %begin], [%k.next, %see]
  %best = phi i64 [-1, %begin], [%best.next, %see]
  %least = phi i64 [%most, %begin], [%least.next, %see]
  %more = icmp ult i64 %k, %count
  br i1 %more, label %see, label %seen
see:
  %room.at = getelementptr %block, ptr @blocks, i64 %k, i32 1
  %room = load i64, ptr %room.at
  %enough = icmp uge i64 %room, %bytes
  %close = icmp ule i64 %room, %least
  %better = and i1 %enough, %close
  %best.next = select i1 %better, i64 %k, i64 %best
  %least.next = select i1 %better, i64 %room, i64 %least
  %k.next = add i64 %k, 1
  br label %look
seen:
  %found = icmp sge i64 %best, 0
  br i1 %found, label %again, label %other
again:
  %kept = call ptr @remove(i64 %best, i64 %least)
  call void @leave()
  br label %ready
other:
  call void @leave()
  br label %new
new:
  %own.size = icmp uge i64 %bytes, {_SYSTEM}
  br i1 %own.size, label %system, label %library
library:
  %lent = call ptr @aligned_alloc(i64 {_HEAD}, i64 %bytes)
  %missing = icmp eq ptr %lent, null
  br i1 %missing, label %none, label %ready
system:
  %second = phi i1 [false, %new], [true, %refused]
  %mapped = call ptr @mmap(ptr null, i64 %bytes, i32 {_READ_WRITE}, i32 {_PRIVATE}, \
i32 -1, i64 0)
  %failed = icmp eq ptr %mapped, inttoptr (i64 -1 to ptr)
  br i1 %failed, label %short, label %given
short:
  br i1 %second, label %none, label %refused
refused:
  call void @empty()
  br label %system
given:
  %may = call i1 @wide(i64 %bytes)
  br i1 %may, label %advise, label %ready
advise:
  %filled = and i64 %needed, {-_WIDE}
  %unheard = call i32 @madvise(ptr %mapped, i64 %filled, i32 {_HUGE_PAGES})
  br label %ready
ready:
  %place = phi ptr [%kept, %again], [%lent, %library], [%mapped, %given], \
[%mapped, %advise]
  %own = phi i64 [%least, %again], [%bytes, %library], [%bytes, %given], \
[%bytes, %advise]
  %used = atomicrmw add ptr @used, i64 %own monotonic
  store i64 %own, ptr %place
  %memory = getelementptr i8, ptr %place, i64 {_HEAD}
  ret ptr %memory
none:
  ret ptr null
}}

define ptr @blank(ptr %context, i64 %count, i64 %each) {QUICK} {{
entry:
  %product = call {{ i64, i1 }} @llvm.umul.with.overflow.i64(i64 %count, i64 %each)
  %over = extractvalue {{ i64, i1 }} %product, 1
  %size = extractvalue {{ i64, i1 }} %product, 0
  br i1 %over, label %none, label %sized
sized:
  %memory = call ptr @take(ptr %context, i64 %size)
  %missing = icmp eq ptr %memory, null
  br i1 %missing, label %none, label %fill
fill:
  call void @llvm.memset.p0.i64(ptr %memory, i8 0, i64 %size, i1 false)
  ret ptr %memory
none:
  ret ptr null
}}

define ptr @renew(ptr %context, ptr %memory, i64 %size) {QUICK} {{
entry:
  %new = call ptr @take(ptr %context, i64 %size)
  %missing = icmp eq ptr %new, null
  br i1 %missing, label %none, label %copy
copy:
  %place = getelementptr i8, ptr %memory, i64 {-_HEAD}
  %bytes = load i64, ptr %place
  %room = sub i64 %bytes, {_HEAD}
  %common = call i64 @llvm.umin.i64(i64 %size, i64 %room)
  call void @llvm.memcpy.p0.p0.i64(ptr %new, ptr %memory, i64 %common, i1 false)
  call void @give(ptr %context, ptr %memory, i64 %room)
  ret ptr %new
none:
  ret ptr null
}}

define void @give(ptr %context, ptr %memory, i64 %size) {QUICK} {{
entry:
  %time = alloca [2 x i64]
  %place = getelementptr i8, ptr %memory, i64 {-_HEAD}
  %bytes = load i64, ptr %place
  %used = atomicrmw sub ptr @used, i64 %bytes monotonic
  %most = load i64, ptr @most
  %too.much = icmp ugt i64 %bytes, %most
  br i1 %too.much, label %out, label %ask
ask:
  %alone = call i1 @enter()
  br i1 %alone, label %old, label %out
out:
  call void @release(ptr %place, i64 %bytes)
  ret void
old:
  %untold = call i32 @clock_gettime(i32 {_COARSE}, ptr %time)
  %now = load i64, ptr %time
  %longest = load i64, ptr @longest
  %since = sub i64 %now, %longest
  %left = sub i64 %most, %bytes
  call void @trim(i64 %left, i64 {BLOCKS - 1}, i64 %since)
  %may = call i1 @wide(i64 %bytes)
  br i1 %may, label %lend, label %keep
lend:
  %first = ptrtoint ptr %place to i64
  %first.over = add i64 %first, {_WIDE - 1}
  %first.page = and i64 %first.over, {-_WIDE}
  %end = add i64 %first, %bytes
  %end.page = and i64 %end, {-_WIDE}
  %pages = sub i64 %end.page, %first.page
  %pages.at = inttoptr i64 %first.page to ptr
  %unheard = call i32 @madvise(ptr %pages.at, i64 %pages, i32 {_FREE})
  br label %keep
keep:
  %last = load i64, ptr @count
  %place.at = getelementptr %block, ptr @blocks, i64 %last
  %bytes.at = getelementptr %block, ptr @blocks, i64 %last, i32 1
  %since.at = getelementptr %block, ptr @blocks, i64 %last, i32 2
  store ptr %place, ptr %place.at
  store i64 %bytes, ptr %bytes.at
  store i64 %now, ptr %since.at
  %last.next = add i64 %last, 1
  store i64 %last.next, ptr @count
  %kept = load i64, ptr @kept
  %kept.next = add i64 %kept, %bytes
  store i64 %kept.next, ptr @kept
  call void @leave()
  ret void
}}
"""

"""The machine code that follows programs of `launches`, and how their words lie."""

from __future__ import annotations

from functools import cache

from jitad.lowering.llvm.arguments import COUNTER, STOP

from . import watch
from .link import Library
from .objects import linked

# The words of a program: the header, then the table, then all else.
GATE, FUNCTION, BLOCK, OVER, START, ACCOUNT = range(8, 14)
TABLE = 16
END, ENTRY, TILES, FILL, COPY, FOLD, LOOP = range(7)
_SPINS = 2000  # looks of a helper, before it lets others have the processor


@cache
def library() -> Library:
    """What follows programs."""
    watch.share()
    return linked(_TEXT)


def _words(base: str, *names: str, first: int = 2) -> str:
    """Lines that load words of an operation, one after the other."""
    lines = []
    for k, name in enumerate(names, first):
        lines.append(f"  %{name}.at = getelementptr i64, ptr %{base}, i64 {k}")
        lines.append(f"  %{name} = load i64, ptr %{name}.at")
    return "\n".join(lines)


def _fold(name: str, kind: str, add: str) -> str:
    return f"""
define internal void @fold.{name}(ptr %partial, ptr %target, i64 %n, i64 %m, \
i64 %stride, i64 %width) nounwind {{
entry:
  %length = mul i64 %m, %width
  %bytes = mul i64 %length, 8
  br label %tree
tree:
  %count = phi i64 [%n, %entry], [%count.next, %joined]
  %several = icmp sgt i64 %count, 1
  br i1 %several, label %halve, label %element
halve:
  %half = lshr i64 %count, 1
  %odd = and i64 %count, 1
  br label %row
row:
  %r = phi i64 [0, %halve], [%r.next, %row.done]
  %r.left = icmp slt i64 %r, %half
  br i1 %r.left, label %cells, label %rows.done
cells:
  %r.first = mul i64 %r, %stride
  %other = add i64 %r, %half
  %o.first = mul i64 %other, %stride
  %here = getelementptr {kind}, ptr %partial, i64 %r.first
  %there = getelementptr {kind}, ptr %partial, i64 %o.first
  br label %cell
cell:
  %e = phi i64 [0, %cells], [%e.next, %cell]
  %a.at = getelementptr {kind}, ptr %here, i64 %e
  %b.at = getelementptr {kind}, ptr %there, i64 %e
  %a = load {kind}, ptr %a.at
  %b = load {kind}, ptr %b.at
  %sum = {add} {kind} %a, %b
  store {kind} %sum, ptr %a.at
  %e.next = add i64 %e, 1
  %e.left = icmp slt i64 %e.next, %length
  br i1 %e.left, label %cell, label %row.done
row.done:
  %r.next = add i64 %r, 1
  br label %row
rows.done:
  %count.next = add i64 %half, %odd
  %is.odd = icmp ne i64 %odd, 0
  br i1 %is.odd, label %keep, label %joined
keep:
  %last = sub i64 %count, 1
  %last.first = mul i64 %last, %stride
  %half.first = mul i64 %half, %stride
  %from = getelementptr {kind}, ptr %partial, i64 %last.first
  %to = getelementptr {kind}, ptr %partial, i64 %half.first
  call void @llvm.memmove.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)
  br label %joined
joined:
  br label %tree
element:
  %j = phi i64 [0, %tree], [%j.next, %added]
  %j.left = icmp slt i64 %j, %m
  br i1 %j.left, label %vector, label %done
vector:
  %v.first = mul i64 %j, %width
  %v = getelementptr {kind}, ptr %partial, i64 %v.first
  br label %lanes
lanes:
  %w = phi i64 [%width, %vector], [%w.half, %lanes.done]
  %w.several = icmp sgt i64 %w, 1
  br i1 %w.several, label %fewer, label %added
fewer:
  %w.half = lshr i64 %w, 1
  br label %lane
lane:
  %l = phi i64 [0, %fewer], [%l.next, %lane]
  %l.other = add i64 %l, %w.half
  %c.at = getelementptr {kind}, ptr %v, i64 %l
  %d.at = getelementptr {kind}, ptr %v, i64 %l.other
  %c = load {kind}, ptr %c.at
  %d = load {kind}, ptr %d.at
  %cd = {add} {kind} %c, %d
  store {kind} %cd, ptr %c.at
  %l.next = add i64 %l, 1
  %l.left = icmp slt i64 %l.next, %w.half
  br i1 %l.left, label %lane, label %lanes.done
lanes.done:
  br label %lanes
added:
  %first = load {kind}, ptr %v
  %t.at = getelementptr {kind}, ptr %target, i64 %j
  %t = load {kind}, ptr %t.at
  %t.next = {add} {kind} %t, %first
  store {kind} %t.next, ptr %t.at
  %j.next = add i64 %j, 1
  br label %element
done:
  ret void
}}
"""


# Where a launch is handed to helpers.
_HANDED = f"""\
  %gate.at = getelementptr i64, ptr %p, i64 {GATE}
  %function.at = getelementptr i64, ptr %p, i64 {FUNCTION}
  %block.at = getelementptr i64, ptr %p, i64 {BLOCK}"""
# A thread looks again for a while, and then lets others have the processor.
_PAUSE = f"""\
again:
  %n.next = add i64 %n, 1
  %long = icmp sgt i64 %n.next, {_SPINS}
  br i1 %long, label %yield, label %wait
yield:
  %yielded = call i32 @sched_yield()
  br label %wait"""
_TEXT = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i32 @sched_yield()
declare i1 @jitad.look(ptr, ptr)
{_fold("float", "double", "fadd")}
{_fold("whole", "i64", "add")}
define void @walk(ptr %helper, ptr %dims, ptr %steps, ptr %p) {{
entry:
  %over.at = getelementptr i64, ptr %p, i64 {OVER}
{_HANDED}
  %leads = icmp eq ptr %helper, null
  br i1 %leads, label %lead, label %wait
lead:
  %start.at = getelementptr i64, ptr %p, i64 {START}
  %start = load i64, ptr %start.at
  %left = call i1 @follow(ptr %p, i64 %start)
  store atomic i64 1, ptr %over.at seq_cst, align 8
  ret void
wait:
  %n = phi i64 [0, %entry], [%n.next, %again], [0, %worked], [0, %yield]
  %over = load atomic i64, ptr %over.at seq_cst, align 8
  %ends = icmp ne i64 %over, 0
  br i1 %ends, label %done, label %look
look:
  %gate = load atomic i64, ptr %gate.at seq_cst, align 8
  %bit = and i64 %gate, 1
  %open = icmp ne i64 %bit, 0
  br i1 %open, label %enter, label %again
{_PAUSE}
enter:
  %before = atomicrmw add ptr %gate.at, i64 2 seq_cst
  %still.bit = and i64 %before, 1
  %still = icmp ne i64 %still.bit, 0
  br i1 %still, label %work, label %worked
work:
  %function = load ptr, ptr %function.at
  %block = load ptr, ptr %block.at
  call void %function(ptr null, ptr null, ptr null, ptr %block)
  br label %worked
worked:
  %after = atomicrmw sub ptr %gate.at, i64 2 seq_cst
  br label %wait
done:
  ret void
}}

define internal void @share(ptr %p, ptr %function, ptr %block) {{
entry:
{_HANDED}
  store ptr %function, ptr %function.at
  store ptr %block, ptr %block.at
  %opened = atomicrmw or ptr %gate.at, i64 1 seq_cst
  call void %function(ptr null, ptr null, ptr null, ptr %block)
  %closed = atomicrmw and ptr %gate.at, i64 -2 seq_cst
  br label %wait
wait:
  %n = phi i64 [0, %entry], [%n.next, %again], [0, %yield]
  %inside = load atomic i64, ptr %gate.at seq_cst, align 8
  %alone = icmp eq i64 %inside, 0
  br i1 %alone, label %done, label %again
{_PAUSE}
done:
  ret void
}}

define internal void @patch(ptr %p, ptr %list, i64 %n) nounwind {{
entry:
  %table = getelementptr i64, ptr %p, i64 {TABLE}
  br label %next
next:
  %k = phi i64 [0, %entry], [%k.next, %one]
  %left = icmp slt i64 %k, %n
  br i1 %left, label %one, label %done
one:
  %first = mul i64 %k, 3
  %this = getelementptr i64, ptr %list, i64 %first
{_words("this", "where", "place", "offset", first=0)}
  %base.at = getelementptr i64, ptr %table, i64 %place
  %base = load i64, ptr %base.at
  %address = add i64 %base, %offset
  %word.at = getelementptr i64, ptr %p, i64 %where
  store i64 %address, ptr %word.at
  %k.next = add i64 %k, 1
  br label %next
done:
  ret void
}}

define internal void @move(ptr %p, ptr %list, i64 %n, i64 %turn, i64 %index) nounwind {{
entry:
  %table = getelementptr i64, ptr %p, i64 {TABLE}
  br label %next
next:
  %k = phi i64 [0, %entry], [%k.next, %one]
  %left = icmp slt i64 %k, %n
  br i1 %left, label %one, label %done
one:
  %first = mul i64 %k, 7
  %this = getelementptr i64, ptr %list, i64 %first
{_words("this", "place", "from", "offset", "stride", "shift", "mask", "by", first=0)}
  %turns = icmp ne i64 %by, 0
  %i = select i1 %turns, i64 %turn, i64 %index
  %shifted = add i64 %i, %shift
  %row = and i64 %shifted, %mask
  %far = mul i64 %row, %stride
  %base.at = getelementptr i64, ptr %table, i64 %from
  %base = load i64, ptr %base.at
  %begin = add i64 %base, %offset
  %address = add i64 %begin, %far
  %word.at = getelementptr i64, ptr %table, i64 %place
  store i64 %address, ptr %word.at
  %k.next = add i64 %k, 1
  br label %next
done:
  ret void
}}

define internal i1 @loop(ptr %p, ptr %op) {{
entry:
{
    _words(
        "op",
        "bound",
        "counted",
        "backwards",
        "steps",
        "moves",
        "once",
        "often",
        "index",
        "head",
        "flag",
        "before",
        "body",
        "after",
        "cost",
    )
}
  %move.list = getelementptr i64, ptr %op, i64 16
  %move.words = mul i64 %moves, 7
  %once.list = getelementptr i64, ptr %move.list, i64 %move.words
  %once.words = mul i64 %once, 3
  %often.list = getelementptr i64, ptr %once.list, i64 %once.words
  %account.at = getelementptr i64, ptr %p, i64 {ACCOUNT}
  call void @patch(ptr %p, ptr %once.list, i64 %once)
  %fixed = icmp eq i64 %counted, 0
  br i1 %fixed, label %begin, label %count
count:
  %counted.at.memory = inttoptr i64 %counted to ptr
  %asked = load i64, ptr %counted.at.memory
  %fewer = icmp slt i64 %asked, %bound
  %some = select i1 %fewer, i64 %asked, i64 %bound
  %negative = icmp slt i64 %some, 0
  %known = select i1 %negative, i64 0, i64 %some
  br label %begin
begin:
  %total = phi i64 [%bound, %entry], [%known, %count]
  %reverse = icmp ne i64 %backwards, 0
  %top = sub i64 %total, 1
  br label %next
next:
  %t = phi i64 [0, %begin], [%t.next, %go]
  %down = sub i64 %top, %t
  %i = select i1 %reverse, i64 %down, i64 %t
  call void @move(ptr %p, ptr %move.list, i64 %moves, i64 %t, i64 %i)
  call void @patch(ptr %p, ptr %often.list, i64 %often)
  %numbered = icmp ne i64 %index, 0
  br i1 %numbered, label %number, label %first
number:
  %index.memory = inttoptr i64 %index to ptr
  store i64 %i, ptr %index.memory
  br label %first
first:
  %is.first = icmp eq i64 %t, 0
  br i1 %is.first, label %prepare, label %ask
prepare:
  %prepared = call i1 @follow(ptr %p, i64 %before)
  br label %ask
ask:
  %more = icmp slt i64 %t, %total
  br i1 %more, label %headed, label %end
headed:
  %has.head = icmp ne i64 %flag, 0
  br i1 %has.head, label %condition, label %do
condition:
  %evaluated = call i1 @follow(ptr %p, i64 %head)
  %flag.memory = inttoptr i64 %flag to ptr
  %truth = load i8, ptr %flag.memory
  %goes.on = icmp ne i8 %truth, 0
  br i1 %goes.on, label %do, label %end
do:
  %stopped = call i1 @follow(ptr %p, i64 %body)
  br i1 %stopped, label %leave, label %note
note:
  %t.next = add i64 %t, 1
  %account = load i64, ptr %account.at
  %account.next = sub i64 %account, %cost
  store i64 %account.next, ptr %account.at
  %due = icmp slt i64 %account.next, 0
  br i1 %due, label %look, label %go
look:
  %asked.to = call i1 @jitad.look(ptr %p, ptr %account.at)
  br i1 %asked.to, label %leave, label %go
go:
  br label %next
end:
  %tells = icmp ne i64 %steps, 0
  br i1 %tells, label %tell, label %finish
tell:
  %steps.memory = inttoptr i64 %steps to ptr
  store i64 %t, ptr %steps.memory
  br label %finish
finish:
  %finished = call i1 @follow(ptr %p, i64 %after)
  ret i1 false
leave:
  ret i1 true
}}

define internal i1 @follow(ptr %p, i64 %start) {{
entry:
  br label %next
next:
  %o = phi i64 [%start, %entry], [%o.next, %advance]
  %op = getelementptr i64, ptr %p, i64 %o
  %code = load i64, ptr %op
{_words("op", "size", first=1)}
  %o.next = add i64 %o, %size
  switch i64 %code, label %end [
    i64 {ENTRY}, label %entries
    i64 {TILES}, label %tiles
    i64 {FILL}, label %fill
    i64 {COPY}, label %copy
    i64 {FOLD}, label %fold
    i64 {LOOP}, label %loop
  ]
advance:
  br label %next
entries:
{_words("op", "e.function", "e.block", "e.lanes")}
  %e.call = inttoptr i64 %e.function to ptr
  %e.memory = inttoptr i64 %e.block to ptr
  call void %e.call(ptr %e.memory, i64 0, i64 %e.lanes)
  br label %advance
tiles:
{_words("op", "t.function", "t.block", "t.stop", "t.shared")}
  %t.call = inttoptr i64 %t.function to ptr
  %t.memory = inttoptr i64 %t.block to ptr
  %t.counter.at = getelementptr i64, ptr %t.memory, i64 {COUNTER}
  store i64 0, ptr %t.counter.at
  %t.stop.to = getelementptr i64, ptr %t.memory, i64 {STOP}
  store i64 %t.stop, ptr %t.stop.to
  %t.alone = icmp eq i64 %t.shared, 0
  br i1 %t.alone, label %here, label %together
here:
  call void %t.call(ptr null, ptr null, ptr null, ptr %t.memory)
  br label %advance
together:
  call void @share(ptr %p, ptr %t.call, ptr %t.memory)
  br label %advance
fill:
{_words("op", "f.there", "f.bytes")}
  %f.memory = inttoptr i64 %f.there to ptr
  call void @llvm.memset.p0.i64(ptr %f.memory, i8 0, i64 %f.bytes, i1 false)
  br label %advance
copy:
{_words("op", "c.there", "c.here", "c.bytes")}
  %c.to = inttoptr i64 %c.there to ptr
  %c.from = inttoptr i64 %c.here to ptr
  call void @llvm.memcpy.p0.p0.i64(ptr %c.to, ptr %c.from, i64 %c.bytes, i1 false)
  br label %advance
fold:
{
    _words(
        "op",
        "s.partial",
        "s.target",
        "s.rows",
        "s.elements",
        "s.stride",
        "s.width",
        "s.whole",
    )
}
  %s.from = inttoptr i64 %s.partial to ptr
  %s.to = inttoptr i64 %s.target to ptr
  %s.integer = icmp ne i64 %s.whole, 0
  br i1 %s.integer, label %fold.whole, label %fold.float
fold.whole:
  call void @fold.whole(ptr %s.from, ptr %s.to, i64 %s.rows, i64 %s.elements, \
i64 %s.stride, i64 %s.width)
  br label %advance
fold.float:
  call void @fold.float(ptr %s.from, ptr %s.to, i64 %s.rows, i64 %s.elements, \
i64 %s.stride, i64 %s.width)
  br label %advance
loop:
  %stopped = call i1 @loop(ptr %p, ptr %op)
  br i1 %stopped, label %leave, label %advance
end:
  ret i1 false
leave:
  ret i1 true
}}
"""

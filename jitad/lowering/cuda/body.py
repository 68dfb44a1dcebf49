"""The statements of a kernel in CUDA C, one lane to a thread: the body of a function.

`emit` makes a whole kernel of it, `device_function` functions that others call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.lowering.kernel import Buffer, Kernel
from jitad.lowering.statement import Statement, statements
from jitad.lowering.statements import (
    Access,
    Clear,
    Const,
    For,
    Gather,
    If,
    Load,
    Op,
    Read,
    Repeat,
    Scatter,
    Store,
    StoreAll,
    Write,
)

from . import rows, values
from .functions import accumulator
from .parameters import stride
from .rows import WARP, Place, Run
from .words import c_type, constant, expression, memory_type


class Body:
    """Prints the statements of a kernel, and knows the text of every value.

    sums     buffer -> the elements of sums that are added to
    turn     the number of the block of threads, and `turns` how many there are
    dtypes   value -> its dtype
    known    the values that are visible here
    inner    those that were made in the innermost block of statements
    rows     what a warp moves together
    single   the loads of what is read once
    shared   where in shared memory this lane has an element of it, as C text
    waiting  what of each batch of outputs is not there yet
    """

    def __init__(self, kernel: Kernel, shared: int, columns: int = 1) -> None:
        self.kernel = kernel
        own = ("blockIdx.x", "gridDim.x") if columns == 1 else ("block", "blocks")
        self.turn, self.turns = own
        every = list(statements((*kernel.once, *kernel.body)))
        stored = {(s.buffer, s.element) for s in every if isinstance(s, Store)}
        self.sums: dict[int, list[int]] = {}
        for k, element in sorted(stored):
            if kernel.buffers[k].layout == "sum":
                self.sums.setdefault(k, []).append(element)
        self.constants = {
            s.result: constant(s.value, s.dtype) for s in every if isinstance(s, Const)
        }
        self.dtypes = values.dtypes(kernel)
        self.rows = rows.plan(kernel, shared)
        self.single = values.single(kernel)
        self.shared: dict[Place, str] = {}
        self.waiting = [{p for run in b for p in run.places} for b in self.rows.outputs]
        self.known: set[int] = set()
        self.inner: set[int] = set()
        self.lines: list[str] = []
        self.depth = 1

    def words(self) -> list[tuple[str, np.dtype, int]]:
        """Every word, the dtype that it is applied to, and how many operands it has."""
        return [
            (s.word, self.dtypes[s.operands[s.word == "select"]], len(s.operands))
            for s in statements((*self.kernel.once, *self.kernel.body))
            if isinstance(s, Op)
        ]

    def whole(self) -> list[str]:
        """The lines of the body of the function."""
        self.locals()
        for k, elements in self.sums.items():
            zeros = ", ".join(f"a{k}_{e} = 0" for e in elements)
            dtype = accumulator(self.kernel.buffers[k].dtype)
            self.add(f"{c_type(dtype)} {zeros};")
        self._pointers(-1)
        self.walk(self.kernel.once)
        added = any(b.layout in ("sum", "scatter") for b in self.kernel.buffers)
        self._lanes(looping=added)
        for k, elements in self.sums.items():
            self._sum_blocks(k, elements)
        return self.lines

    def locals(self) -> None:
        """Declare the storage of a lane's own."""
        for k, local in enumerate(self.kernel.locals):
            self.add(f"{c_type(local.dtype)} m{k}[{local.elements}];")

    def add(self, line: str) -> None:
        """Append a line."""
        self.lines.append("  " * self.depth + line)

    def value(self, v: int) -> str:
        """The text of a value."""
        if v in self.constants:
            return self.constants[v]
        assert v in self.known, f"v{v} is not visible here"
        return f"v{v}"

    def define(self, v: int, text: str) -> None:
        """Let a value have this text."""
        self.add(f"{c_type(self.dtypes[v])} v{v} = {text};")
        self._see(v)

    def _see(self, v: int) -> None:
        self.known.add(v)
        self.inner.add(v)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Print statements in braces, after which what they define is unknown."""
        kept, self.known, self.inner = (self.known, self.inner), set(self.known), set()
        self.add(f"{head} {{")
        self.depth += 1
        yield
        self.depth -= 1
        self.add("}")
        self.known, self.inner = kept

    def walk(self, body: Sequence[Statement]) -> None:
        """Print statements one after the other."""
        for s in body:
            printer = _PRINTERS.get(type(s))
            if printer is None:
                raise UnsupportedError(
                    f"expected statements that a GPU kernel can have, got {s}; "
                    "run it on the CPU"
                )
            printer(self, s)

    def _for(self, s: For) -> None:
        i = f"i{s.axis}"
        with self.block(f"for (long long {i} = 0; {i} < n{s.axis}; ++{i})"):
            self._pointers(s.axis)
            self.walk(s.body)

    def _op(self, s: Op) -> None:
        operands = [self.value(a) for a in s.operands]
        source = self.dtypes[s.operands[s.word == "select"]]
        self.define(s.result, expression(s.word, operands, source, s.dtype))

    # -- memory ----------------------------------------------------------------

    def _lanes(self, *, looping: bool) -> None:
        """The lane of this thread; looping: every lane that is its turn.

        What a loop over lanes does not change, compilers compute before it, and keep in
        registers, which are then missing.
        """
        step, together = "(long long)blockDim.x", self.rows.bytes > 0
        i, own = ("first", "threadIdx.x - lane") if together else ("i0", "threadIdx.x")
        start = f"long long {i} = {self.turn} * {step} + {own};"
        if together:
            self.add(f"int lane = threadIdx.x % {WARP};")
        if looping:
            head = f"for ({start} {i} < n0; {i} += {self.turns} * {step})"
        else:
            self.add(start)
            head = f"if ({i} < n0)"
        with self.block(head):
            if together:
                self._take_rows(again=looping)
            self._pointers(0)
            self.walk(self.kernel.body)

    def _pointers(self, axis: int) -> None:
        """Where the buffers begin whose innermost axis this is."""
        for k, b in enumerate(self.kernel.buffers):
            if b.level != axis or b.layout == "sum":
                continue
            const = "" if b.output else "const "
            far = "".join(f" + i{a} * {stride(k, b, a)}" for a in b.axes)
            self.add(f"{const}char *q{k} = p{k}{far};")

    def _place(self, s: Access) -> str:
        """The number of the element, as C text."""
        if s.index is None:
            return str(s.element)
        return f"({s.element} + {self.value(s.index)} * {s.stride})"

    def _address(self, k: int, b: Buffer, place: str) -> str:
        """A pointer to the element of this number."""
        const = "" if b.output else "const "
        if b.layout in ("streams", "lines"):
            far = f"{place} * e{k}"
        elif b.layout == "general":
            far = f"t{k}[{place}]"
        else:
            far = f"{place} * {b.dtype.itemsize}"
        return f"({const}{memory_type(b.dtype)} *)(q{k} + {far})"

    def _load(self, s: Load) -> None:
        if s.result in self.known:  # what is loaded again is the same again
            return
        b, place = self.kernel.buffers[s.buffer], (s.buffer, s.element)
        if place in self.shared:
            found = self.shared[place]
        else:
            address = self._address(s.buffer, b, self._place(s))
            found = f"__ldcs({address})" if s in self.single else f"*{address}"
        self.define(s.result, f"{found} != 0" if b.dtype == np.bool_ else found)

    def _store(self, s: Store) -> None:
        b, value = self.kernel.buffers[s.buffer], self.value(s.value)
        place = s.buffer, s.element
        if b.layout == "sum":
            total, own = f"a{s.buffer}_{s.element}", accumulator(b.dtype)
            added = expression("add", (total, value), own, own)
            self.add(f"{self._there()}{total} = {added};")
        elif self.waiting and place in self.waiting[0]:
            self._gather_row(place, value)
        else:
            self._put(b, self._address(s.buffer, b, str(s.element)), value)

    def _put(self, b: Buffer, address: str, value: str) -> None:
        """Store past the cache where lane follows lane; else it makes sectors full."""
        if b.layout in ("streams", "lines"):
            self.add(f"__stcs({address}, ({memory_type(b.dtype)}){value});")
        else:
            self.add(f"*{address} = {value};")

    def _read(self, s: Read) -> None:
        found = f"m{s.local}[{self._place(s)}]"
        if s.result in self.inner:
            self.add(f"v{s.result} = {found};")
        else:
            self.define(s.result, found)

    def _write(self, s: Write) -> None:
        self.add(f"m{s.local}[{self._place(s)}] = {self.value(s.value)};")

    def _clear(self, s: Clear) -> None:
        self.add(f"for (auto &x : m{s.local}) x = 0;")

    def _named(self, s: Gather | Scatter, element: int) -> str:
        """The number of the element at this lane's index, as C text."""
        index, last = self.value(s.index), s.count - 1
        inside = f"((unsigned long long){index} < {s.count} ? {index} : {last})"
        return f"({element} + {inside} * {s.stride})"

    def _gather(self, s: Gather) -> None:
        place = self._named(s, s.element)
        if s.buffer is None:
            self.define(s.result, f"m{s.local}[{place}]")
            return
        b = self.kernel.buffers[s.buffer]
        found = f"*{self._address(s.buffer, b, place)}"
        self.define(s.result, f"{found} != 0" if b.dtype == np.bool_ else found)

    def _there(self) -> str:
        """The condition on which a thread adds: that it has a lane, if it might not."""
        return "if (lane < count) " if self.rows.bytes else ""

    def _scatter(self, s: Scatter) -> None:
        """Add to storage of this lane's own or to a table, one term after the other."""
        for element, value in s.terms:
            place, term = self._named(s, element), self.value(value)
            if s.buffer is not None:
                t = c_type(self.kernel.buffers[s.buffer].dtype)
                added = f"scatter(q{s.buffer}, {place}, ({t}){term}, phase);"
                self.add(f"{self._there()}{added}")
                continue
            assert s.local is not None
            dtype, total = self.kernel.locals[s.local].dtype, f"m{s.local}[{place}]"
            self.add(f"{total} = {expression('add', (total, term), dtype, dtype)};")

    def _store_all(self, s: StoreAll) -> None:
        b = self.kernel.buffers[s.buffer]
        address = self._address(s.buffer, b, "j")
        with self.block(f"for (int j = 0; j < {b.elements}; ++j)"):
            self._put(b, address, f"m{s.local}[j]")

    def _sum_blocks(self, k: int, elements: Sequence[int]) -> None:
        """Add up what the threads of a block have summed, element by element."""
        t, n = c_type(accumulator(self.kernel.buffers[k].dtype)), len(elements)
        found = ", ".join(f"a{k}_{e}" for e in elements)
        self.add(f"{t} r{k}[{n}] = {{{found}}};")
        element = "j"
        if n < self.kernel.buffers[k].elements:
            element = f"w{k}[j]"
            numbers = ", ".join(map(str, elements))
            self.add(f"const int w{k}[{n}] = {{{numbers}}};")
        with self.block(f"for (int j = 0; j < {n}; ++j)"):
            self.add(f"{t} sum = block_sum(r{k}[j]);")
            place = f"{element} * (long long){self.turns} + {self.turn}"
            self.add(f"if (threadIdx.x == 0) (({t} *)p{k})[{place}] = sum;")

    # -- rows of a warp --------------------------------------------------------

    def _take_rows(self, *, again: bool) -> None:
        """Which lane this is, and the rows of its warp; again: after those of others.

        A thread without a lane does what the last one does, for all must be there.
        """
        self.add(f"int count = n0 - first < {WARP} ? (int)(n0 - first) : {WARP};")
        self.add("int own = lane < count ? lane : count - 1;")
        self.add("long long i0 = first + own;")
        self.add(f"char *warp = (char *)shared[threadIdx.x / {WARP}];")
        if self.rows.inputs and again:
            self.add("__syncwarp();")
        for run in self.rows.inputs:
            self._share(run)
            self._move("take", run)
        if self.rows.inputs:
            self.add("__syncwarp();")

    def _share(self, run: Run) -> None:
        """Let a run have its place in shared memory."""
        name, t = _shared(run), memory_type(self.kernel.buffers[run.buffer].dtype)
        self.add(f"{t} *{name} = ({t} *)(warp + {run.start});")
        for j, place in enumerate(run.places):
            self.shared[place] = f"{name}[own * {run.width | 1} + {j}]"

    def _move(self, verb: str, run: Run) -> None:
        k = run.buffer
        far = run.element * self.kernel.buffers[k].dtype.itemsize
        given = f"p{k} + first * s{k}_0 + {far}, s{k}_0, count"
        self.add(f"{verb}_rows<{run.width}>({_shared(run)}, {given});")

    def _gather_row(self, place: Place, value: str) -> None:
        """Put an element where it waits for its batch, and move that with the last."""
        batch = self.rows.outputs[-len(self.waiting)]
        if place not in self.shared:
            self._begin(batch)
        self.add(f"{self.shared[place]} = {value};")
        self.waiting[0].remove(place)
        if not self.waiting[0]:
            del self.waiting[0]
            self.add("__syncwarp();")
            for run in batch:
                self._move("give", run)
            self.add("__syncwarp();")

    def _begin(self, batch: Sequence[Run]) -> None:
        """Make room for a batch, after inputs there have been read that are needed."""
        if self.rows.inputs and batch is self.rows.outputs[0]:
            for s in statements(self.kernel.body):
                if isinstance(s, Load) and (s.buffer, s.element) in self.shared:
                    self._load(s)
            self.add("__syncwarp();")
        for run in batch:
            self._share(run)

    # -- control ---------------------------------------------------------------

    def _repeat(self, s: Repeat) -> None:
        """A loop; what it carries has the names that an iteration sees."""
        for c in s.carried:
            self.define(c.inner, self.value(c.start))
        i, limit = f"v{s.index}", self._limit(s)
        if s.backwards:
            head = f"for (long long {i} = {limit} - 1; {i} >= 0; --{i})"
        else:
            self.add(f"long long {i} = 0;")
            head = f"for (; {'' if limit is None else f'{i} < {limit}'}; ++{i})"
        with self.block(head):
            self._see(s.index)
            self.walk(s.head)
            if s.alive is not None:
                self.add(f"if (!{self.value(s.alive)}) break;")
            self.walk(s.body)
            self._carry(s)
        for c in s.carried:
            self.known.discard(c.inner)
            self.add(f"{c_type(c.dtype)} v{c.outer} = v{c.inner};")
            self._see(c.outer)
        if s.steps is not None:
            ran = f"{limit} > 0 ? {limit} : 0" if s.backwards else i
            self.define(s.steps, ran)

    def _limit(self, s: Repeat) -> str | None:
        """How many iterations there are at most, as C text."""
        if s.count is None:
            return None if s.bound is None else str(s.bound)
        count = self.value(s.count)
        if s.bound is None:
            return count
        return f"({count} < {s.bound} ? {count} : {s.bound})"

    def _carry(self, s: Repeat) -> None:
        """Hand on all values at once: those that are carried themselves by copies."""
        inner = {c.inner for c in s.carried}
        moved = [c for c in s.carried if c.next in inner and c.next != c.inner]
        for c in moved:
            self.add(f"{c_type(c.dtype)} v{c.inner}_next = v{c.next};")
        for c in s.carried:
            if c.next == c.inner:
                continue
            text = f"v{c.inner}_next" if c in moved else self.value(c.next)
            self.add(f"v{c.inner} = {text};")

    def _branch(self, s: If) -> None:
        for m in s.merged:
            self.add(f"{c_type(m.dtype)} v{m.outer} = {self.value(m.otherwise)};")
        with self.block(f"if ({self.value(s.mask)})"):
            self.walk(s.body)
            for m in s.merged:
                self.add(f"v{m.outer} = {self.value(m.inner)};")
        for m in s.merged:
            self._see(m.outer)


def _shared(run: Run) -> str:
    return f"c{run.buffer}_{run.element}"


def _known(body: Body, s: Const) -> None:
    """A constant is part of the text of what uses it."""


# What prints each statement.
_PRINTERS: dict[type[Statement], Callable[[Body, Any], None]] = {
    Const: _known,
    Op: Body._op,
    Load: Body._load,
    Read: Body._read,
    Gather: Body._gather,
    Store: Body._store,
    StoreAll: Body._store_all,
    Write: Body._write,
    Clear: Body._clear,
    Scatter: Body._scatter,
    For: Body._for,
    Repeat: Body._repeat,
    If: Body._branch,
}

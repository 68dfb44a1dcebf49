"""Print a Kernel as CUDA C: one lane is one thread.

Start at `emit`.  Loops, branches and storage of a lane's own are plain C.  A kernel
that sums over lanes takes one after the other in each thread: what is stored into a
buffer of sums, each thread adds up in the order of its lanes and each block by a fixed
tree, so a launch of the same shape gives the same bits.  Products and sums are fused as
on a CPU that can, by `fuse`, and not by the compiler.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from jitad.errors import UnsupportedError

from . import cuda_functions, frame
from .cuda_functions import accumulator
from .cuda_parameters import parameters, stride
from .cuda_words import c_type, constant, expression, memory_type
from .fuse import fuse
from .kernel import (
    Access,
    Buffer,
    Clear,
    Const,
    For,
    Gather,
    If,
    Kernel,
    Load,
    Op,
    Read,
    Repeat,
    Spread,
    Statement,
    Store,
    StoreAll,
    Write,
    statements,
)

NAME = "kernel"
THREADS = 128  # in a block
_INDEX = np.dtype(np.int64)


def emit(kernel: Kernel, *, name: str = NAME) -> str:
    """The CUDA C of a kernel: `extern "C" __global__ void name(parameters)`.

    It takes `parameters`, in a grid of one dimension: of a thread for every lane, or
    more.  With buffers of sums it may be any grid, of at most THREADS in a block, and
    the text has a kernel `totals_name` for each of their dtypes, which adds up the sums
    of the blocks (see `cuda_functions.totals`).
    Raises UnsupportedError where a word or a statement has no CUDA C.
    """
    return emit_columns([fuse(kernel)], name=name)


def emit_columns(parts: Sequence[Kernel], *, name: str = NAME) -> str:
    """As `emit`, of the column blocks (`columns.split`) of a kernel that is fused.

    Where the grid of the whole has one block of threads, this one has as many as there
    are column blocks, side by side: what they read and write of the same lanes meets in
    a cache.
    """
    kernel, count = parts[0], len(parts)
    bodies = [_Body(part, count) for part in parts]
    words = [word for body in bodies for word in body.words()]
    sums = [b for b in kernel.buffers if b.layout == "sum"]
    dtypes = dict.fromkeys(b.dtype for b in sums)
    added = dict.fromkeys(map(accumulator, dtypes))
    signature = ", ".join(p.declaration for p in parameters(kernel))
    return "\n".join(
        [
            *cuda_functions.functions(words),
            *(cuda_functions.block_sum(d, THREADS) for d in added),
            f'extern "C" __global__ void {name}({signature}) {{',
            *_chosen([body.whole() for body in bodies]),
            "}",
            *(cuda_functions.totals(totals_name(name, d), d) for d in dtypes),
            "",
        ]
    )


def _chosen(bodies: Sequence[list[str]]) -> list[str]:
    """The lines of the column block whose turn it is."""
    if len(bodies) == 1:
        return bodies[0]
    n = len(bodies)
    lines = [f"  const unsigned block = blockIdx.x / {n}, blocks = gridDim.x / {n};"]
    lines.append(f"  switch (blockIdx.x % {n}) {{")
    for k, body in enumerate(bodies):
        lines += [f"  case {k}: {{", *body, "  } break;"]
    return [*lines, "  }"]


def totals_name(name: str, dtype: np.dtype) -> str:
    """The name of the kernel that adds up sums of dtype after the kernel `name`."""
    return f"{name}_totals_{dtype.name}"


class _Body:
    """Prints the statements of a kernel, and knows the text of every value.

    sums     buffer -> the elements of sums that are added to
    turn     the number of the block of threads, and `turns` how many there are
    dtypes   value -> its dtype
    known    the values that are visible here
    inner    those that were made in the innermost block of statements
    """

    def __init__(self, kernel: Kernel, columns: int) -> None:
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
            s.target: constant(s.value, s.dtype) for s in every if isinstance(s, Const)
        }
        self.dtypes = _dtypes(kernel, every)
        self.known: set[int] = set()
        self.inner: set[int] = set()
        self.lines: list[str] = []
        self.depth = 1

    def words(self) -> list[tuple[str, np.dtype]]:
        """Every word, and the dtype that it is applied to."""
        return [
            (s.word, self.dtypes[s.operands[s.word == "select"]])
            for s in statements((*self.kernel.once, *self.kernel.body))
            if isinstance(s, Op)
        ]

    def whole(self) -> list[str]:
        """The lines of the body of the function."""
        for k, local in enumerate(self.kernel.locals):
            self.add(f"{c_type(local.dtype)} m{k}[{local.elements}];")
        for k, elements in self.sums.items():
            zeros = ", ".join(f"a{k}_{e} = 0" for e in elements)
            dtype = accumulator(self.kernel.buffers[k].dtype)
            self.add(f"{c_type(dtype)} {zeros};")
        self._pointers(-1)
        self.walk(self.kernel.once)
        self._lanes(looping=any(b.layout == "sum" for b in self.kernel.buffers))
        for k, elements in self.sums.items():
            self._sum_blocks(k, elements)
        return self.lines

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
            match s:
                case Const():
                    pass
                case Op():
                    self._op(s)
                case Load():
                    # What is loaded again is the same again.
                    if s.target not in self.known:
                        owner = self.kernel.buffers[s.buffer]
                        self.define(s.target, self._loaded(s, owner))
                case Store():
                    self._store(s)
                case For():
                    i = f"i{s.axis}"
                    head = f"for (long long {i} = 0; {i} < n{s.axis}; ++{i})"
                    self._axis(s.axis, head, s.body)
                case Read():
                    self._read(s)
                case Write():
                    place = self._place(s)
                    self.add(f"m{s.local}[{place}] = {self.value(s.value)};")
                case Gather():
                    self._gather(s)
                case Spread() if s.local is not None:
                    self._spread(s)
                case Clear():
                    self.add(f"for (auto &x : m{s.local}) x = 0;")
                case StoreAll():
                    self._store_all(s)
                case Repeat():
                    self._repeat(s)
                case If():
                    self._branch(s)
                case _:
                    raise UnsupportedError(
                        f"expected statements that a GPU kernel can have, got {s}; "
                        "run it on the CPU"
                    )

    def _op(self, s: Op) -> None:
        operands = [self.value(a) for a in s.operands]
        source = self.dtypes[s.operands[s.word == "select"]]
        self.define(s.target, expression(s.word, operands, source, s.dtype))

    # -- memory ----------------------------------------------------------------

    def _lanes(self, *, looping: bool) -> None:
        """The lane of this thread; looping: every lane that is its turn.

        What a loop over lanes does not change, compilers compute before it, and keep in
        registers, which are then missing.
        """
        step = "(long long)blockDim.x"
        own = f"long long i0 = {self.turn} * {step} + threadIdx.x;"
        if looping:
            head = f"for ({own} i0 < n0; i0 += {self.turns} * {step})"
        else:
            self.add(own)
            head = "if (i0 < n0)"
        self._axis(0, head, self.kernel.body)

    def _axis(self, axis: int, head: str, body: Sequence[Statement]) -> None:
        with self.block(head):
            self._pointers(axis)
            self.walk(body)

    def _pointers(self, axis: int) -> None:
        """Where the buffers begin whose innermost axis this is."""
        for k, b in enumerate(self.kernel.buffers):
            if frame.level(b) != axis or b.layout == "sum":
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

    def _loaded(self, s: Load, b: Buffer) -> str:
        found = f"*{self._address(s.buffer, b, self._place(s))}"
        return f"{found} != 0" if b.dtype == np.bool_ else found

    def _store(self, s: Store) -> None:
        b, value = self.kernel.buffers[s.buffer], self.value(s.value)
        if b.layout == "sum":
            total, own = f"a{s.buffer}_{s.element}", accumulator(b.dtype)
            self.add(f"{total} = {expression('add', (total, value), own, own)};")
            return
        address = self._address(s.buffer, b, str(s.element))
        if b.layout == "lines":
            self.add(f"__stcs({address}, ({memory_type(b.dtype)}){value});")
        else:
            self.add(f"*{address} = {value};")

    def _read(self, s: Read) -> None:
        found = f"m{s.local}[{self._place(s)}]"
        if s.target in self.inner:
            self.add(f"v{s.target} = {found};")
        else:
            self.define(s.target, found)

    def _named(self, s: Gather | Spread, element: int) -> str:
        """The number of the element at this lane's index, as C text."""
        index, last = self.value(s.index), s.count - 1
        inside = f"((unsigned long long){index} < {s.count} ? {index} : {last})"
        return f"({element} + {inside} * {s.stride})"

    def _gather(self, s: Gather) -> None:
        place = self._named(s, s.element)
        if s.buffer is None:
            self.define(s.target, f"m{s.local}[{place}]")
            return
        b = self.kernel.buffers[s.buffer]
        found = f"*{self._address(s.buffer, b, place)}"
        self.define(s.target, f"{found} != 0" if b.dtype == np.bool_ else found)

    def _spread(self, s: Spread) -> None:
        """Add to storage of this lane's own, one term after the other."""
        assert s.local is not None
        dtype = self.kernel.locals[s.local].dtype
        for element, value in s.terms:
            total = f"m{s.local}[{self._named(s, element)}]"
            more = expression("add", (total, self.value(value)), dtype, dtype)
            self.add(f"{total} = {more};")

    def _store_all(self, s: StoreAll) -> None:
        b = self.kernel.buffers[s.buffer]
        address = self._address(s.buffer, b, "j")
        with self.block(f"for (int j = 0; j < {b.elements}; ++j)"):
            self.add(f"*{address} = m{s.local}[j];")

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


def _dtypes(kernel: Kernel, every: Sequence[Statement]) -> Mapping[int, np.dtype]:
    dtypes: dict[int, np.dtype] = {}
    for s in every:
        match s:
            case Const() | Op() | Read() | Gather():
                dtypes[s.target] = s.dtype
            case Load():
                dtypes[s.target] = kernel.buffers[s.buffer].dtype
            case Repeat():
                dtypes[s.index] = _INDEX
                dtypes |= {v: c.dtype for c in s.carried for v in (c.inner, c.outer)}
                if s.steps is not None:
                    dtypes[s.steps] = _INDEX
            case If():
                dtypes |= {m.outer: m.dtype for m in s.merged}
            case _:
                pass
    return dtypes

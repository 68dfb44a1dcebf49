"""Of several kernels that compute the same, the one that suits a GPU best.

In which order values are computed, whether in branches, and how much of it at once,
decides how many live at a time, and a compiler only mends that in part: so it is asked.
`chosen` chooses among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Self

from jitad.lowering.columns import split
from jitad.lowering.cuda.emit import NAME, emit_columns
from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Kernel
from jitad.lowering.schedule import VARIANTS
from jitad.process.locks import cached_property

from .estimate import estimate, is_free
from .nvrtc import Capability, Cubin, Usage
from .occupancy import shared_memory

# Registers of a thread: as many as it needs, then what leaves room for 16 warps.  Where
# there is a limit the assembler takes more than without it, though not beyond.
LIMITS = (None, 128)
_MOST_COLUMNS = 4
_AT_ONCE = 4  # texts that are compiled at a time
# Characters of all texts that are compiled, if there are several: some seconds.
_MOST_TEXT = 300_000

Compiler = Callable[[str, int | None], Cubin]


class AsCards:
    """What all machines that are cards have in common."""

    __slots__ = ()
    variants = VARIANTS
    shown = False

    def at(self, effort: str) -> Self:
        """The same: nothing is gained by less work of the compiler."""
        del effort
        return self

    def exceeds_cache(self, written: int) -> bool:
        """False: a card writes whole lines anyway."""
        del written
        return False


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of a kernel that was compiled.

    number   which of the kernels it was, from 0
    columns  into how many column blocks it was split
    limit    of registers of a thread, if there was one
    cost     of a lane, by `estimate`
    """

    number: int
    columns: int
    limit: int | None
    usage: Usage
    cost: float


@dataclass(frozen=True)
class Chosen:
    """What to launch, with the arguments of the kernel.

    columns  into how many column blocks it is split: its grid has as many blocks for
             each block of lanes
    cubin    its code, under the name `emit.NAME`
    tried    all that was compiled, in order
    """

    kernel: Kernel
    columns: int
    cubin: Cubin
    tried: tuple[Tried, ...]

    @property
    def usage(self) -> Usage:
        """What it takes of registers and memory."""
        return self.cubin.usage[NAME]


def chosen(
    kernels: Iterable[Kernel],
    compile: Compiler,
    capability: Capability,
    *,
    limits: Sequence[int | None] = LIMITS,
) -> Chosen:
    """Of kernels of the same function the best for a card, whole or in column blocks.

    compile  (CUDA C, most registers of a thread) -> machine code, in several threads
    limits   of registers, in the order in which they are tried
    It is the first kernel that, within the first limit, spills nothing and leaves room
    for enough others; then hardly any more are compiled.  If there is none all are
    compiled within the other limits, too.  Where the cheapest within a limit spills, so
    are its column blocks.  Of all that the cheapest is taken, by `estimate`.
    Where all this would take long, less is compiled.
    """
    every: list[_Form] = []
    shared = shared_memory(capability)
    forms = (_Form(number, k, shared) for number, k in enumerate(kernels))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        search = _Search(compile, capability, pool)
        while some := list(islice(forms, _AT_ONCE)):
            every += some
            for found in search.compile(some, limits[0]):
                if is_free(found.tried.usage, capability):
                    return search.ended(found)
        for limit in limits:
            search.compile(every, limit)
            best = search.cheapest([limit])
            if best and best.tried.usage.spilled:
                whole, counts = every[best.tried.number], range(2, _MOST_COLUMNS + 1)
                search.compile([replace(whole, columns=n) for n in counts], limit)
        best = search.cheapest(limits)
        assert best is not None, "the first is always compiled"
        return search.ended(best)


@dataclass(frozen=True)
class _Form:
    """Kernel number so and so, to be split into column blocks.

    shared  KiB of shared memory of the card's multiprocessors
    """

    number: int
    kernel: Kernel
    shared: int
    columns: int = 1

    @cached_property
    def parts(self) -> tuple[Kernel, ...]:
        """The column blocks, or the kernel itself, with products fused."""
        fused = fuse(self.kernel)
        return (fused,) if self.columns == 1 else split(fused, self.columns)

    @cached_property
    def text(self) -> str:
        """Its CUDA C."""
        return emit_columns(self.parts, shared=self.shared)


@dataclass(frozen=True)
class _Found:
    tried: Tried
    kernel: Kernel
    cubin: Cubin

    def rank(self) -> tuple[float, int]:
        """Cheaper is better, then with fewer registers."""
        return self.tried.cost, self.tried.usage.registers


class _Search:
    """What was compiled so far; no text twice within the same limit.

    Nothing is compiled for which there is no time left, but for the first.
    """

    def __init__(
        self, compile: Compiler, capability: Capability, pool: ThreadPoolExecutor
    ) -> None:
        self._compile, self._capability, self._pool = compile, capability, pool
        self._texts: set[tuple[str, int | None]] = set()
        self._left = _MOST_TEXT
        self._found: list[_Found] = []

    def compile(self, forms: Iterable[_Form], limit: int | None) -> list[_Found]:
        """What came of these; nothing of those whose text is known."""
        waiting = []
        for form in forms:
            if self._texts and len(form.text) > self._left:
                continue
            if (form.text, limit) not in self._texts:
                self._texts.add((form.text, limit))
                self._left -= len(form.text)
                coming = self._pool.submit(self._compile, form.text, limit)
                waiting.append((form, coming))
        new = []
        for form, coming in waiting:
            cubin = coming.result()
            used = cubin.usage[NAME]
            cost = estimate(form.parts, used, self._capability)
            tried = Tried(form.number, len(form.parts), limit, used, cost)
            new.append(_Found(tried, form.kernel, cubin))
        self._found += new
        return new

    def cheapest(self, limits: Sequence[int | None]) -> _Found | None:
        """The best within some limits, the first of equals."""
        within = [f for f in self._found if f.tried.limit in limits]
        return min(within, key=_Found.rank, default=None)

    def ended(self, best: _Found) -> Chosen:
        """The best, and all that was tried."""
        tried = tuple([f.tried for f in self._found])
        return Chosen(best.kernel, best.tried.columns, best.cubin, tried)

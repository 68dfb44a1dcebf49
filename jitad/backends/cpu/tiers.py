"""The machine code of a kernel: made quickly, and made again with care once that pays.

Start at `Tiers`.  Both codes compute the same bits, for all that decides on a result,
such as which products and sums are one operation, is in the text that they are made of.
Nothing here runs in a thread of its own: the launch that has waited long enough for
slow code makes the better one.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple

from jitad.kept import entries
from jitad.lowering.kernel import Kernel
from jitad.lowering.llvm import calls, copies
from jitad.lowering.llvm.emit import LONGEST, NAME, PARTS, emit
from jitad.lowering.llvm.target import Target, lanes
from jitad.lowering.outline import of_plain, outline

from . import link, mathlib, objects, watch

Effort = Literal["auto", "full", "fast"]

_ENTRY = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
# In seconds: what a character of a text takes to be compiled with care, and what a
# launch counts for that is not made by a fast call.  It takes some hundredths of that,
# but what was called some dozen times will be called some thousand times.
_CHARACTER = 1e-6
_LAUNCH = 2e-3
# How much of the time that code runs is lost where it was made quickly.
_LOST = 0.4


@dataclass(frozen=True)
class Form:
    """What code is made from: a kernel, the machine, and the steps of a function.

    effort  "full" makes the code as fast as it can be, "fast" makes it quickly, and
            "auto" does the one after the other
    """

    kernel: Callable[[], Kernel]
    target: Target
    longest: int = LONGEST
    effort: Effort = "full"

    @property
    def fast(self) -> bool:
        """Whether the code that stays is made quickly."""
        return self.effort == "fast"

    def text(self, kernel: Kernel) -> str:
        """The LLVM text of its kernel, from which the code that stays is made."""
        text = emit(kernel, self.target, longest=self.longest)
        return quickly(text) if self.fast else text

    def key(self, name: bytes | None, *, fast: bool) -> str | None:
        """The name under which code is kept that is made so."""
        target = self.target
        facts = target.vector_bytes, target.fused, target.streaming, self.longest, fast
        return objects.name(name, repr(facts).encode()) if name else None


class Code(NamedTuple):
    """Functions of a kernel, as `Executable` has them; they last as long as the first.

    tiles  the address of what takes tiles of lanes until none is left
    """

    entry: Callable[[int, int, int], None]
    address: int
    tiles: int


class Tiers:
    """The code of a kernel; at a launch `code` is asked for it.

    outline  of the kernel: what is looked at when it is launched
    width    lanes in a vector
    seconds  that it took to make the first code, or to read it
    """

    def __init__(
        self, form: Form, name: bytes | None = None, extents: Sequence[int] = (1,)
    ) -> None:
        """Make code for a first launch over extents, or read it where it is kept.

        name  what only equal kernels have; None: nothing is kept
        """
        self.form, self._keep = form, entries.allowed()
        self._keys = {fast: form.key(name, fast=fast) for fast in (False, True)}
        self._made: dict[bool, Code] = {}
        self._lost, self._making = 0.0, False
        start = time.perf_counter()
        if self._read(fast=form.fast):
            pass
        elif form.effort == "auto" and self._read(fast=True):
            if not self._suffices(extents):
                self.code(stays=True)
        else:
            kernel = form.kernel()
            start = time.perf_counter()
            self.width, self.outline = lanes(kernel, form.target), outline(kernel)
            text = form.text(kernel)
            self._worth = _CHARACTER * len(text)
            # Of long kernels most is compiled quickly in any case.
            twice = form.effort == "auto" and not text.startswith(PARTS)
            self._make(text, fast=form.fast or (twice and self._suffices(extents)))
        self.seconds = time.perf_counter() - start

    @property
    def settled(self) -> bool:
        """Whether the code that stays is there."""
        return self.form.fast in self._made

    def code(self, *, stays: bool = False) -> Code:
        """The code to be run now; stays: that which no later code takes the place of.

        It must be held while it runs.
        """
        found = self._made.get(self.form.fast)
        if found is None and (stays or (self._lost > self._worth and not self._making)):
            self._making = True  # threads that come now run what there is
            try:
                with entries.only_if(self._keep):
                    kernel = self.form.kernel()
                    found = self._make(self.form.text(kernel), fast=self.form.fast)
            finally:
                self._making = False
            self._made.pop(not self.form.fast, None)
        return found or self._made.get(True) or self._made[False]

    def planned(self, seconds: float) -> Code:
        """The code for launches that take so long: that which stays, where that pays.

        It must be held while it runs.
        """
        return self.code(stays=_LOST * seconds > self._worth)

    @contextmanager
    def running(self) -> Iterator[Code]:
        """The code to be run inside; what is lost by it is counted, if it is slow."""
        code = self.code()
        if self.settled:
            yield code
            return
        start = time.perf_counter()
        yield code
        self._lost += _LOST * (time.perf_counter() - start) + _LAUNCH

    def _suffices(self, extents: Sequence[int]) -> bool:
        """Whether a first launch over extents had better not wait for better code."""
        lane = self.outline.work.nanoseconds(extents)
        return _LOST * 1e-9 * lane * extents[0] <= self._worth

    def _read(self, *, fast: bool) -> bool:
        """Whether code is kept, all that it calls is known here, and it is loaded."""
        found = objects.read(self._keys[fast])
        if found is None:
            return False
        _share(found.called, self.form.target)
        if found.complete:
            self._load(found, fast)
        return found.complete

    def _make(self, text: str, *, fast: bool) -> Code:
        """Compile a text so, and keep the code."""
        text = quickly(text) if fast and not self.form.fast else text
        beside = self.width, self.outline.plain(), self._worth
        made = objects.made(text, beside)
        _share(made.called, self.form.target)
        objects.keep(self._keys[fast], made)
        return self._load(made, fast)

    def _load(self, made: objects.Object, fast: bool) -> Code:
        library = link.load(made.code)
        self.width, plain, self._worth = made.beside
        self.outline = of_plain(plain)
        code = Code(
            library.function(NAME, _ENTRY),
            library.address(NAME),
            library.address(f"{NAME}.tiles"),
        )
        # The first one stays where two threads made it at once.
        return self._made.setdefault(fast, code)


def quickly(text: str) -> str:
    """The text of a kernel, or of copies, as it is compiled quickly."""
    return link.FAST + copies.quick(calls.without_series(text))


def _share(called: Collection[str], target: Target) -> None:
    """Let code call these functions, of the house and of libraries."""
    if "jitad.look" in called:
        watch.share()
    for symbol in called:
        fast = symbol.startswith(copies.QUICK)
        name = symbol.replace(copies.QUICK, "jitad.") if fast else symbol
        if (found := copies.defining(name)) is not None:
            text, names = found
            if fast:
                text, names = quickly(text), tuple(map(copies.quick, names))
            link.shared(text, *names, link=objects.linked)
        elif symbol.startswith(calls.SERIES) and not link.is_shared(symbol):
            text = link.FAST + (calls.series_of(symbol, target) or "")
            _share(objects.called(text), target)
            link.shared(text, symbol, link=objects.linked)
        mathlib.tell(symbol)

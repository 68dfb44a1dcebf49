"""Print a Kernel of one point as a CUDA C function for other people's kernels to call.

Start at `emit`.  Numbers are passed by value, everything else by address; what is
printed of the statements is that of `body`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Buffer, Kernel

from .body import Body
from .functions import functions
from .words import c_type, memory_type

_BITS = {n: c_type(np.dtype(f"u{n}")) for n in (1, 2, 4, 8)}


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """How a function has a buffer.

    shape  of the array that is passed; None for a number, which is passed by value, or
           written at an address
    known  what it always holds: nothing is passed
    """

    shape: tuple[int, ...] | None
    known: np.ndarray | None = None


def emit(kernel: Kernel, given: Sequence[Given], name: str) -> str:
    """The CUDA C of a kernel of one point: two functions `extern "C" __device__ void`.

    given  one for each buffer

    `name` takes, for each buffer in turn that is not known, a number (of fewer than 32
    bits as an int) or an address, of an array in C order.  `strided(name)` takes behind
    the address of an array the bytes from index to index along each of its axes, of 8
    bytes each.
    What is written must not overlap what is read.  Raises UnsupportedError where a word
    or a statement has no CUDA C.
    """
    kernel = fuse(kernel)
    packed = _Point(kernel, given, strided=False)
    apart = _Point(kernel, given, strided=True)
    lines = [*functions(packed.words()), *packed.tables()]
    for own, body in ((name, packed), (strided(name), apart)):
        parameters = ", ".join(body.parameters())
        head = f'extern "C" __device__ void {own}({parameters}) {{'
        lines += [head, *body.whole(), "}"]
    return "\n".join([*lines, ""])


def strided(name: str) -> str:
    """The name of the function that takes strides, beside that of a name."""
    return f"{name}_strided"


class _Point(Body):
    """The statements of one point, whose arrays may have strides."""

    def __init__(self, kernel: Kernel, given: Sequence[Given], *, strided: bool):
        super().__init__(kernel, 0)
        self.given, self.strided = given, strided

    def whole(self) -> list[str]:
        """The lines of the body of the function."""
        self.locals()
        for k in range(len(self.given)):
            if self._by_value(k):
                self.add(f"const char *q{k} = (const char *)&x{k};")
        self.walk(self.kernel.once)
        self.walk(self.kernel.body)
        return self.lines

    def parameters(self) -> list[str]:
        """The declarations of what is passed."""
        found = []
        for k, (b, given) in enumerate(
            zip(self.kernel.buffers, self.given, strict=True)
        ):
            if given.known is not None:
                continue
            if self._by_value(k):
                found.append(
                    f"{'int' if b.dtype.itemsize < 4 else c_type(b.dtype)} x{k}"
                )
                continue
            found.append(f"{_const(b)}char *__restrict__ q{k}")
            if self.strided:
                axes = range(len(given.shape or ()))
                found += [f"long long s{k}_{a}" for a in axes]
        return found

    def tables(self) -> list[str]:
        """The buffers that are known."""
        return [
            _table(k, given.known)
            for k, given in enumerate(self.given)
            if given.known is not None
        ]

    def _by_value(self, k: int) -> bool:
        given = self.given[k]
        written = self.kernel.buffers[k].output
        return given.shape is None and given.known is None and not written

    def _address(self, k: int, b: Buffer, place: str) -> str:
        given = self.given[k]
        if given.known is not None:
            return f"((const {memory_type(b.dtype)} *)c{k} + {place})"
        if not self.strided or given.shape is None:
            return super()._address(k, b, place)
        far = _far(place, given.shape, k)
        return f"({_const(b)}{memory_type(b.dtype)} *)(q{k} + {far})"


def _table(k: int, known: np.ndarray) -> str:
    """What a buffer always holds, as bits: C initialises no table with a NaN."""
    bits = np.ascontiguousarray(known).view(f"u{known.itemsize}").ravel()
    text = ", ".join([f"{x:#x}" for x in bits.tolist()])
    return f"static __device__ const {_BITS[known.itemsize]} c{k}[] = {{{text}}};"


def _const(buffer: Buffer) -> str:
    return "" if buffer.output else "const "


def _far(place: str, shape: tuple[int, ...], k: int) -> str:
    """The bytes to the element of this number in C order, as C text."""
    terms = []
    for axis, extent in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        if not place.isdecimal():
            index = place if inner == 1 else f"{place} / {inner}"
            index = f"({index if axis == 0 else f'{index} % {extent}'})"
            terms.append(f"{index} * s{k}_{axis}")
        elif index := int(place) // inner % extent:
            terms.append(f"{index} * s{k}_{axis}")
    return " + ".join(terms) or "0"

"""What a GPU kernel is launched with: a list of 8-byte numbers, in a fixed order.

`parameters` names them for a Kernel, `flatten` fills them in for one launch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from jitad.lowering.kernel import Argument, Buffer, Kernel

Kind = Literal["extent", "phase", "address", "stride", "element", "table"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a GPU kernel.

    kind  extent   of a batch axis
          phase    of a kernel whose lanes scatter (see `scatter`)
          address  of a buffer; of a buffer of sums: of [elements][blocks] partial sums
                   (see `functions.accumulator`); of a buffer that is scattered: in
                   phase 0 of the table, later of what it is made from
          stride   of a buffer along an axis, in bytes
          element  the stride of a buffer's elements, in bytes (streams, lines)
          table    the address, on the device, of the byte offsets of a buffer's
                   elements, int64 (general)
    """

    kind: Kind
    buffer: int = -1
    axis: int = -1
    output: bool = False

    @property
    def name(self) -> str:
        """Its name in the text."""
        match self.kind:
            case "extent":
                return f"n{self.axis}"
            case "phase":
                return "phase"
            case "stride":
                return f"s{self.buffer}_{self.axis}"
            case _:
                letter = {"address": "p", "element": "e", "table": "t"}[self.kind]
                return f"{letter}{self.buffer}"

    @property
    def declaration(self) -> str:
        """Its declaration in CUDA C: 8 bytes each."""
        if self.kind == "address":
            const = "" if self.output else "const "
            return f"{const}char *__restrict__ {self.name}"
        if self.kind == "table":
            return f"const long long *__restrict__ {self.name}"
        return f"long long {self.name}"


def parameters(kernel: Kernel) -> tuple[Parameter, ...]:
    """The parameters of a kernel: extents, then for every buffer where it lies."""
    found = [Parameter("extent", axis=a) for a in range(kernel.axes)]
    if any(b.layout == "scatter" for b in kernel.buffers):
        found.append(Parameter("phase"))
    for k, b in enumerate(kernel.buffers):
        found.append(Parameter("address", k, output=b.output))
        found += [Parameter("stride", k, a) for a in b.axes if a or not _dense(b)]
        if b.layout in ("streams", "lines"):
            found.append(Parameter("element", k))
        elif b.layout == "general":
            found.append(Parameter("table", k))
    return tuple(found)


def _dense(buffer: Buffer) -> bool:
    """Whether lane follows lane in memory, with nothing between them."""
    return buffer.layout in ("streams", "lines")


def stride(k: int, buffer: Buffer, axis: int) -> str:
    """The bytes from index to index of buffer k along an axis, as C text."""
    if axis == 0 and _dense(buffer):
        return str(buffer.dtype.itemsize)
    return f"s{k}_{axis}"


def flatten(
    kernel: Kernel,
    extents: Sequence[int],
    arguments: Sequence[Argument],
    phase: int = 0,
) -> list[int]:
    """The numbers of one launch, one for each parameter.

    arguments  one for each buffer; elements of a general one is the address of its
               table on the device
    """
    found: list[int] = []
    for p in parameters(kernel):
        if p.kind == "extent":
            found.append(int(extents[p.axis]))
            continue
        if p.kind == "phase":
            assert phase or extents[0] == 1, "only a single lane adds in place"
            found.append(phase)
            continue
        argument = arguments[p.buffer]
        match p.kind:
            case "address":
                found.append(argument.address)
            case "stride":
                found.append(argument.strides[p.axis])
            case _:
                given = argument.elements
                assert not isinstance(given, np.ndarray), "its table is on the host"
                found.append(given)
    return found

"""Of several kernels that compute the same, the one that suits a GPU best.

In which order values are computed decides how many live at a time, and a compiler only
mends that in part: so it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from jitad.lowering.emit_cuda import NAME, emit
from jitad.lowering.kernel import Kernel

from .nvrtc import Cubin


def best_order(
    kernels: Iterable[Kernel], compile: Callable[[str], Cubin]
) -> tuple[Kernel, Cubin]:
    """The kernel that spills fewest bytes, then takes fewest registers; and its code.

    kernels  as `schedule` makes them by `lowering.order.ORDERS`; those after the first
             that spills nothing are not asked for
    compile  CUDA C -> machine code, for the card and the limit of registers in mind
    """
    found: dict[str, tuple[Kernel, Cubin]] = {}
    for kernel in kernels:
        text = emit(kernel)
        if text in found:
            continue
        cubin = compile(text)
        found[text] = kernel, cubin
        if not cubin.usage[NAME].spilled:
            return kernel, cubin
    return min(found.values(), key=lambda pair: _pressure(pair[1]))


def _pressure(cubin: Cubin) -> tuple[int, int]:
    used = cubin.usage[NAME]
    return used.spilled, used.registers

"""Of several kernels that compute the same, the one that suits a GPU best.

In which order values are computed, and whether in branches, decides how many live at a
time, and a compiler only mends that in part: so it is asked.  `candidates` makes the
kernels, `best_order` chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from jitad.ir.graph import Graph
from jitad.lowering.emit_cuda import NAME, emit
from jitad.lowering.kernel import Kernel, Layout
from jitad.lowering.order import ORDERS
from jitad.lowering.schedule import schedule
from jitad.transforms.branches import sink

from .nvrtc import Cubin


def candidates(
    graph: Graph,
    axes: int,
    varying: Sequence[tuple[int, ...]],
    layouts: Sequence[Layout],
) -> Iterator[Kernel]:
    """The kernels of an expanded graph, in every order: with branches, then without.

    Arguments as those of `schedule`.  What a branch makes lives from its end on, all of
    it; where it is all selected at once, more is computed.
    """
    sunk = sink(graph)
    for form in (sunk,) if sunk is graph else (sunk, graph):
        for ordering in ORDERS:
            yield schedule(form, axes, varying, layouts, ordering)


def best_order(
    kernels: Iterable[Kernel], compile: Callable[[str], Cubin]
) -> tuple[Kernel, Cubin]:
    """The kernel that spills fewest bytes, then takes fewest registers; and its code.

    kernels  of the same function; those after the first that spills nothing are not
             asked for
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

"""Print a Kernel as CUDA C: one lane is one thread.

Start at `emit`.  Loops, branches and storage of a lane's own are plain C.  A kernel
that sums over lanes takes one after the other in each thread: what is stored into a
buffer of sums, each thread adds up in the order of its lanes and each block by a fixed
tree, so a launch of the same shape gives the same bits.  Products and sums are fused as
on a CPU that can, by `fuse`, and not by the compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jitad.lowering.fuse import fuse
from jitad.lowering.kernel import Kernel

from . import functions, rows, scatter
from .body import Body
from .functions import accumulator
from .parameters import parameters
from .rows import SHARED, THREADS, WARP

NAME = "kernel"


def emit(kernel: Kernel, *, name: str = NAME, shared: int = SHARED) -> str:
    """The CUDA C of a kernel: `extern "C" __global__ void name(parameters)`.

    It takes `parameters`, in a grid of one dimension: of a thread for every lane, or
    more, in blocks of whole warps, of at most THREADS.  With buffers of sums, or that
    lanes scatter, it may be any number of blocks, and the text has the kernels that are
    launched besides: `totals_name` for each dtype of sums, which adds up those of the
    blocks (see `functions.totals`), and those of `scatter`.

    shared  KiB of shared memory that a multiprocessor of the card has, or more has
    Raises UnsupportedError where a word or a statement has no CUDA C.
    """
    return emit_columns([fuse(kernel)], name=name, shared=shared)


def emit_columns(
    parts: Sequence[Kernel], *, name: str = NAME, shared: int = SHARED
) -> str:
    """As `emit`, of the column blocks (`columns.split`) of a kernel that is fused.

    Where the grid of the whole has one block of threads, this one has as many as there
    are column blocks, side by side: what they read and write of the same lanes meets in
    a cache.
    """
    kernel = parts[0]
    bodies = [Body(part, shared, len(parts)) for part in parts]
    words = [word for body in bodies for word in body.words()]
    together = max(body.rows.bytes for body in bodies)
    sums = [b for b in kernel.buffers if b.layout == "sum"]
    dtypes = dict.fromkeys(b.dtype for b in sums)
    added = dict.fromkeys(map(accumulator, dtypes))
    signature = ", ".join(p.declaration for p in parameters(kernel))
    return "\n".join(
        [
            *functions.functions(words),
            *([rows.FUNCTIONS] if together else []),
            *(functions.block_sum(d, THREADS) for d in added),
            *scatter.functions(kernel),
            f'extern "C" __global__ void {name}({signature}) {{',
            *_room(together),
            *_chosen([body.whole() for body in bodies]),
            "}",
            *(functions.totals(totals_name(name, d), d) for d in dtypes),
            *scatter.kernels(kernel, name),
            "",
        ]
    )


def entries(kernel: Kernel, name: str = NAME) -> list[str]:
    """The names of all kernels in the text."""
    dtypes = dict.fromkeys(b.dtype for b in kernel.buffers if b.layout == "sum")
    totals = [totals_name(name, d) for d in dtypes]
    return [name, *totals, *scatter.names(kernel, name)]


def _room(bytes: int) -> list[str]:
    """The line that declares bytes of shared memory for each warp."""
    size = f"{THREADS // WARP}][{bytes // 8}"
    return [f"  __shared__ long long shared[{size}];"] if bytes else []


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

"""`cuda_device`: a value or a derivative, for the user's own CUDA kernels in Numba."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from jitad import plan
from jitad.backends import cuda_device as backend
from jitad.backends.njit import Place
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.lowering import emit_device
from jitad.lowering.emit_device import Given
from jitad.names import result_names

from . import examples
from .examples import Example

# One point's numbers are the same for all lanes, of which there is one.
_READ = plan.Placement("fixed", (), (0,), 0)
_WRITTEN = plan.Placement("rows", (0,), (0,), 0)


def cuda_device(function: Callable[..., Any], *args: Any) -> Any:
    """(*args) -> results as a device function, for arguments like those of args.

        slope = jitad.cuda_device(jitad.grad(f), np.zeros(3))

        @cuda.jit(link=slope.link)
        def slopes(X, result):
            i = cuda.grid(1)
            if i < len(X):
                slope(X[i], result[i])

    Results that are arrays are written into arrays that are given after the arguments,
    in their order, and must not overlap what is read; numbers are returned: one, or a
    tuple.  Numbers must be of the example's dtype, arrays of its dtype and shape, with
    any strides: parts of arrays on the card, shared or local ones.  Anything else is
    Numba's TypingError; another shape a ValueError, which Numba tells of in kernels
    with debug=True, and which otherwise ends the thread.  Where NumPy would raise
    LinAlgError results are NaN.

    link is what the kernel is linked with: files for the CUDA target that comes with
    Numba; nothing for numba-cuda, which is told by the function itself.

    Raises InputError for containers and for batches, DeviceError where Numba's CUDA is
    missing, CompilerError where NVRTC is, and UnsupportedError for what has no CUDA.
    """
    return backend.compile(routine(examples.prepared("cuda_device", function, args)))


def routine(
    example: Example, machine: backend.AnyCard = backend.ANY_CARD
) -> backend.Routine:
    """The text of the function, and what it takes."""
    function, leaves = example.function, example.leaves
    if function.levels:
        raise InputError(
            f"cuda_device: {function.name} is of a batch ({source_line()}); expected a "
            "function of one point, which a kernel calls in a thread for every point: "
            "leave out vmap, or use it inside of a function of your own"
        )
    _, _, inputs = function.point(example.spec, leaves)
    derived = example.derived(inputs)
    graph, constants = plan.lifted(derived.graph)
    types = graph.output_types
    kinds = [example.kind(n, x) for n, x in zip(example.names, leaves, strict=True)]
    results = [(t.dtype, t.shape or None) for t in types]
    every = [
        *(Given(shape) for _, shape in kinds),
        *(Given(c.shape, c) for c in constants),
        *(Given(shape) for _, shape in results),
    ]
    inside, outside = [_READ] * len(graph.inputs), [_WRITTEN] * len(types)
    made = plan.make(replace(derived, graph=graph), (), inside, outside, machine)
    given = [every[k] for k in made.buffers]
    symbol = f"jitad_{_digest(emit_device.emit(made.kernel, given, ''))}"
    count, first = len(leaves), len(graph.inputs)
    numbers = [*range(count), *range(first, first + len(types))]
    names = [*example.names, *result_names(derived.result)]
    places = [
        Place(name, *kind, k if k in made.buffers else None)
        for name, kind, k in zip(names, [*kinds, *results], numbers, strict=True)
    ]
    text = emit_device.emit(made.kernel, given, symbol)
    return backend.Routine(
        function.name, symbol, text, tuple(places[:count]), tuple(places[count:])
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

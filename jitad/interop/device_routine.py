"""A value or a derivative as a function in CUDA C, for `cuda_device` to hand on."""

from __future__ import annotations

import hashlib

from jitad.backends.cpu.njit import Place
from jitad.backends.cuda import for_numba as backend
from jitad.calls.names import result_names
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.lowering.cuda import device_function
from jitad.lowering.cuda.device_function import Given
from jitad.plan.choose import make
from jitad.plan.derived import lifted
from jitad.plan.placement import Placement

from .examples import Example

# One point's numbers are the same for all lanes, of which there is one.
_READ = Placement("fixed", (), (0,), 0)
_WRITTEN = Placement("rows", (0,), (0,), 0)


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
    derived, constants = lifted(derived)
    graph = derived.graph
    types = graph.output_types
    kinds = [example.kind(n, x) for n, x in zip(example.names, leaves, strict=True)]
    results = [(t.dtype, t.shape or None) for t in types]
    every = [
        *(Given(shape) for _, shape in kinds),
        *(Given(c.shape, c) for c in constants),
        *(Given(shape) for _, shape in results),
    ]
    inside, outside = [_READ] * len(graph.inputs), [_WRITTEN] * len(types)
    made = make(derived, (), inside, outside, machine, (1,))
    given = [every[k] for k in made.buffers]
    symbol = f"jitad_{_digest(device_function.emit(made.kernel, given, ''))}"
    count, first = len(leaves), len(graph.inputs)
    numbers = [*range(count), *range(first, first + len(types))]
    names = [*example.names, *result_names(derived.result)]
    places = [
        Place(name, *kind, k if k in made.buffers else None)
        for name, kind, k in zip(names, [*kinds, *results], numbers, strict=True)
    ]
    text = device_function.emit(made.kernel, given, symbol)
    return backend.Routine(
        function.name, symbol, text, tuple(places[:count]), tuple(places[count:])
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]

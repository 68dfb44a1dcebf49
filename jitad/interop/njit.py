"""`njit`: a value or a derivative, compiled, for the user's own Numba code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import tree
from jitad.backends.memory import address
from jitad.calls.function import Function
from jitad.calls.names import result_names
from jitad.calls.signature import Signature
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.lowering.llvm.arguments import slots
from jitad.plan.choose import fitted
from jitad.plan.derived import lifted
from jitad.process.late import late

from . import examples
from .examples import Example

backend = late("jitad.backends.cpu.njit")


def njit(function: Callable[..., Any], *args: Any) -> Any:
    """(*args) -> results as an @njit function, for arguments like those of args.

        slope = jitad.njit(jitad.grad(f), np.zeros(3))

        @numba.njit(parallel=True)
        def slopes(X):
            result = np.empty_like(X)
            for i in numba.prange(len(X)):
                result[i] = slope(X[i])
            return result

    It runs the kernel that function itself would run, in the calling thread: the same
    numbers, no Python, no lock.  Numbers must be of the example's dtype, arrays of its
    dtype and shape and in C order; anything else is Numba's TypingError, another shape
    a ValueError (which Numba loses in a prange, as it does all exceptions: look at the
    shapes before).  Results are numbers, arrays and tuples of them.  Where NumPy would
    raise LinAlgError they are NaN.  The code cannot be cached on disk.

    Raises InputError for arguments or results that are other containers.
    """
    example = examples.prepared("njit", function, args)
    return backend.compile(_routine(example))


def _routine(example: Example) -> Any:
    """The kernel for arrays in C order, and where its launch block has them."""
    function, leaves = example.function, example.leaves
    given = [np.array(x, order="C") if np.ndim(x) else x for x in leaves]
    views, extents, inputs = function.point(example.spec, given)
    derived = example.derived(inputs)
    structure = _structure(function, derived.result)
    axes = function.in_axes(example.spec, given), function.out_axes(derived)
    what = Signature(function.name, derived, example.spec, *axes, extents)
    blank = [np.zeros(shape, t.dtype) for shape, t in what.results]
    launch = _launch(what, views, what.seen_results(blank))
    results = [y if y.ndim else y[()] for y in blank]
    names = [*example.names, *result_names(derived.result)]
    named = zip(names, [*leaves, *results], strict=True)
    places = [
        backend.Place(name, *example.kind(name, x), launch.words.get(k))
        for k, (name, x) in enumerate(named)
    ]
    count = len(leaves)
    return backend.Routine(
        function.name, launch, tuple(places[:count]), tuple(places[count:]), structure
    )


def _launch(
    what: Signature, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> Any:
    """The kernel and its block, for arrays that lie as these do."""
    extents = what.extents
    if 0 in extents or not any(y.size for y in outputs):
        return backend.Launch(None, np.zeros(0, np.int64), 0, {})
    derived, constants = lifted(what.derived)
    if derived.effort == "auto":  # the address that is called stays
        derived = replace(derived, effort="full")
    every = [*inputs, *map(what.shared, constants)]
    # A call from machine code runs all lanes at once.
    made = fitted(derived, extents, every, outputs, around=False)
    buffers, executable = made.plan.buffers, made.plan.executable
    first, last = len(inputs), len(inputs) + len(constants)
    known = {first + k: address(c) for k, c in enumerate(constants)}
    given = made.arguments([known.get(k, 0) for k in range(last + len(outputs))])
    words = {
        k if k < first else k - last + first: slots(executable.outline, n).address
        for n, k in enumerate(buffers)
        if k not in known
    }
    block = executable.block(made.extents, given)
    kept = given, constants
    return backend.Launch(executable, block, made.extents[0], words, kept=kept)


def _structure(function: Function, result: tree.PyTreeSpec) -> Any:
    """The numbers of the results, in the tuples that they are returned in."""
    structure = tree.unflatten(result, list(range(result.num_leaves)))
    if not tree.only_tuples(structure):
        raise InputError(
            f"njit: {function.name} returns {structure} with results in place of "
            f"numbers ({source_line()}); expected numbers, arrays or tuples of them: "
            "return a tuple"
        )
    return structure

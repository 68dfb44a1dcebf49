"""A call that is made again and again, with the least of Python between.

Of arrays of one library, by position; a kernel, and no sums.  What a launch needs but
addresses is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitad import tree
from jitad.backends.cuda.card import LEGACY, Card
from jitad.backends.exchange.foreign import Foreign
from jitad.backends.exchange.libraries import Library
from jitad.ir.graph import Type


def fast_call(
    card: Card,
    library: Library,
    leaves: Sequence[Foreign],
    results: Sequence[tuple[tuple[int, ...], Type]],
    result: tree.PyTreeSpec,
    launch: Callable[[Sequence[int], Any], None],
) -> Callable[..., Any]:
    """args -> results, or None where args are not like leaves.

    launch  (addresses of arguments and results, stream): starts the kernel
    """
    known = []
    for x in leaves:
        i = x.owner.__cuda_array_interface__
        how = i["shape"], i.get("strides"), i["typestr"]
        known.append((type(x.owner), how, x.dtype.itemsize))
    count, number = len(leaves), card.number
    shapes = [(shape, type.dtype) for shape, type in results]

    def call(*args: Any) -> Any:
        if len(args) != count:
            return None
        places, handle = [], None
        for x, (kind, how, size) in zip(args, known, strict=True):
            if type(x) is not kind or library.card(x) != number:
                return None
            i = x.__cuda_array_interface__
            place = i["data"][0]
            if (i["shape"], i.get("strides"), i["typestr"]) != how or place % size:
                return None
            if library.stream is None:
                own = i.get("stream") or LEGACY
                if handle not in (None, own):
                    return None
                handle = own
            places.append(place)
        if library.stream is not None:
            handle = library.stream(number)
        with card.current():
            stream = card.stream_at(handle or LEGACY)
            made = [library.new(*s, card, stream) for s in shapes]
            places += [library.address(x) for x in made]
            launch(places, stream)
        return tree.unflatten(result, made)

    return call

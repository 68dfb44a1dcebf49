"""A call that is made again and again, with the least of Python between.

Of arrays of one library, by position; a kernel, and no sums.  What a launch needs but
addresses is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitad import tree
from jitad.backends.card import Card
from jitad.backends.device_array import DeviceArray
from jitad.backends.foreign import Foreign
from jitad.backends.libraries import LEGACY, Library
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
    expected = [
        (type(x.owner), x.owner.__cuda_array_interface__, x.dtype.itemsize)
        for x in leaves
    ]
    known = [
        (kind, i["shape"], i.get("strides"), i["typestr"], size)
        for kind, i, size in expected
    ]
    count, number = len(leaves), card.number
    shapes = [(shape, type.dtype) for shape, type in results]

    def call(*args: Any) -> Any:
        if len(args) != count:
            return None
        places, handle = [], None
        for x, (kind, shape, strides, letters, size) in zip(args, known, strict=True):
            if type(x) is not kind or library.card(x) != number:
                return None
            i = x.__cuda_array_interface__
            place = i["data"][0]
            if (
                i["shape"] != shape
                or i.get("strides") != strides
                or i["typestr"] != letters
                or place % size
            ):
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
            if library.empty is None:
                made = [DeviceArray(card, *s, stream) for s in shapes]
            else:
                made = [library.empty(*s, number) for s in shapes]
            places += [library.address(x) for x in made]
            launch(places, stream)
        return tree.unflatten(result, made)

    return call

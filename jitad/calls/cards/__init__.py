"""Calls on CUDA cards, for arguments that are there or on the host.

`call` chooses: arrays of other libraries on a card are computed with where they are, on
their stream, and results made by their library (`on_card`); a batch of the host goes
there in parts (`in_parts`), a single point, or what sums over points, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.backends.cuda.card import card
from jitad.backends.exchange.device_array import DeviceArray
from jitad.backends.exchange.foreign import Foreign
from jitad.calls.call import Call
from jitad.calls.signature import Signature

from .in_parts import InParts
from .on_card import OnCard


def call(
    signature: Signature,
    numbers: Sequence[int],
    leaves: Sequence[Any],
    views: Sequence[Any],
) -> Call:
    """The call of these arguments on cards of these numbers.

    views  of leaves, batch levels in front
    """
    cards = [card(n) for n in numbers]
    if signature.extents and not any(isinstance(x, Foreign) for x in leaves):
        return InParts(signature, views, cards)
    return OnCard(signature, leaves, cards[0])


def put(array: np.ndarray, number: int) -> DeviceArray:
    """A copy of an array of the host on the card of a number, when it is there."""
    chosen = card(number)
    with chosen.current():
        made = DeviceArray(chosen, array.shape, array.dtype, chosen.stream)
        if array.size:
            dense = np.ascontiguousarray(array)
            chosen.to_device(made.address, dense, chosen.stream)
            chosen.sync(chosen.stream)
    return made

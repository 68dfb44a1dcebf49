"""Arrays of the host put on a CUDA card, to stay there from call to call."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad import tree
from jitad.errors import InputError
from jitad.process.late import late

from . import arrays
from .where import where

cards = late("jitad.calls.cards")


def device_put(x: Any, device: str = "cuda") -> Any:
    """Arrays on a card that hold what x holds: an array, a number, or a tree of them.

    What they are computed with is computed there, and gives such arrays; they have
    `__cuda_array_interface__` and DLPack, and np.asarray copies one back.
    device  "cuda", or "cuda:1" for the second card
    Raises InputError for other dtypes than float64, float32, integers and bool,
    DeviceError where there is no such card, DeviceMemoryError where it is full.
    """
    (number,) = where("device_put", device=device).cards or (None,)
    if number is None:
        raise InputError(f'device_put: expected a card as "cuda:0", got {device!r}')
    leaves, spec = tree.flatten(x)
    named = tree.flatten(((x,), {}))[1]
    found = [arrays.checked(v, k, named, "device_put") for k, v in enumerate(leaves)]
    return tree.unflatten(spec, [cards.put(np.asarray(v), number) for v in found])

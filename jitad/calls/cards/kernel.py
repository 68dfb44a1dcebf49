"""A kernel for arrays on cards that lie in a certain way, and its launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.backends.cuda.card import Card
from jitad.backends.cuda.executable import Builder, Prepared
from jitad.plan.choose import fitted
from jitad.plan.derived import Derived


class CardKernel:
    """A kernel for arrays on cards of certain shapes and strides."""

    def __init__(
        self,
        derived: Derived,
        extents: tuple[int, ...],
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        cards: Sequence[Card],
        order: tuple[int, ...] | None = None,
    ) -> None:
        """inputs, outputs: such arrays, batch levels of these extents in front.

        order  of the batch levels, as for `fitted`
        """
        self._cards = [
            fitted(derived, extents, inputs, outputs, Builder(c), order=order)
            for c in cards
        ]
        self.fitted = self._cards[0]
        self._prepared: dict[tuple[int, int], Prepared] = {}

    def launch(
        self, addresses: Sequence[int], stream: Any, count: int = 0, card: int = 0
    ) -> None:
        """Start it on `count` lanes, by default all, on one of the cards.

        addresses  of all inputs and outputs
        """
        made = self._cards[card]
        key = card, count or made.extents[0]
        prepared = self._prepared.get(key)
        if prepared is None:
            extents = key[1], *made.extents[1:]
            arguments = made.arguments([0] * len(addresses))
            executable = made.plan.executable
            prepared = self._prepared[key] = executable.prepare(extents, arguments)
        prepared.launch([addresses[k] for k in made.plan.buffers], stream)

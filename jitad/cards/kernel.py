"""A kernel for arrays on cards that lie in a certain way, and its launches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad import plan
from jitad.backends.card import Card
from jitad.backends.cuda import Builder, Prepared
from jitad.plan import Derived, Plan

# An address for arrays that are only looked at.
PLACE = 256


class CardKernel:
    """A kernel for arrays on cards of certain shapes and strides."""

    def __init__(
        self,
        derived: Derived,
        extents: tuple[int, ...],
        order: tuple[int, ...],
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        cards: Sequence[Card],
    ) -> None:
        """inputs, outputs: such arrays, batch levels of these extents in front."""
        self.lanes = tuple([extents[k] for k in order]) or (1,)
        before = [plan.place(v, extents, order) for v in inputs]
        after = [plan.place_output(v, extents, order) for v in outputs]
        self.inputs, self.outputs = before, after
        self.placed = [*before, *after]
        self.plans: list[Plan] = [
            plan.make(derived, order, before, after, Builder(c)) for c in cards
        ]
        self.buffers = self.plans[0].buffers
        self._prepared: dict[tuple[int, int], Prepared] = {}

    @property
    def facts(self) -> tuple[Any, ...]:
        """What `explain` asks a call for: plan, placements and lanes."""
        return self.plans[0], self.inputs, self.outputs, self.lanes

    def launch(
        self, addresses: Sequence[int], stream: Any, count: int = 0, card: int = 0
    ) -> None:
        """Start it on so many lanes, by default all, on one of the cards.

        addresses  of all inputs and outputs
        """
        key = card, count or self.lanes[0]
        prepared = self._prepared.get(key)
        if prepared is None:
            extents = key[1], *self.lanes[1:]
            arguments = [self.placed[k].argument(0) for k in self.buffers]
            executable = self.plans[card].executable
            prepared = self._prepared[key] = executable.prepare(extents, arguments)
        prepared.launch([addresses[k] for k in self.buffers], stream)

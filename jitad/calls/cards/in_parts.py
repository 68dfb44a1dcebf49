"""A call with a batch of the host, which goes to cards part after part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.backends.cpu import fresh
from jitad.backends.cuda.card import Card
from jitad.backends.cuda.staging import Staged, mirrors, part
from jitad.backends.memory import PLACE, alike, shown
from jitad.calls import arrays
from jitad.calls.call import Call
from jitad.calls.signature import Signature
from jitad.plan.choose import lane_order
from jitad.plan.derived import lifted

from .kernel import CardKernel


class InParts(Call):
    """A batch of the host that is computed on cards, part after part."""

    def __init__(
        self, signature: Signature, views: Sequence[Any], cards: Sequence[Card]
    ) -> None:
        super().__init__(signature)
        self._lifted, constants = lifted(self.derived)
        self.constants = [signature.shared(c) for c in constants]
        self.order = lane_order(signature.extents)
        self.axis = self.order[0]
        self.cards = cards
        self._staged: dict[Any, Staged] = {}
        self._views = [*map(alike, views), *self.constants]
        blank = [shown(PLACE, shape, t.dtype) for shape, t in signature.results]
        self._made(signature.seen_results(blank))

    def _made(self, outputs: Sequence[np.ndarray]) -> Staged:
        key = tuple([o.strides for o in outputs])
        if key not in self._staged:
            extents = [*self.signature.extents]
            count = extents[self.axis]
            every = [*self._views, *outputs]
            lanes = part(every, self.axis, count, len(self.cards))
            before = mirrors(self._views, self.axis, count, lanes)
            after = mirrors(outputs, self.axis, count, lanes)
            extents[self.axis] = lanes
            kernel = CardKernel(
                self._lifted, tuple(extents), [m.like() for m in before],
                [m.like() for m in after], self.cards, self.order,
            )  # fmt: skip
            self.fitted, self.part = kernel.fitted, lanes
            self._staged[key] = Staged(
                tuple(self.cards), kernel.launch, count, self.axis, lanes,
                tuple(before), tuple(after),
            )  # fmt: skip
        return self._staged[key]

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Compute on the cards, and wait for it."""
        what = self.signature
        inputs = [arrays.usable(x) for x in leaves]
        outputs = (
            [fresh.empty(shape, t.dtype) for shape, t in what.results]
            if out is None
            else what.targets(out)
        )
        apart = out is not None and arrays.overlap(inputs, outputs)
        made = [np.empty_like(o) for o in outputs] if apart else outputs
        views = [*what.seen(inputs), *self.constants]
        if 0 not in what.extents and any(o.size for o in outputs):
            into = what.seen_results(made)
            self._made(into).run(views, into)
        if apart:
            for target, value in zip(outputs, made, strict=True):
                target[...] = value
        return out if out is not None else what.unflattened(made)

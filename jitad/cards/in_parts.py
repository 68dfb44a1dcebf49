"""A call with a batch of the host, which goes to cards part after part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import arrays, plan, tree
from jitad.backends import fresh
from jitad.backends.card import Card
from jitad.backends.memory import shown
from jitad.backends.staging import Staged, mirrors, part
from jitad.call import Call
from jitad.cards.kernel import PLACE, CardKernel


class InParts(Call):
    """A batch of the host that is computed on cards, part after part."""

    def __init__(self, cards: Sequence[Card], views: Sequence[Any], *what: Any) -> None:
        super().__init__(*what)
        graph, constants = plan.lifted(self.derived.graph)
        levels = [None] * len(self.extents)
        self.constants = [arrays.batch_first(c, levels) for c in constants]
        self.order = plan.lane_order(self.extents)
        self.axis = self.order[0]
        self.cards = cards
        self._graph = graph
        self._staged: dict[Any, Staged] = {}
        # Arrays that lie as the arguments do, and keep none of them alive.
        like = [shown(PLACE, x.shape, x.dtype, x.strides) for x in views]
        self._views = [*like, *self.constants]
        blank = [shown(PLACE, shape, t.dtype) for shape, t in self.results]
        self._made(self._outputs(blank))

    def _outputs(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        pairs = zip(outputs, self.out_axes, strict=True)
        return [arrays.batch_first(o, a) for o, a in pairs]

    def _made(self, outputs: Sequence[np.ndarray]) -> Staged:
        key = tuple([o.strides for o in outputs])
        if key not in self._staged:
            count = self.extents[self.axis]
            every = [*self._views, *outputs]
            lanes = part(every, self.axis, count, len(self.cards))
            before = mirrors(self._views, self.axis, count, lanes)
            after = mirrors(outputs, self.axis, count, lanes)
            derived, extents = replace(self.derived, graph=self._graph), [*self.extents]
            extents[self.axis] = lanes
            kernel = CardKernel(
                derived, tuple(extents), self.order, [m.like() for m in before],
                [m.like() for m in after], self.cards,
            )  # fmt: skip
            self.plan, self.inputs, self.outputs, self.lanes = kernel.facts
            self.part = lanes
            self._staged[key] = Staged(
                tuple(self.cards), kernel.launch, count, self.axis, lanes,
                tuple(before), tuple(after),
            )  # fmt: skip
        return self._staged[key]

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Compute on the cards, and wait for it."""
        inputs = [arrays.usable(x) for x in leaves]
        outputs = (
            [fresh.empty(shape, t.dtype) for shape, t in self.results]
            if out is None
            else self._targets(out)
        )
        apart = out is not None and arrays.overlap(inputs, outputs)
        made = [np.empty_like(o) for o in outputs] if apart else outputs
        pairs = zip(inputs, self.in_axes, strict=True)
        views = [*(arrays.batch_first(x, a) for x, a in pairs), *self.constants]
        if 0 not in self.extents and any(o.size for o in outputs):
            into = self._outputs(made)
            self._made(into).run(views, into)
        if apart:
            for target, value in zip(outputs, made, strict=True):
                target[...] = value
        return out if out is not None else tree.unflatten(self.derived.result, made)

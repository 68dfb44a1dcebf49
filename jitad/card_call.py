"""Calls on CUDA cards, for arguments that are there or on the host.

`call` chooses: arrays of other libraries on a card are computed with where they are, on
their stream, and results made by their library; a batch of the host goes there in parts
(`backends.staging`), a single point, or what sums over points, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import arrays, plan, tree
from jitad.backends.card import Card, card
from jitad.backends.cuda import Builder, Work
from jitad.backends.device_array import DeviceArray
from jitad.backends.foreign import Foreign, foreign, library
from jitad.backends.memory import dense, shown
from jitad.backends.staging import Staged, mirrors, part
from jitad.call import Call
from jitad.errors import InputError
from jitad.plan import Derived, Plan
from jitad.program import program


def call(
    numbers: Sequence[int], leaves: Sequence[Any], views: Sequence[Any], what: Any
) -> Call:
    """The call of these arguments on cards of these numbers.

    views  of leaves, batch levels in front; what: the arguments of a Call
    """
    cards = [card(n) for n in numbers]
    extents = what[-1]
    if extents and not any(isinstance(x, Foreign) for x in leaves):
        return InParts(cards, views, *what)
    return OnCard(cards[0], leaves, *what)


class _Kernel:
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
        self.placed = [*before, *after]
        self.plans: list[Plan] = [
            plan.make(derived, order, before, after, Builder(c)) for c in cards
        ]

    def arguments(self, addresses: Sequence[int]) -> list[Any]:
        """Those of a launch, by the addresses of all inputs and outputs."""
        chosen = self.plans[0].buffers
        return [self.placed[k].argument(addresses[k]) for k in chosen]


class OnCard(Call):
    """Arguments on a card, and numbers; or a single point of the host."""

    def __init__(self, card: Card, leaves: Sequence[Any], *what: Any) -> None:
        super().__init__(*what)
        self.card = card
        there = [x for x in leaves if isinstance(x, Foreign)]
        self.library = library(there[0].library) if there else None
        self.on_host = not there
        examples = [_example(x) for x in leaves]
        levels = [None] * len(self.extents)
        pairs = zip(examples, self.in_axes, strict=True)
        self.views = [arrays.batch_first(x, a) for x, a in pairs]
        machine = Builder(card)
        made = None if self.extents else program(self.derived, self.views, machine)
        self.graph, constants = plan.lifted(self.derived.graph)
        if made is not None:
            constants = made.constants
        with card.current():
            work = Work(card, card.stream)
            self.constants = [work.send(np.ascontiguousarray(c)) for c in constants]
            card.sync(card.stream)
        self.views += [arrays.batch_first(c, levels) for c in self.constants]
        self.program = made and replace(made, constants=tuple(self.constants))
        self._kernels: dict[Any, _Kernel] = {}
        if made is None:
            self.plan = self._kernel(self._blank()).plans[0]

    def _blank(self) -> list[np.ndarray]:
        """Arrays as results are if nobody gives any."""
        return [shown(_PLACE, shape, type.dtype) for shape, type in self.results]

    def _kernel(self, outputs: Sequence[np.ndarray]) -> _Kernel:
        key = tuple([o.strides for o in outputs])
        if key not in self._kernels:
            pairs = zip(outputs, self.out_axes, strict=True)
            views = [arrays.batch_first(o, a) for o, a in pairs]
            derived = replace(self.derived, graph=self.graph)
            order = plan.lane_order(self.extents)
            self._kernels[key] = _Kernel(
                derived, self.extents, order, self.views, views, [self.card]
            )
        return self._kernels[key]

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Start it; results are of the library of the arguments, or on the host."""
        card = self.card
        targets = None if out is None else self._given(out)
        with card.current():
            handles = dict.fromkeys(x.stream for x in leaves if isinstance(x, Foreign))
            streams = [card.stream_at(h) for h in handles] or [card.stream]
            stream, *others = streams
            for other in others:
                card.wait(stream, other)
            work = Work(card, stream)
            inputs = [
                x.array if isinstance(x, Foreign) else work.send(arrays.usable(x))
                for x in leaves
            ]
            results = self._compute(work, inputs, targets)
            for other in others:
                card.wait(other, stream)
        if out is None:
            return tree.unflatten(self.derived.result, results)
        if self.on_host:
            for target, value in zip(targets or (), results, strict=True):
                target[...] = value
        return out

    def _compute(
        self, work: Work, inputs: list[np.ndarray], targets: list[np.ndarray] | None
    ) -> list[Any]:
        """The results, as whoever called wants them; targets take them if given."""
        if self.program is not None:
            made = self.program.run(inputs, work)
            if self.library is None:
                return _fetched(work, made)
            self._need_contiguous(targets or ())
            results, into = (targets, targets) if targets else self._new(work)
            for source, target in zip(made, into, strict=True):
                work.move(source.reshape(target.shape), target)
            return self._taken(results)
        if self.library is None:
            made = [work.empty(shape, t.dtype) for shape, t in self.results]
            self._launch(work, inputs, made)
            return _fetched(work, made)
        if targets and arrays.overlap(inputs, targets):
            self._need_contiguous(targets)
            made = [work.empty(x.shape, x.dtype) for x in targets]
            self._launch(work, inputs, made)
            for source, target in zip(made, targets, strict=True):
                work.move(source, target)
            return targets
        results, into = (targets, targets) if targets else self._new(work)
        self._launch(work, inputs, into)
        return self._taken(results)

    def _need_contiguous(self, targets: Sequence[np.ndarray]) -> None:
        for k, x in enumerate(targets):
            if not x.flags.c_contiguous:
                raise InputError(
                    f"{self.name}: out number {k} is not contiguous; expected an array "
                    "that is, where it takes sums or shares memory with an argument"
                )

    def _launch(
        self, work: Work, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
    ) -> None:
        if 0 in self.extents or not any(o.size for o in outputs):
            return
        kernel = self._kernel(outputs)
        every = [*inputs, *self.constants, *outputs]
        arguments = kernel.arguments([arrays.address(x) for x in every])
        work.launch(kernel.plans[0].executable, kernel.lanes, arguments)

    # -- results ---------------------------------------------------------------

    def _new(self, work: Work) -> tuple[list[Any], list[np.ndarray]]:
        """New arrays of the library, and where they lie."""
        source = self.library
        assert source is not None
        made = [
            DeviceArray(self.card, shape, t.dtype, work.stream)
            if source.empty is None
            else source.empty(shape, t.dtype, self.card.number)
            for shape, t in self.results
        ]
        places = [
            shown(source.address(x), shape, t.dtype)
            for x, (shape, t) in zip(made, self.results, strict=True)
        ]
        return made, places

    def _taken(self, results: Sequence[Any]) -> list[Any]:
        source = self.library
        assert source is not None
        return [source.take(x) if isinstance(x, DeviceArray) else x for x in results]

    def _given(self, out: Any) -> list[np.ndarray]:
        """The arrays of out=, checked; on a card in the form of ndarrays."""
        if self.on_host:
            return self._targets(out)
        leaves, spec = tree.flatten(out)
        found = [foreign(x) for x in leaves]
        for k, x in enumerate(found):
            if x is None or x.card != self.card.number or not x.writable:
                where = "on the host" if x is None else f"on cuda:{x.card}"
                what = where if x is None or x.writable else f"{where}, read-only"
                raise InputError(
                    f"{self.name}: out number {k} is {what}; expected one that can be "
                    f"written on cuda:{self.card.number}, where the arguments are"
                )
        shapes = tree.unflatten(spec, [x.array for x in found if x is not None])
        return self._targets(shapes)


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
        self._views = [*views, *self.constants]
        blank = [shown(_PLACE, shape, t.dtype) for shape, t in self.results]
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
            kernel = _Kernel(
                derived, tuple(extents), self.order, [m.like() for m in before],
                [m.like() for m in after], self.cards,
            )  # fmt: skip
            self.plan = kernel.plans[0]
            self._staged[key] = Staged(
                tuple(self.cards), tuple([p.executable for p in kernel.plans]),
                kernel.arguments, (count, *kernel.lanes[1:]), self.axis, lanes,
                tuple(before), tuple(after),
            )  # fmt: skip
        return self._staged[key]

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Compute on the cards, and wait for it."""
        inputs = [arrays.usable(x) for x in leaves]
        outputs = (
            [np.empty(shape, t.dtype) for shape, t in self.results]
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


_PLACE = 256  # an address for arrays that are only looked at


def _example(leaf: Any) -> np.ndarray:
    """An argument as it lies on the card."""
    if isinstance(leaf, Foreign):
        return leaf.array
    x = arrays.usable(leaf)
    return shown(_PLACE, x.shape, x.dtype, dense(x.shape, x.strides, x.itemsize))


def _fetched(work: Work, made: Sequence[np.ndarray]) -> list[Any]:
    """Results of a card on the host."""
    found = [np.empty(x.shape, x.dtype) for x in made]
    for x, y in zip(made, found, strict=True):
        if y.size:
            work.card.to_host(y, arrays.address(x), work.stream)
    work.card.sync(work.stream)
    return [y if y.shape else y[()] for y in found]

"""A call with arguments on a card, or of a single point of the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import tree
from jitad.backends.cpu import fresh
from jitad.backends.cuda.card import Card
from jitad.backends.cuda.executable import Builder, Work
from jitad.backends.exchange.device_array import DeviceArray
from jitad.backends.exchange.foreign import Foreign
from jitad.backends.exchange.libraries import foreign, library
from jitad.backends.memory import PLACE, address, dense, shown
from jitad.calls import arrays
from jitad.calls.call import Call
from jitad.calls.signature import Signature
from jitad.errors import InputError
from jitad.plan.derived import lifted
from jitad.plan.program import program

from .fast import fast_call
from .kernel import CardKernel


class OnCard(Call):
    """Arguments on a card, and numbers; or a single point of the host."""

    def __init__(self, signature: Signature, leaves: Sequence[Any], card: Card) -> None:
        super().__init__(signature)
        self.card, self.cards = card, [card]
        there = [x for x in leaves if isinstance(x, Foreign)]
        self.library = library(there[0].library) if there else None
        self.on_host = not there
        self.views = signature.seen([_example(x) for x in leaves])
        made, machine = None, Builder(card)
        if not signature.extents:
            made = program(self.derived, self.views, machine)
        self._lifted, constants = (
            lifted(self.derived) if made is None else (self.derived, made.constants)
        )
        with card.current():
            work = Work(card, card.stream)
            self.constants = [work.send(np.ascontiguousarray(c)) for c in constants]
            card.sync(card.stream)
        self.views += map(signature.shared, self.constants)
        self.program = made and replace(made, constants=tuple(self.constants))
        self._kernels: dict[Any, CardKernel] = {}
        if made is None:
            self.fitted = self._kernel(self._blank()).fitted

    def _blank(self) -> list[np.ndarray]:
        """Arrays as results are if nobody gives any."""
        return [shown(PLACE, shape, t.dtype) for shape, t in self.signature.results]

    def _kernel(self, outputs: Sequence[np.ndarray]) -> CardKernel:
        key = tuple([o.strides for o in outputs])
        if key not in self._kernels:
            what = self.signature
            self._kernels[key] = CardKernel(
                self._lifted, what.extents, self.views, what.seen_results(outputs),
                [self.card],
            )  # fmt: skip
        return self._kernels[key]

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """The call with less of Python between, if arguments are arrays and alike."""
        source, what = self.library, self.signature
        if kwargs or self.program is not None or source is None or 0 in what.extents:
            return None
        if tree.flatten(((0,) * len(args), {}))[1] != what.spec or not what.results:
            return None
        found = [foreign(x) for x in args]
        leaves = [x for x in found if x and library(x.library) is source]
        direct = [x for x, a in zip(leaves, args, strict=False) if x.owner is a]
        blank = self._blank()
        if len(direct) < len(args) or not all(y.size for y in blank):
            return None
        kernel = self._kernel(blank)
        constants, count = [address(c) for c in self.constants], len(args)

        def launch(places: Sequence[int], stream: Any) -> None:
            every = [*places[:count], *constants, *places[count:]]
            kernel.launch(every, stream)

        return fast_call(
            self.card, source, leaves, what.results, self.derived.result, launch
        )

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Start it; results are of the library of the arguments, or on the host."""
        card = self.card
        given = [] if out is None or self.on_host else self._given(out)
        targets = None if out is None else self._checked(out, given)
        with card.current():
            there = [x for x in (*leaves, *given) if isinstance(x, Foreign)]
            handles = dict.fromkeys(x.stream for x in there)
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
            return self.signature.unflattened(results)
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
        elif self.library is None or (targets and arrays.overlap(inputs, targets)):
            made = [work.empty(shape, t.dtype) for shape, t in self.signature.results]
            self._launch(work, inputs, made)
        else:
            made = None
        if self.library is None:
            assert made is not None
            return _fetched(work, made)
        results, into = (targets, targets) if targets else self._new(work)
        if made is None:
            self._launch(work, inputs, into)
            return self._taken(results)
        self._need_contiguous(into)
        for source, target in zip(made, into, strict=True):
            work.move(source.reshape(target.shape), target)
        return self._taken(results)

    def _need_contiguous(self, targets: Sequence[np.ndarray]) -> None:
        for k, x in enumerate(targets):
            if not x.flags.c_contiguous:
                raise InputError(
                    f"{self.signature.name}: out number {k} is not contiguous; "
                    "expected an array that is, where it takes sums or shares memory "
                    "with an argument"
                )

    def _launch(
        self, work: Work, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
    ) -> None:
        if 0 in self.signature.extents or not any(o.size for o in outputs):
            return
        kernel = self._kernel(outputs)
        every = [*inputs, *self.constants, *outputs]
        kernel.launch([address(x) for x in every], work.stream)

    # -- results ---------------------------------------------------------------

    def _new(self, work: Work) -> tuple[list[Any], list[np.ndarray]]:
        """New arrays of the library, and where they lie."""
        source = self.library
        assert source is not None
        made = [
            source.new(shape, t.dtype, self.card, work.stream)
            for shape, t in self.signature.results
        ]
        places = [
            shown(source.address(x), shape, t.dtype)
            for x, (shape, t) in zip(made, self.signature.results, strict=True)
        ]
        return made, places

    def _taken(self, results: Sequence[Any]) -> list[Any]:
        source = self.library
        assert source is not None
        return [source.take(x) if isinstance(x, DeviceArray) else x for x in results]

    def _given(self, out: Any) -> list[Foreign]:
        """The arrays of out=, which must be on the card."""
        made = []
        for k, leaf in enumerate(tree.flatten(out)[0]):
            x = foreign(leaf)
            if x is None or x.card != self.card.number or not x.writable:
                where = "on the host" if x is None else f"on cuda:{x.card}"
                what = where if x is None or x.writable else f"{where}, read-only"
                raise InputError(
                    f"{self.signature.name}: out number {k} is {what}; expected one "
                    f"that can be written on cuda:{self.card.number}, where the "
                    "arguments are"
                )
            made.append(x)
        return made

    def _checked(self, out: Any, given: Sequence[Foreign]) -> list[np.ndarray]:
        """The arrays of out=, in the form of ndarrays, of the expected shapes."""
        if self.on_host:
            return self.signature.targets(out)
        spec = tree.flatten(out)[1]
        return self.signature.targets(tree.unflatten(spec, [x.array for x in given]))


def _example(leaf: Any) -> np.ndarray:
    """An array that lies on a card as an argument does; it keeps nothing alive."""
    if isinstance(leaf, Foreign):
        return shown(PLACE, leaf.shape, leaf.dtype, leaf.strides)
    x = arrays.usable(leaf)
    return shown(PLACE, x.shape, x.dtype, dense(x.shape, x.strides, x.itemsize))


def _fetched(work: Work, made: Sequence[np.ndarray]) -> list[Any]:
    """Results of a card on the host."""
    found = [fresh.empty(x.shape, x.dtype) for x in made]
    for x, y in zip(made, found, strict=True):
        if y.size:
            work.card.to_host(y, address(x), work.stream)
    work.card.sync(work.stream)
    return [y if y.shape else y[()] for y in found]

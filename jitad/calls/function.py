"""The callable that every transformation returns.

A Function knows how to derive the graph of one point from the types of its arguments.
Called with arrays it plans, compiles and launches, once per signature; called with
traced values it becomes part of the trace.  `vmap` only adds a batch level to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Generic, ParamSpec, TypeVar, overload

import numpy as np

from jitad import tree
from jitad.errors import InputError, ShapeError
from jitad.ir.afresh import loops_stay
from jitad.ir.graph import Graph, Type
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.trace import (
    Input,
    Known,
    called_before,
    current,
    differentiated,
    knowing,
    touched,
)
from jitad.ir.tracer import traced
from jitad.ir.whole import Held, writes
from jitad.kept import entries
from jitad.plan.derived import Derived, Side
from jitad.plan.program import program
from jitad.primitives.matrices.linalg import raising
from jitad.process.late import late
from jitad.process.travel import Recipe, known_by_name, named, remade
from jitad.process.waiting import watched
from jitad.transforms.derivatives.pieces import marked, taken
from jitad.transforms.rewrite.precision import mixed
from jitad.transforms.scalars.counted import written_out

from . import arrays
from .call import Call, Compiled, Elements, Empty, Interpreted, Summed
from .inside import Asked, calling, inlined
from .raising import check_ints, raise_as_numpy, raise_at_a_point
from .signature import Signature
from .where import HERE, Where, chosen_cards

cards, door = late("jitad.calls.cards"), late("jitad.elements.door")

Derive = Callable[[tree.PyTreeSpec, tuple[Input, ...]], Derived]
Asking = Callable[[tree.PyTreeSpec, tuple[Input, ...]], Asked | None]
Given = ParamSpec("Given")  # what the user's function takes
Made = TypeVar("Made")  # what is made of it

_REMEMBERED = 512
# Arguments with more numbers than this keep their arrays, if that can be, and so do
# functions that would be written out in more operations, so many of them for a node.
_LARGE = 512
_COSTLY, _WIDE = 3000, 16
# A longer graph with loops that write arrays may have been a graph of more loops.
_SHORT = 50
# Loops that write elements so often are taken apart into scalars with more trouble.
_OFTEN = 64


@dataclass(frozen=True, slots=True)
class Level:
    """One vmap: the batch axis of every argument and every result, as prefix trees."""

    in_axes: Any
    out_axes: Any


def _need_usable(function: Any, name: str) -> None:
    if not callable(function):
        raise InputError(
            f"{name}: expected a function, got {function!r}; pass the function itself, "
            "not what it returns"
        )


class Function(Generic[Given, Made]):
    """(args -> results), traced, transformed and compiled when it is called.

    out=  arrays of the results' shapes and dtypes, in the results' structure, to be
          written instead of new ones.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        derive: Derive,
        *,
        name: str,
        levels: tuple[Level, ...] = (),
        where: Where = HERE,
        value: Callable[..., Any] | None = None,
        returns: str = "",
        slopes: Sequence[int] = (),
        ask: Asking | None = None,
    ) -> None:
        """Value is what NumPy computes of the same arguments, if not function does.

        returns  a line for the documentation
        ask      what is asked of arrays that are too large to be taken apart
        slopes   the numbers of the arguments that its results are derivatives in
        """
        _need_usable(function, name)
        self.function = function
        self.value = value or function
        self.derive = derive
        self.name = name
        self.levels = levels
        self.where = where
        self.slopes = tuple(slopes)
        self.ask = ask
        self.__name__ = name
        self.returns = returns
        lines = (returns and f"{name}: {returns}", inspect.getdoc(function))
        self.__doc__ = "\n\n".join(filter(None, lines)) or None
        with suppress(TypeError, ValueError):
            self.__signature__ = inspect.signature(function)
        self._derived: dict[Any, Derived] = {}
        self.held: dict[Any, tuple[Held, Asked]] = {}
        self._calls: dict[Any, Call] = {}
        self._fast: Callable[..., Any] | None = None
        self._full: Function | None = None
        self.recipe: Recipe | None = None

    def __reduce__(self) -> Any:
        """Travel as the transform and what it was given: compiled again elsewhere."""
        found = known_by_name(self, self.function)
        if found is not None:
            return named, found
        if self.recipe is None:
            raise TypeError(
                f"{self.name}: expected what a transform of jitad returned, got a part "
                "of a product, which cannot be sent to another process; send the "
                "function, and transform it there"
            )
        return remade, self.recipe

    def __repr__(self) -> str:
        return f"<jitad {self.name}>"

    def at(self, where: Where) -> Function:
        """The same function, computed elsewhere."""
        return Function(
            self.function, self.derive, name=self.name, levels=self.levels, where=where,
            value=self.value, returns=self.returns, slopes=self.slopes, ask=self.ask,
        )  # fmt: skip

    def with_levels(self, levels: Iterable[Level]) -> Function:
        """The same function with other batch levels, whose arrays are taken apart."""
        own = tuple(levels)
        return Function(
            self.function, self.derive, name=self.name, levels=own, where=self.where
        )

    def full(self) -> Function:
        """The same function in full precision: that is what derivatives are taken of.

        What is derived is then computed in mixed precision, not what it is derived of.
        """
        if self.where.precision == "full":
            return self
        if self._full is None:
            self._full = self.at(replace(self.where, precision="full"))
        return self._full

    @overload
    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made: ...

    @overload
    def __call__(self, *args: Any, out: Any, **kwargs: Any) -> Made: ...

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        """The results; traced where an argument is traced, else by the back end."""
        if self._fast is not None and out is None and not kwargs:
            result = self._fast(*args)
            if result is not None:
                return result
        leaves, spec = tree.flatten((args, kwargs))
        leaves = [arrays.plain(x) for x in leaves]
        key = (spec, *[arrays.signature(x) for x in leaves])
        call = self._calls.get(key)
        if out is not None and current() and traced(tree.flatten(out)[0]):
            return inlined(self, spec, leaves, out)
        if call is None:
            if any(traced(x) for x in leaves):
                return inlined(self, spec, leaves, out)
            call = self._prepare(spec, leaves)
            if call is None:
                return inlined(self, spec, leaves, out)
            if len(self._calls) >= _REMEMBERED:
                self._calls.clear()
            self._calls[key] = call
        elif call.repeated():
            self._fast = call.fast(args, kwargs) or self._fast
        if call.derived.narrowed:
            check_ints(self.name, call.derived.narrowed, spec, leaves)
        result = call.run(leaves, out)
        if call.derived.may_raise and call.on_host:
            if not self.levels:
                raise_as_numpy(self.value, spec, leaves, result)
            elif call.derived.raises:
                views, _ = self.batched(spec, [np.asarray(x) for x in leaves])
                axes = self.out_axes(call.derived)
                raise_at_a_point(self.name, self.value, spec, views, result, axes)
        return result

    # -- deriving --------------------------------------------------------------

    def derived(self, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        """The graph of one point; made once per argument types.

        And once more, if need be, where the first was made only to be evaluated.
        """
        key, final = (spec, inputs), not differentiated()
        found = self._derived.get(key)
        if found is None or (found.final and not final):
            before = touched()
            with calling() as called, watched(self.name):
                found = self._narrowed(spec, inputs)
            inside = (*called_before(), *called)
            may_raise = found.may_raise or any(d.may_raise for _, d in inside)
            raises = found.raises or any(d.raises for _, d in inside)
            bound = bool(found.captured) or touched() != before
            found = replace(
                found, inside=inside, may_raise=may_raise, raises=raises,
                bound=bound, final=final and bool(inside) and found.side is None,
            )  # fmt: skip
            if not found.bound:
                self._derived[key] = found
        return found

    def known(self, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived | None:
        """What was derived already for these argument types, of one point."""
        return None if self.levels else self._derived.get((spec, inputs))

    def _narrowed(self, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        """As derived; in mixed precision computed with float32 between."""
        with entries.only_if(self.where.cache):
            found = replace(self.derive(spec, inputs), keep=self.where.cache,
                            effort=self.where.compile)  # fmt: skip
        graph = found.graph
        if marked(graph):
            own = found.side or (lambda: Side(taken(graph, 1)))
            found = replace(found, graph=taken(graph, 0), side=own)
        if self.where.precision == "full":
            return found
        return replace(found, graph=mixed(found.graph))

    def batched(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any]
    ) -> tuple[list[Any], tuple[int, ...]]:
        """Every leaf seen as (batch levels …, point …), and the levels' extents."""
        axes = self.in_axes(spec, leaves)
        views = [arrays.batch_first(v, a) for v, a in zip(leaves, axes, strict=True)]
        return views, self._extents(spec, views, axes)

    def in_axes(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any]
    ) -> list[list[int | None]]:
        """For every leaf its batch axes, outermost level first; None: has none."""
        args = tree.unflatten(spec, list(leaves))[0]
        axes: list[list[int | None]] = [[] for _ in leaves]
        for level in self.levels:
            flat = tree.broadcast_prefix(level.in_axes, args)
            # Keyword arguments have their batch axis first, as in JAX.
            flat += [0] * (len(leaves) - len(flat))
            for k, axis in enumerate(flat):
                axes[k].append(axis)
        return axes

    def _extents(
        self, spec: tree.PyTreeSpec, views: Sequence[Any], axes: Sequence[Sequence[Any]]
    ) -> tuple[int, ...]:
        extents = []
        for level in range(len(self.levels)):
            sizes = {
                k: v.shape[level]
                for k, v in enumerate(views)
                if axes[k][level] is not None
            }
            if not sizes:
                raise InputError(
                    f"{self.name}: no argument has a batch axis; expected at least one "
                    "in_axes that is not None"
                )
            if len(set(sizes.values())) > 1:
                names = tree.argument_names(spec)
                found = ", ".join(f"{names[k]}: {n}" for k, n in sizes.items())
                raise ShapeError(
                    f"{self.name}: batch axes of different lengths ({found}); expected "
                    "one length; use in_axes=None for an argument shared by all points"
                )
            extents.append(next(iter(sizes.values())))
        return tuple(extents)

    def stays_whole(self, inputs: Sequence[Input]) -> bool:
        """Whether arguments are so large that they should not be taken apart."""
        able = self.ask is not None and self.where.precision == "full"
        return able and _are_large(inputs)

    def out_axes(self, derived: Derived) -> list[list[int]]:
        """For every result the positions of the batch axes, outermost level first.

        The position of a level is counted among the axes that remain when the axes of
        the levels outside it are taken away.
        """
        types = derived.graph.output_types
        dummy = tree.unflatten(derived.result, list(range(len(types))))
        axes: list[list[int]] = [[] for _ in types]
        for depth, level in enumerate(self.levels):
            inside = len(self.levels) - depth - 1
            flat = tree.broadcast_prefix(level.out_axes, dummy)
            for k, axis in enumerate(flat):
                if axis is None:
                    raise InputError(
                        f"{self.name}: out_axes=None, but every result has a batch "
                        "axis; expected an integer"
                    )
                dims = len(types[k].shape) + inside + 1
                axes[k].append(arrays.normal_axis(axis, dims, self.name))
        return axes

    # -- on arrays -------------------------------------------------------------

    def prepare(self, *args: Any, **kwargs: Any) -> Call:
        """The compiled call for these arguments, without running it."""
        leaves, spec = tree.flatten((args, kwargs))
        call = self._prepare(spec, [arrays.plain(x) for x in leaves])
        assert call is not None, "not inside a trace"
        return call

    def point(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any]
    ) -> tuple[list[Any], tuple[int, ...], tuple[Input, ...]]:
        """As `batched`, arguments checked; and what is known of one point's."""
        found = [arrays.checked(x, k, spec, self.name) for k, x in enumerate(leaves)]
        views, extents = self.batched(spec, found)
        levels = len(extents)
        weak = [type(x) in (float, int) for x in leaves]
        inputs = tuple(
            [
                Input(Type(v.dtype, v.shape[levels:]), w)
                for v, w in zip(views, weak, strict=True)
            ]
        )
        return views, extents, inputs

    def _prepare(self, spec: tree.PyTreeSpec, leaves: Sequence[Any]) -> Call | None:
        with watched(self.name):
            return self._prepared(spec, leaves)

    def _prepared(self, spec: tree.PyTreeSpec, leaves: Sequence[Any]) -> Call | None:
        views, extents, inputs = self.point(spec, leaves)
        known = None
        if not extents:
            call, known = self._elements(spec, leaves, inputs)
            if call is not None:
                return call
        with knowing(known):
            derived = self.derived(spec, inputs)
        if derived.bound:
            return None
        axes = self.in_axes(spec, leaves), self.out_axes(derived)
        what = Signature(self.name, derived, spec, *axes, extents)
        numbers = chosen_cards(self.where, leaves, spec, self.name)
        if numbers:
            return cards.call(what, numbers, leaves, views)
        if self.where.backend == "numpy":
            return Interpreted(what)
        if (empty := Empty(what, views)).whole:
            return empty
        steps = None if extents else program(derived, views)
        return Compiled(what, views) if steps is None else Summed(what, steps)

    def _asked(self, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Asked | None:
        """What is asked of arrays that stay whole, and what is called meanwhile."""
        assert self.ask is not None
        with calling() as called:
            asked = self.ask(spec, inputs)
        if asked is None or not called:
            return asked
        return replace(asked, known=asked.known._replace(inside=tuple(called)))

    def _elements(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any], inputs: tuple[Input, ...]
    ) -> tuple[Call | None, Known | None]:
        """The call whose lanes are the elements of large arrays, if that can be.

        If not, the trace that was made to find that out.
        """
        where = self.where
        plain = where.backend == "numpy"
        if self.ask is None or where.precision != "full" or current() is not None:
            return None, None
        if not _are_large(inputs) and (spec, inputs) in self._derived:
            return None, None
        if chosen_cards(where, leaves, spec, self.name):
            return None, None
        with entries.only_if(where.cache):
            asked = self._asked(spec, inputs)
            if asked is None:
                return None, None
            first, plan, effort = asked, None, where.compile
            graph = asked.known.traced.graph
            recurs = writes(graph) >= _OFTEN
            if recurs and len(graph.nodes) > _SHORT:
                token = loops_stay.set(True)
                try:
                    asked = self._asked(spec, inputs) or asked
                finally:
                    loops_stay.reset(token)
            large = recurs or _are_large(inputs) or _is_dear(graph)
            raises = asked.known.traced.raises
            if large and (recurs or not raises):
                plan = door.planned(
                    asked.whole, keep=where.cache, effort=effort, interpreted=plain
                )
        if plan is None:
            return None, first.known
        raises |= raising(asked.known.traced.graph)
        derived = Derived(asked.whole.like, asked.result, may_raise=raises)
        order = (*asked.given, *asked.seeds)
        return Elements(self.name, spec, derived, plan, order), None


def _are_large(inputs: Sequence[Input]) -> bool:
    return sum(i.type.size for i in inputs) > _LARGE


def _is_dear(graph: Graph) -> bool:
    """Whether there are many operations, and many of them are those of one array.

    So there may be in the body of a loop.
    """
    if written_out(graph) > max(_COSTLY, _WIDE * len(graph.nodes)):
        return True
    loops = [loop_of(node) for node in graph.nodes if node.primitive is LOOP]
    return any(_is_dear(loop.body) for loop in loops)

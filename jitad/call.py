"""Calls whose argument types, shapes and strides are known, one class a back end.

A Function makes one for each signature it meets and runs it again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jitad import arrays, plan, tree
from jitad.backends import cpu, fresh
from jitad.backends.fastcall import fast_call
from jitad.backends.memory import address
from jitad.ir.graph import Type
from jitad.ir.interpret import interpret
from jitad.plan import Derived, Placement, Plan
from jitad.program import Program

# A signature called so often, with little to do, gets a call without Python between.
_FAST_AFTER = 3


class Call:
    """What is to be computed, and where the batch axes of arguments and results are.

    in_axes, out_axes  for every leaf its axes, outermost level first
    """

    # Of a kernel: how it was made, and where arrays lie; of several a program.
    plan: Plan | None = None
    inputs: Sequence[Placement] = ()
    outputs: Sequence[Placement] = ()
    lanes: tuple[int, ...] = ()
    program: Program | None = None
    # The cards on which it runs, and how many points they get at a time.
    cards: Sequence[Any] = ()
    part = 0
    on_host = True  # whether results are

    def __init__(
        self,
        name: str,
        derived: Derived,
        spec: tree.PyTreeSpec,
        in_axes: Sequence[Sequence[int | None]],
        out_axes: Sequence[Sequence[int]],
        extents: tuple[int, ...],
    ) -> None:
        self.name, self.derived, self.spec = name, derived, spec
        self.in_axes, self.out_axes, self.extents = in_axes, out_axes, extents
        types = derived.graph.output_types
        self.results: list[tuple[tuple[int, ...], Type]] = [
            (arrays.result_shape(t.shape, extents, a), t)
            for t, a in zip(types, out_axes, strict=True)
        ]
        self._count = 0

    def repeated(self) -> bool:
        """True once: when the call has been made so often that a fast one pays."""
        self._count += 1
        return self._count == _FAST_AFTER

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A function that makes this call without Python, where there can be one."""
        del args, kwargs
        return None

    def planned(self) -> Call:
        """The call with all that is known of its kernels, which `explain` reads."""
        return self

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """The results for arguments of the same types, shapes and strides."""
        raise AssertionError("every back end has its own")

    def _targets(self, out: Any) -> list[np.ndarray]:
        return arrays.targets(out, self.derived.result, self.results, self.name)


class Empty(Call):
    """Results that have no elements: nothing is compiled, and nothing runs."""

    def __init__(self, views: Sequence[np.ndarray], *what: Any) -> None:
        """As `Compiled`."""
        super().__init__(*what)
        self._given = views, *what

    @property
    def whole(self) -> bool:
        """Whether that is so of all results, and there are some."""
        return bool(self.results) and all(0 in shape for shape, _ in self.results)

    def planned(self) -> Call:
        """The kernel that there would be."""
        return Compiled(*self._given)

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Make the results, or leave those of out."""
        del leaves
        if out is not None:
            self._targets(out)
            return out
        made = [np.empty(shape, type.dtype) for shape, type in self.results]
        return tree.unflatten(self.derived.result, made)


class Interpreted(Call):
    """The interpreter as a back end: NumPy, node by node."""

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Evaluate the derived graph with NumPy."""
        pairs = zip(leaves, self.in_axes, strict=True)
        views = [arrays.batch_first(arrays.usable(x), a) for x, a in pairs]
        values = interpret(self.derived.graph, views, len(self.extents))
        made = []
        for value, axes, (_, type) in zip(
            values, self.out_axes, self.results, strict=True
        ):
            whole = np.broadcast_to(value, (*self.extents, *type.shape))
            made.append(arrays.batch_back(whole, axes))
        if out is None:
            found = [np.array(x) if x.shape else x[()] for x in made]
            return tree.unflatten(self.derived.result, found)
        for target, value in zip(self._targets(out), made, strict=True):
            target[...] = value
        return out


class Compiled(Call):
    """A kernel, and everything about a launch that does not change between calls."""

    def __init__(self, views: Sequence[np.ndarray], *what: Any) -> None:
        """views: the first call's arguments, batch levels in front."""
        super().__init__(*what)
        self.graph, self.constants = plan.lifted(self.derived.graph)
        views = [*views, *(arrays.batch_first(c, [None] * len(self.extents))
                           for c in self.constants)]  # fmt: skip
        self.order = plan.lane_order(self.extents)
        self.lanes = tuple([self.extents[k] for k in self.order]) or (1,)
        self.inputs = [plan.place(v, self.extents, self.order) for v in views]
        self._plans: dict[Any, tuple[Plan, list[Placement]]] = {}
        self.plan, self.outputs = self._planned(self._new())

    def _new(self) -> list[np.ndarray]:
        return [fresh.empty(shape, type.dtype) for shape, type in self.results]

    def _planned(self, outputs: Sequence[np.ndarray]) -> tuple[Plan, list[Placement]]:
        """The plan for outputs of these strides, and where they lie."""
        phases = [address(o) % cpu.LINE for o in outputs]
        key = (*phases, *[o.strides for o in outputs])
        found = self._plans.get(key)
        if found is None:
            pairs = zip(outputs, self.out_axes, strict=True)
            placed = [
                plan.place_output(arrays.batch_first(o, a), self.extents, self.order)
                for o, a in pairs
            ]
            placed = plan.past_cache(self.graph, placed, outputs, phases)
            derived = replace(self.derived, graph=self.graph)
            made = plan.make(derived, self.order, self.inputs, placed)
            found = self._plans[key] = made, placed
        return found

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A built-in function for this signature: little work, plain arguments."""
        plain = tree.flatten(((0,) * len(args), {}))[1] == self.spec
        assert self.plan is not None
        whole = len(self.plan.buffers) == len(self.inputs) + len(self.outputs)
        if kwargs or not plain or not whole or not self.results or 0 in self.extents:
            return None
        if self.constants:
            return None
        lines = any(p.layout == "lines" for p in self.outputs)
        if self.derived.may_raise or lines:
            return None
        result = self.derived.result
        structure = tree.unflatten(result, list(range(len(self.results))))
        if not _only_tuples(structure):
            return None
        blank = [p.argument(0) for p in (*self.inputs, *self.outputs)]
        shapes = [(type.dtype, shape) for shape, type in self.results]
        return fast_call(
            self.plan.executable, self.lanes, args, shapes, blank, structure
        )

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Launch the kernel on new arrays, or on those of out."""
        inputs = [arrays.usable(x) for x in leaves]
        if out is None:
            outputs = self._new()
            self._launch(inputs, outputs)
            results = [o if o.shape else o[()] for o in outputs]
            return tree.unflatten(self.derived.result, results)
        outputs = self._targets(out)
        if not arrays.overlap(inputs, outputs):
            self._launch(inputs, outputs)
            return out
        apart = self._new()
        self._launch(inputs, apart)
        for target, value in zip(outputs, apart, strict=True):
            target[...] = value
        return out

    def _launch(
        self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
    ) -> None:
        if 0 in self.extents or not any(o.size for o in outputs):
            return
        chosen, placed = self._planned(outputs)
        placed = (*self.inputs, *placed)
        given = (*inputs, *self.constants, *outputs)
        arguments = [placed[k].argument(address(given[k])) for k in chosen.buffers]
        chosen.executable.launch(self.lanes, arguments)


class Summed(Call):
    """Sums over many points in a call of one point: a program of several kernels."""

    def __init__(self, steps: Program, *what: Any) -> None:
        """steps: made for arguments of these types, shapes and strides."""
        super().__init__(*what)
        self.program = steps

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Run the steps; results are few, and go to out at the end."""
        assert self.program is not None
        made = self.program.run([arrays.usable(x) for x in leaves])
        if out is None:
            results = [fresh.owned(o) if o.shape else o[()] for o in made]
            return tree.unflatten(self.derived.result, results)
        for target, value in zip(self._targets(out), made, strict=True):
            target[...] = value
        return out


def _only_tuples(structure: Any) -> bool:
    """Whether a tree of numbers has no containers but plain tuples."""
    if type(structure) is tuple:
        return all(_only_tuples(part) for part in structure)
    return type(structure) is int

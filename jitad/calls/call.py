"""Calls whose argument types, shapes and strides are known, one class a back end.

A Function makes one for each signature it meets and runs it again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from jitad import tree
from jitad.backends.cpu import executable as cpu
from jitad.backends.cpu import fresh
from jitad.backends.cpu.fastcall import fast_call
from jitad.backends.memory import address, alike
from jitad.ir.interpret import interpret
from jitad.plan.choose import Fitted, Plan, fitted
from jitad.plan.derived import Derived, lifted
from jitad.plan.program import Program

from . import arrays
from .signature import Signature

if TYPE_CHECKING:
    from jitad.elements.steps import Plan as Steps

Told = TypeVar("Told", covariant=True)

# A signature called so often, with little to do, gets a call without Python between.
_FAST_AFTER = 3


class Telling(Protocol[Told]):
    """What tells of a call how it is computed; the call says which it is."""

    def of_graph(self, call: Call) -> Told:
        """Nothing is compiled: the graph is interpreted."""
        ...

    def of_kernel(self, call: Call, made: Fitted) -> Told:
        """One kernel computes it."""
        ...

    def of_program(self, call: Call, steps: Program) -> Told:
        """Several kernels do, some of which sum over points."""
        ...

    def of_passes(self, call: Call, steps: Steps) -> Told:
        """Kernels whose lanes are elements do, one after the other."""
        ...


class Call:
    """A call with a signature."""

    # Of a kernel: what it is and where arrays lie; of several a program.
    fitted: Fitted | None = None
    program: Program | None = None
    # The cards on which it runs, and how many points they get at a time.
    cards: Sequence[Any] = ()
    part = 0
    on_host = True  # whether results are

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self.derived = signature.derived
        self._count, self._repeated = 0, False

    @property
    def plan(self) -> Plan | None:
        """How the kernel was made, where there is one."""
        return self.fitted and self.fitted.plan

    def repeated(self) -> bool:
        """True once: when the call has been made so often that a fast one pays."""
        self._count += 1
        if self._count < _FAST_AFTER or self._repeated or not self.settled:
            return False
        self._repeated = True
        return True

    @property
    def settled(self) -> bool:
        """Whether the code is there that a fast one would run."""
        return True

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A function that makes this call without Python, where there can be one."""
        del args, kwargs
        return None

    def told(self, by: Telling[Told]) -> Told:
        """How it is computed, as `explain` tells it."""
        if self.program is not None:
            return by.of_program(self, self.program)
        if self.fitted is not None:
            return by.of_kernel(self, self.fitted)
        return by.of_graph(self)

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """The results for arguments of the same types, shapes and strides."""
        raise AssertionError("every back end has its own")


class Empty(Call):
    """Results that have no elements: nothing is compiled, and nothing runs."""

    def __init__(self, signature: Signature, views: Sequence[np.ndarray]) -> None:
        """As `Compiled`."""
        super().__init__(signature)
        self._views = views

    @property
    def whole(self) -> bool:
        """Whether that is so of all results, and there are some."""
        results = self.signature.results
        return bool(results) and all(0 in shape for shape, _ in results)

    def told(self, by: Telling[Told]) -> Told:
        """Of the kernel that there would be."""
        return Compiled(self.signature, self._views).told(by)

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Make the results, or leave those of out."""
        del leaves
        if out is not None:
            self.signature.targets(out)
            return out
        made = [np.empty(shape, type.dtype) for shape, type in self.signature.results]
        return self.signature.unflattened(made)


class Interpreted(Call):
    """The interpreter as a back end: NumPy, node by node."""

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Evaluate the derived graph with NumPy."""
        what = self.signature
        views = what.seen([arrays.usable(x) for x in leaves])
        values = interpret(self.derived.graph, views, len(what.extents))
        made = []
        for value, axes, (_, type) in zip(
            values, what.out_axes, what.results, strict=True
        ):
            whole = np.broadcast_to(value, (*what.extents, *type.shape))
            made.append(arrays.batch_back(whole, axes))
        if out is None:
            return what.unflattened([np.array(x) if x.shape else x[()] for x in made])
        for target, value in zip(what.targets(out), made, strict=True):
            target[...] = value
        return out


class Compiled(Call):
    """A kernel, and everything about a launch that does not change between calls."""

    def __init__(self, signature: Signature, views: Sequence[np.ndarray]) -> None:
        """views: the first call's arguments, batch levels in front."""
        super().__init__(signature)
        self._lifted, self.constants = lifted(self.derived)
        constants = map(signature.shared, self.constants)
        self._views = [*map(alike, views), *constants]
        self._fitted: dict[Any, Fitted] = {}
        self.fitted = self._fit(self._new())

    @property
    def settled(self) -> bool:
        """Whether the code is there that a fast one would run."""
        return self.fitted is not None and self.fitted.plan.executable.settled

    def _new(self) -> list[np.ndarray]:
        return [
            fresh.empty(shape, type.dtype) for shape, type in self.signature.results
        ]

    def _fit(self, outputs: Sequence[np.ndarray]) -> Fitted:
        """The kernel for outputs of these strides."""
        key = (*[address(o) % cpu.LINE for o in outputs], *[o.strides for o in outputs])
        found = self._fitted.get(key)
        if found is None:
            what = self.signature
            found = self._fitted[key] = fitted(
                self._lifted, what.extents, self._views, what.seen_results(outputs)
            )
        return found

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A built-in function for this signature: little work, plain arguments."""
        what, made = self.signature, self.fitted
        plain = tree.flatten(((0,) * len(args), {}))[1] == what.spec
        assert made is not None
        placed = (*made.inputs, *made.outputs)
        whole = len(made.plan.buffers) == len(placed)
        if kwargs or not plain or not whole or not what.results or 0 in what.extents:
            return None
        if self.constants:
            return None
        lines = any(p.layout == "lines" for p in made.outputs)
        if self.derived.may_raise or lines:
            return None
        structure = what.unflattened(list(range(len(what.results))))
        if not tree.only_tuples(structure):
            return None
        blank = made.arguments([0] * len(placed))
        shapes = [(type.dtype, shape) for shape, type in what.results]
        return fast_call(
            made.plan.executable, made.extents, args, shapes, blank, structure
        )

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Launch the kernel on new arrays, or on those of out."""
        inputs = [arrays.usable(x) for x in leaves]
        if out is None:
            outputs = self._new()
            self._launch(inputs, outputs)
            return self.signature.unflattened(
                [o if o.shape else o[()] for o in outputs]
            )
        outputs = self.signature.targets(out)
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
        if 0 in self.signature.extents or not any(o.size for o in outputs):
            return
        made = self._fit(outputs)
        given = (*inputs, *self.constants, *outputs)
        arguments = made.arguments([address(x) for x in given])
        made.plan.executable.launch(made.extents, arguments)


class Summed(Call):
    """Sums over many points in a call of one point: a program of several kernels."""

    def __init__(self, signature: Signature, steps: Program) -> None:
        """steps: made for arguments of these types, shapes and strides."""
        super().__init__(signature)
        self.program = steps

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Run the steps; results are few, and go to out at the end."""
        assert self.program is not None
        made = self.program.run([arrays.usable(x) for x in leaves])
        if out is None:
            results = [fresh.owned(o) if o.shape else o[()] for o in made]
            return self.signature.unflattened(results)
        for target, value in zip(self.signature.targets(out), made, strict=True):
            target[...] = value
        return out


class Elements(Call):
    """Large arrays at one point: kernels whose lanes are elements of arrays."""

    def __init__(
        self,
        name: str,
        spec: tree.PyTreeSpec,
        derived: Derived,
        steps: Steps,
        order: Sequence[int],
    ) -> None:
        """derived has only the types of results.

        steps is for the arguments in order.
        """
        axes: list[list[int | None]] = [[] for _ in range(spec.num_leaves)]
        out: list[list[int]] = [[] for _ in steps.types]
        super().__init__(Signature(name, derived, spec, axes, out, ()))
        self.steps, self.order = steps, tuple(order)

    def told(self, by: Telling[Told]) -> Told:
        """Of its steps."""
        return by.of_passes(self, self.steps)

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Run the steps; results go to out at the end."""
        what = self.signature
        made = self.steps.run([arrays.usable(leaves[k]) for k in self.order])
        if out is None:
            results = [o if o.shape else o[()] for o in made]
            return what.unflattened(results)
        for target, value in zip(what.targets(out), made, strict=True):
            target[...] = value
        return out

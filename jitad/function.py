"""The callable that every transformation returns.

A Function knows how to derive the graph of one point from the types of its arguments.
Called with arrays it plans, compiles and launches, once per signature; called with
traced values it becomes part of the trace.  `vmap` only adds a batch level to it.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from jitad import plan, tree
from jitad.backends import cpu
from jitad.backends.fastcall import fast_call
from jitad.errors import InputError, ShapeError
from jitad.ir.graph import DTYPES, Type
from jitad.ir.interpret import inline, interpret
from jitad.ir.trace import Input, current
from jitad.ir.tracer import Tracer, innermost, lift, traced
from jitad.plan import Derived, Plan

Backend = Literal["cpu", "numpy"]
Derive = Callable[[tree.PyTreeSpec, tuple[Input, ...]], Derived]

_REMEMBERED = 512

# What the function that is being derived has called so far.
_called: contextvars.ContextVar[list[tuple[str, Derived]] | None]
_called = contextvars.ContextVar("jitad_called", default=None)
# A signature called so often, with little to do, gets a call without Python between.
_FAST_AFTER = 3


@dataclass(frozen=True, slots=True)
class Level:
    """One vmap: the batch axis of every argument and every result, as prefix trees."""

    in_axes: Any
    out_axes: Any


class Function:
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
        backend: Backend = "cpu",
    ) -> None:
        self.function = function
        self.derive = derive
        self.name = name
        self.levels = levels
        self.backend: Backend = backend
        self.__name__ = name
        self.__doc__ = inspect.getdoc(function)
        self._derived: dict[Any, Derived] = {}
        self._plans: dict[Any, Plan] = {}
        self._calls: dict[Any, Call] = {}
        self._fast: Callable[..., Any] | None = None

    def __repr__(self) -> str:
        return f"<jitad {self.name}>"

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if self._fast is not None and out is None and not kwargs:
            result = self._fast(*args)
            if result is not None:
                return result
        leaves, spec = tree.flatten((args, kwargs))
        key = (spec, *[_leaf_key(x) for x in leaves])
        call = self._calls.get(key)
        if call is None:
            if any(traced(x) for x in leaves):
                return self._inline(spec, leaves)
            call = self._prepare(spec, leaves)
            if call is None:
                return self._inline(spec, leaves)
            if len(self._calls) >= _REMEMBERED:
                self._calls.clear()
            self._calls[key] = call
        elif call.repeated():
            self._fast = call.fast(args, kwargs) or self._fast
        return call.run(leaves, out)

    # -- deriving --------------------------------------------------------------

    def derived(self, spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        """The graph of one point; made once per argument types."""
        key = (spec, inputs)
        found = self._derived.get(key)
        if found is None:
            token = _called.set([])
            try:
                found = self.derive(spec, inputs)
                found = replace(found, inside=tuple(_called.get() or ()))
            finally:
                _called.reset(token)
            if not found.captured:
                self._derived[key] = found
        return found

    def batched(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any]
    ) -> tuple[list[Any], tuple[int, ...]]:
        """Every leaf seen as (batch levels …, point …), and the levels' extents."""
        axes = self.in_axes(spec, leaves)
        views = [batch_first(v, a) for v, a in zip(leaves, axes, strict=True)]
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
                raise ShapeError(
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

    # -- inside a trace --------------------------------------------------------

    def _inline(self, spec: tree.PyTreeSpec, leaves: Sequence[Any]) -> Any:
        trace = innermost(leaves) if traced(list(leaves)) else current()
        assert trace is not None
        running = current()
        if running is not None and running.level > trace.level:
            trace = running
        tracers = [_as_input(trace, x) for x in leaves]
        views, extents = self.batched(spec, tracers)
        levels = len(extents)
        inputs = tuple([Input(Type(v.dtype, v.shape[levels:]), v.weak) for v in views])
        derived = self.derived(spec, inputs)
        outside = _called.get()
        if outside is not None:
            outside.append((self.name, derived))
        operands = [*views, *derived.captured]
        if not levels:
            indices = inline(trace, derived.graph, [lift(trace, v) for v in operands])
            results = [Tracer(trace, i, trace.nodes[i].type) for i in indices]
            return tree.unflatten(derived.result, results)
        for _ in range(levels):
            operands[len(views) :] = [v[None] for v in operands[len(views) :]]
        results = interpret(derived.graph, operands, levels)
        return self.arrange(derived, results, extents)

    def arrange(
        self, derived: Derived, results: Sequence[Any], extents: tuple[int, ...]
    ) -> Any:
        """Results of shape (batch …, point …) with batch axes where out_axes says."""
        axes = self.out_axes(derived)
        types = derived.graph.output_types
        arranged = []
        for value, out, type in zip(results, axes, types, strict=True):
            whole = np.broadcast_to(value, (*extents, *type.shape))
            for level in range(len(extents) - 1, -1, -1):
                whole = np.moveaxis(whole, level, out[level] + level)
            arranged.append(whole)
        return tree.unflatten(derived.result, arranged)

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
                axes[k].append(_axis(axis, dims, self.name))
        return axes

    # -- on arrays -------------------------------------------------------------

    def prepare(self, *args: Any, **kwargs: Any) -> Call:
        """The compiled call for these arguments, without running it."""
        leaves, spec = tree.flatten((args, kwargs))
        call = self._prepare(spec, leaves)
        assert call is not None, "not inside a trace"
        return call

    def point(
        self, spec: tree.PyTreeSpec, leaves: Sequence[Any]
    ) -> tuple[list[Any], tuple[int, ...], tuple[Input, ...]]:
        """As `batched`, arguments checked; and what is known of one point's."""
        arrays = [_as_array(x, k, spec, self.name) for k, x in enumerate(leaves)]
        views, extents = self.batched(spec, arrays)
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
        views, extents, inputs = self.point(spec, leaves)
        derived = self.derived(spec, inputs)
        if derived.captured:
            return None
        if self.backend == "numpy":
            return Interpreted(self, derived, spec)
        return Compiled(self, derived, spec, inputs, views, extents)

    def plan(
        self,
        key: Any,
        derived: Derived,
        order: tuple[int, ...],
        placements: Sequence[plan.Placement],
    ) -> Plan:
        """The plan for placements; made once for all that share layouts."""
        count = len(derived.graph.inputs)
        varying = tuple([p.varying for p in placements[:count]])
        layouts = tuple([p.layout for p in placements])
        full = (key, order, varying, layouts)
        found = self._plans.get(full)
        if found is None:
            found = self._plans[full] = plan.make(derived, order, varying, layouts)
        return found


# -- calls ---------------------------------------------------------------------


class Call:
    """A call whose argument types, shapes and strides are known."""

    plan: Plan | None = None

    def __init__(
        self, function: Function, derived: Derived, spec: tree.PyTreeSpec
    ) -> None:
        self.function, self.derived, self.spec = function, derived, spec
        self._count = 0

    def repeated(self) -> bool:
        """True once, when the call has been made often enough to be worth a fast one."""
        self._count += 1
        return self._count == _FAST_AFTER

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A function that makes this call without Python, where there can be one."""
        del args, kwargs
        return None

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """The results for arguments of the same types, shapes and strides."""
        raise AssertionError("every back end has its own")


class Interpreted(Call):
    """The interpreter as a back end: NumPy, node by node."""

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Evaluate the derived graph with NumPy."""
        function, derived = self.function, self.derived
        arrays = [_usable(x) for x in leaves]
        views, extents = function.batched(self.spec, arrays)
        results = interpret(derived.graph, views, len(extents))
        made = function.arrange(derived, results, extents)
        if out is None:
            return tree.transform(lambda x: np.array(x)[()], made)
        pairs = zip(tree.flatten(out)[0], tree.flatten(made)[0], strict=True)
        for target, value in pairs:
            target[...] = value
        return out


class Compiled(Call):
    """A kernel, and everything about a launch that does not change between calls."""

    def __init__(
        self,
        function: Function,
        derived: Derived,
        spec: tree.PyTreeSpec,
        inputs: tuple[Input, ...],
        views: Sequence[np.ndarray],
        extents: tuple[int, ...],
    ) -> None:
        super().__init__(function, derived, spec)
        self.extents = extents
        self.order = plan.lane_order(extents)
        self.key = (spec, inputs)
        self.types = derived.graph.output_types
        self.axes = function.out_axes(derived)
        self.shapes = [
            _result_shape(t.shape, extents, a)
            for t, a in zip(self.types, self.axes, strict=True)
        ]
        self.inputs_placed = [plan.place(v, extents, self.order) for v in views]
        self.launch_extents = tuple([extents[k] for k in self.order]) or (1,)
        self.empty = 0 in extents
        outputs = [cpu.allocate(s, t.dtype) for s, t in self._results()]
        self.outputs_placed = self._place_outputs(outputs)
        self.plan = function.plan(
            self.key, derived, self.order, [*self.inputs_placed, *self.outputs_placed]
        )

    def fast(self, args: tuple[Any, ...], kwargs: Any) -> Callable[..., Any] | None:
        """A built-in function for this signature: little work, plain arguments."""
        assert self.plan is not None
        plain = tree.flatten(((0,) * len(args), {}))[1] == self.spec
        if kwargs or not plain or not self.types or self.empty:
            return None
        result = self.derived.result
        structure = tree.unflatten(result, list(range(len(self.types))))
        if not _only_tuples(structure):
            return None
        placed = [*self.inputs_placed, *self.outputs_placed]
        blank = [p.argument(0) for p in placed]
        shapes = list(zip([t.dtype for t in self.types], self.shapes, strict=True))
        executable, extents = self.plan.executable, self.launch_extents
        return fast_call(executable, extents, args, shapes, blank, structure)

    def _results(self) -> list[tuple[tuple[int, ...], Type]]:
        return list(zip(self.shapes, self.types, strict=True))

    def _place_outputs(self, outputs: Sequence[np.ndarray]) -> list[plan.Placement]:
        views = [batch_first(o, a) for o, a in zip(outputs, self.axes, strict=True)]
        return [plan.place_output(v, self.extents, self.order) for v in views]

    def run(self, leaves: Sequence[Any], out: Any) -> Any:
        """Launch the kernel."""
        if out is None:
            outputs = [cpu.allocate(s, t.dtype) for s, t in self._results()]
            placed, chosen = self.outputs_placed, self.plan
        else:
            outputs = self._targets(out)
            placed = self._place_outputs(outputs)
            chosen = self.function.plan(
                self.key, self.derived, self.order, [*self.inputs_placed, *placed]
            )
        assert chosen is not None
        arrays = [_usable(x) for x in leaves]
        addresses = [a.__array_interface__["data"][0] for a in arrays]
        shared = out is not None and _overlap(arrays, outputs)
        targets = [np.empty_like(o) for o in outputs] if shared else outputs
        if shared:
            placed = self._place_outputs(targets)
            chosen = self.function.plan(
                self.key, self.derived, self.order, [*self.inputs_placed, *placed]
            )
        if not self.empty:
            arguments = [
                p.argument(a)
                for p, a in zip(self.inputs_placed, addresses, strict=True)
            ]
            arguments += [
                p.argument(t.__array_interface__["data"][0])
                for p, t in zip(placed, targets, strict=True)
            ]
            chosen.executable.launch(self.launch_extents, arguments)
        if shared:
            for o, t in zip(outputs, targets, strict=True):
                o[...] = t
        if out is not None:
            return out
        return tree.unflatten(
            self.derived.result, [o if o.shape else o[()] for o in outputs]
        )

    def _targets(self, out: Any) -> list[np.ndarray]:
        leaves, spec = tree.flatten(out)
        if spec != self.derived.result:
            raise InputError(
                f"{self.function.name}: out has structure {spec}; expected "
                f"{self.derived.result}"
            )
        for k, (leaf, (shape, type)) in enumerate(
            zip(leaves, self._results(), strict=True)
        ):
            expected = f"{type.dtype}[{','.join(map(str, shape))}]"
            if not isinstance(leaf, np.ndarray):
                raise InputError(f"out number {k} is {leaf!r}; expected an {expected}")
            if leaf.shape != shape or leaf.dtype != type.dtype:
                raise InputError(
                    f"{self.function.name}: out number {k} is "
                    f"{Type(leaf.dtype, leaf.shape)}; expected {expected}"
                )
            if not leaf.flags.writeable or not leaf.flags.aligned:
                raise InputError(
                    f"{self.function.name}: out number {k} is read-only or unaligned; "
                    "expected an array that can be written"
                )
        return leaves


# -- arrays --------------------------------------------------------------------


def _only_tuples(structure: Any) -> bool:
    """Whether a tree of numbers has no containers but plain tuples."""
    if type(structure) is tuple:
        return all(_only_tuples(part) for part in structure)
    return type(structure) is int


def _leaf_key(value: Any) -> Any:
    """What of an argument decides how a call is made."""
    if isinstance(value, np.ndarray):
        aligned = value.flags.aligned
        return type(value), value.dtype, value.shape, value.strides, aligned
    return type(value)


def _as_input(trace: Any, value: Any) -> Tracer:
    if isinstance(value, Tracer):
        if value.builder is trace:
            return value
        index = lift(trace, value)
        return Tracer(trace, index, value.type, value.weak)
    index = lift(trace, value)
    weak = type(value) in (float, int)
    return Tracer(trace, index, trace.nodes[index].type, weak)


def _native(array: np.ndarray) -> np.ndarray:
    """An array of a dtype that kernels read: small integers and byte orders change."""
    kind = array.dtype.newbyteorder("=")
    if kind in DTYPES:
        return array.astype(kind)
    return array.astype(np.int64)


def _usable(value: Any) -> np.ndarray:
    """An array whose memory a kernel can read: native, aligned."""
    array = value if type(value) is np.ndarray else np.asarray(value)
    if array.dtype not in DTYPES:
        array = _native(array)
    if not array.flags.aligned:
        array = array.copy()
    return array


def _as_array(value: Any, k: int, spec: tree.PyTreeSpec, name: str) -> np.ndarray:
    """An argument as an array, or an error that names it."""
    plain = isinstance(value, np.ndarray | np.generic | float | int) or hasattr(
        value, "__array__"
    )
    dtype = np.asarray(value).dtype if plain else None
    if isinstance(value, np.ma.MaskedArray | np.matrix) or not plain:
        kind = type(value).__name__
    elif dtype.newbyteorder("=") in DTYPES or (
        dtype.kind in "iu" and dtype != np.uint64
    ):
        return _usable(value)
    else:
        kind = f"{dtype}{list(np.shape(value))}"
    where = tree.argument_names(spec)[k]
    raise InputError(
        f"{name}: argument {where} is a {kind}; expected arrays or numbers of "
        "float64, float32, integers or bool, in nested tuples, lists, dicts or "
        "dataclasses; convert it with np.asarray(x, dtype=float), or fix a "
        "parameter that is not a number with functools.partial"
    )


def _overlap(inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> bool:
    return any(
        np.may_share_memory(o, x)
        for k, o in enumerate(outputs)
        for x in [*inputs, *outputs[:k]]
    )


def _axis(axis: int, dims: int, name: str) -> int:
    if not -dims <= axis < dims:
        raise ShapeError(
            f"{name}: batch axis {axis} for an array with {dims} axes; expected one "
            f"of {-dims} … {dims - 1}, or None"
        )
    return axis % dims


def batch_first(array: Any, axes: Sequence[int | None]) -> Any:
    """A view with the batch levels in front, of length 1 where there is no axis.

    axes[k] is counted among the axes that are left when levels outside k are gone.
    """
    for k, axis in enumerate(axes):
        if axis is None:
            array = array[(slice(None),) * k + (None,)]
        else:
            place = _axis(axis, array.ndim - k, "vmap") + k
            array = np.moveaxis(array, place, k)
    return array


def _result_shape(
    shape: tuple[int, ...], extents: Sequence[int], axes: Sequence[int]
) -> tuple[int, ...]:
    for extent, axis in reversed(list(zip(extents, axes, strict=True))):
        shape = (*shape[:axis], extent, *shape[axis:])
    return shape

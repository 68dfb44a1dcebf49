"""Functions with a derivative rule of the user's own: custom_jvp and custom_vjp.

JAX's conventions.  Either rule serves both modes: the other one is its transpose.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from jitad import tree
from jitad.errors import InputError, TracingError
from jitad.ir.call import Custom, add_call
from jitad.ir.graph import Graph, Type
from jitad.ir.source import source_line
from jitad.ir.trace import Input, Traced, current, trace
from jitad.ir.tracer import Tracer, as_tracer, lift
from jitad.process.travel import known_by_name


class _Ruled:
    """A function and the rule that was given for it."""

    kind: Literal["jvp", "vjp"]

    def __init__(
        self, function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.fixed = tuple(nondiff_argnums)
        self.name = getattr(function, "__name__", type(function).__name__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Travel by name, if that is what a module calls it: see `pickle`."""
        found = known_by_name(self, self.function)
        if found is not None:
            return found[1]
        return super().__reduce_ex__(protocol)

    def __call__(self, *args: Any) -> Any:
        """The value; inside a traced function a call that knows its derivative."""
        running = current()
        if running is None:
            return self.function(*args)
        fixed = {k % len(args): args[k] for k in self.fixed}
        own = [a for k, a in enumerate(args) if k not in fixed]

        def whole(own: Sequence[Any]) -> tuple[Any, ...]:
            left = iter(own)
            return tuple([fixed[k] if k in fixed else next(left)
                          for k in range(len(args))])  # fmt: skip

        leaves, spec = tree.flatten(tuple(own))
        leaves = [x if isinstance(x, Tracer) else as_tracer(running, x) for x in leaves]
        types = [Type(x.dtype, x.shape) for x in leaves]
        value = self._traced(
            lambda *xs: self.function(*whole(tree.unflatten(spec, xs))), types
        )
        custom = Custom(
            self.name,
            value.graph,
            self.kind,
            lambda: self._rule(value, spec, types, whole, tuple(fixed.values())),
            id(self),
        )
        operands = [lift(running, x) for x in leaves]
        parts = add_call(running, custom, operands, running.line())
        made = [Tracer(running, p, running.nodes[p].type) for p in parts]
        return tree.unflatten(value.result, made)

    def _rule(
        self,
        value: Traced,
        spec: tree.PyTreeSpec,
        types: Sequence[Type],
        whole: Callable[[Sequence[Any]], tuple[Any, ...]],
        fixed: tuple[Any, ...],
    ) -> Graph:
        """The rule's graph, for arguments of these types."""
        raise AssertionError("every kind of rule has its own")

    def _traced(self, function: Callable[..., Any], types: Sequence[Type]) -> Traced:
        inputs = [Input(t) for t in types]
        arguments = tuple(range(len(types)))
        made = trace(function, tree.flatten((arguments, {}))[1], inputs)
        if made.captured:
            raise TracingError(
                f"{self.name}: a function with a rule of its own used "
                f"{made.captured[0]} of the function around it ({source_line()}); pass "
                "it as an argument"
            )
        return made

    def _expect(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted:
            raise InputError(
                f"{self.name}: its rule gives {f'{what} {found}'.strip()} "
                f"({source_line()}); "
                f"expected {wanted}"
            )


def _smooth(types: Sequence[Type]) -> list[int]:
    return [k for k, t in enumerate(types) if t.dtype.kind == "f"]


def _spread(spec: tree.PyTreeSpec, types: Sequence[Type], seeds: Sequence[Any]) -> Any:
    """Seeds of the floating-point leaves in their places, zeros in the others."""
    left = iter(seeds)
    return tree.unflatten(
        spec,
        [next(left) if t.dtype.kind == "f" else np.zeros(t.shape, t.dtype)
         for t in types],
    )  # fmt: skip


class CustomJVP(_Ruled):
    """See custom_jvp."""

    kind = "jvp"

    rule: Callable[..., tuple[Any, Any]] | None = None

    def defjvp(self, rule: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
        """rule(primals, tangents) -> (y, ẏ), both tuples over the arguments.

        Arguments of nondiff_argnums come before these two.
        """
        self.rule = rule
        return rule

    def defjvps(self, *rules: Callable[..., Any] | None) -> None:
        """One rule(ẋₖ, y, *x) -> its share of ẏ for every argument; None for zero."""

        def rule(primals: Any, tangents: Any) -> tuple[Any, Any]:
            y = self.function(*primals)
            shares = [
                r(t, y, *primals)
                for r, t in zip(rules, tangents, strict=True)
                if r is not None
            ]
            total = shares[0] if shares else y * 0
            for share in shares[1:]:
                total = total + share
            return y, total

        self.rule = rule

    def _rule(
        self,
        value: Traced,
        spec: tree.PyTreeSpec,
        types: Sequence[Type],
        whole: Callable[[Sequence[Any]], tuple[Any, ...]],
        fixed: tuple[Any, ...],
    ) -> Graph:
        del whole
        given = self.rule
        if given is None:
            raise InputError(
                f"{self.name}: custom_jvp without a rule ({source_line()}); give one "
                f"with @{self.name}.defjvp"
            )
        count = len(types)

        def rule(*flat: Any) -> Any:
            primals = tree.unflatten(spec, flat[:count])
            tangents = _spread(spec, types, flat[count:])
            made = given(*fixed, primals, tangents)
            if not isinstance(made, tuple) or len(made) != 2:
                self._expect("", type(made).__name__, "a pair (y, ẏ)")
            y, y_dot = made
            self._expect("y of structure", tree.flatten(y)[1], value.result)
            self._expect("ẏ of structure", tree.flatten(y_dot)[1], value.result)
            return y_dot

        seeds = [types[k] for k in _smooth(types)]
        made = self._traced(rule, [*types, *seeds])
        kept = _smooth(value.graph.output_types)
        return _fitted(self, made.graph, kept, value.graph.output_types, "ẏ")


class CustomVJP(_Ruled):
    """See custom_vjp."""

    kind = "vjp"

    forward: Callable[..., tuple[Any, Any]] | None = None
    backward: Callable[..., Any] | None = None

    def defvjp(
        self, forward: Callable[..., tuple[Any, Any]], backward: Callable[..., Any]
    ) -> None:
        """forward(*x) -> (y, residuals), backward(residuals, ȳ) -> (x̄ …).

        Arguments of nondiff_argnums come first in backward; None is zero.
        """
        self.forward, self.backward = forward, backward

    def _rule(
        self,
        value: Traced,
        spec: tree.PyTreeSpec,
        types: Sequence[Type],
        whole: Callable[[Sequence[Any]], tuple[Any, ...]],
        fixed: tuple[Any, ...],
    ) -> Graph:
        forward, backward = self.forward, self.backward
        if forward is None or backward is None:
            raise InputError(
                f"{self.name}: custom_vjp without a rule ({source_line()}); give one "
                f"with {self.name}.defvjp(forward, backward)"
            )
        count, out = len(types), value.graph.output_types

        def rule(*flat: Any) -> Any:
            own = tree.unflatten(spec, flat[:count])
            made = forward(*whole(own))
            if not isinstance(made, tuple) or len(made) != 2:
                self._expect("", type(made).__name__, "a pair (y, residuals)")
            y, residuals = made
            self._expect("y of structure", tree.flatten(y)[1], value.result)
            y_bar = _spread(value.result, out, flat[count:])
            x_bar = backward(*fixed, residuals, y_bar)
            if not isinstance(x_bar, tuple) or len(x_bar) != len(own):
                found = type(x_bar).__name__
                self._expect("cotangents", found, f"a tuple of {len(own)}")
            return _completed(self, x_bar, own)

        made = self._traced(rule, [*types, *[out[k] for k in _smooth(out)]])
        return _fitted(self, made.graph, _smooth(types), types, "x̄")


def _completed(ruled: _Ruled, x_bar: tuple[Any, ...], own: Sequence[Any]) -> list[Any]:
    """The cotangents' leaves, zeros for None."""
    made = []
    for bar, x in zip(x_bar, own, strict=True):
        if bar is None:
            bar = tree.transform(lambda leaf: np.zeros(leaf.shape, leaf.dtype), x)
        leaves, found = tree.flatten(bar)
        ruled._expect("a cotangent of structure", found, tree.flatten(x)[1])
        made += leaves
    return made


def _fitted(
    ruled: _Ruled, graph: Graph, kept: Sequence[int], types: Sequence[Type], name: str
) -> Graph:
    """A rule's results for floating-point values only, of the values' types."""
    for k in kept:
        ruled._expect(name, str(graph.output_types[k]), str(types[k]))
    outputs = tuple([graph.outputs[k] for k in kept])
    return Graph(graph.nodes, graph.inputs, outputs)


def custom_jvp(
    function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()
) -> CustomJVP:
    """x -> y, with ẏ by a rule that `defjvp` gives.

        @jitad.custom_jvp
        def f(x): ...
        @f.defjvp
        def _(primals, tangents): ...   # -> (y, ẏ)

    primals and tangents are tuples over the arguments of f, of the same structures and
    shapes; ẏ has those of y.  Reverse mode takes the transpose of the rule, which must
    be linear in the tangents.
    function         traced like any other, for its value
    nondiff_argnums  positions of arguments that the rule gets as they are, before those
    A call inside a trace raises InputError where no rule has been given, or ẏ is not
    like y; TracingError where function uses traced values of the function around it;
    UnsupportedError where a rule that is not linear has to serve the other mode.
    """
    return CustomJVP(function, nondiff_argnums)


def custom_vjp(
    function: Callable[..., Any], nondiff_argnums: Sequence[int] = ()
) -> CustomVJP:
    """x -> y, with x̄ by a rule that `defvjp(forward, backward)` gives.

        @jitad.custom_vjp
        def f(x): ...
        f.defvjp(forward, backward)
        # forward(*x) -> y, kept;  backward(kept, ȳ) -> x̄ of every argument, in a tuple

    x̄ has the structures and shapes of x.  Forward mode takes the transpose of the
    rule, which must be linear in ȳ.
    function         traced like any other, for its value
    nondiff_argnums  positions of arguments that backward gets as they are, before kept
    Raises as custom_jvp does.
    """
    return CustomVJP(function, nondiff_argnums)

"""The public face: every transformation, each a sentence of the verbs below.

The names and conventions are JAX's where JAX has them.  What a transformation returns
is compiled when it is called, once for each signature; `jit` around it adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from jitad.backends.cpu.tiers import Effort
from jitad.calls.function import Function, Given, Level, Made
from jitad.calls.seeds import seeds_like
from jitad.calls.where import Backend, Precision, where
from jitad.ir.graph import Graph
from jitad.ir.primitive import registry
from jitad.ir.trace import Input
from jitad.plan.derived import Derived
from jitad.primitives.scalar.elementwise import stop_gradient as hold
from jitad.process.travel import Product, travels
from jitad.transforms.derivatives import accumulate, remembered
from jitad.transforms.derivatives.differentiate import pushforward
from jitad.transforms.derivatives.pieces import one_sided, smooth

from . import asking, deriving, documentation, tree
from .deriving import Argnums, as_sequence
from .documentation import chosen_names
from .errors import InputError

# Numba functions are read once there are any.
registry.families["numba.core.dispatcher"] = "jitad.reading.door"
registry.families["numba.cuda.dispatcher"] = "jitad.reading.cards"

Mode = Literal["auto", "forward", "reverse", "cross"]


@travels
def jit(
    f: Callable[Given, Made],
    *,
    backend: Backend | None = None,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    precision: Precision | None = None,
    cache: bool | None = None,
    compile: Effort | None = None,
) -> Function[Given, Made]:
    """(x -> y)  ->  (x -> y), compiled; of what is transformed already, elsewhere.

    f is run once for each signature (the nesting, shapes and dtypes of its arguments),
    on stand-ins that note what it computes.  Results have the shapes and dtypes that
    NumPy would give, and are new arrays; arguments are never modified.

    Arrays on a CUDA card (CuPy's, PyTorch's, JAX's, Numba's, or anything else with
    `__cuda_array_interface__` or DLPack) are computed with there, on the stream of
    their library, which makes the results.

    backend    "numpy" runs the interpreter instead, node by node
    device     "cuda" or "cuda:1": NumPy arrays are sent there, a part after the other
               if they are large, and results brought back; "cpu"
    devices    several of them, which share a batch: ["cuda:0", "cuda:1"]
    precision  "mixed": float64 arithmetic is done in float32, but sums over points, and
               what loops only add to, in float64 (`rewrite.precision`); for cards
               that are slow in float64.  A while_loop whose tolerance is below 1e-7
               may not end then
    cache      False: nothing of it is read from, or kept on, the disk; nothing of a
               whole process with JITAD_CACHE=0 in its environment
    compile    how code for the host is made: "full" makes it as fast as it can be;
               "fast" in half of the time, in four fifths where it is long, and it
               takes a third to two thirds longer to run; "auto", the default, makes it
               quickly first, and again once it has run so long that this pays.  All
               give the same bits
    All this holds for what any transform makes of the result, too, unless it is told
    otherwise: jacobian(jit(f, cache=False)) keeps nothing.  In a function that calls
    the result it is a part of that function, of which that one's own options hold.
    Raises InputError for other options, DeviceError where a card cannot be had; a call
    raises TracingError or UnsupportedError, with f's line, for what cannot be traced.
    """
    transformed = f if isinstance(f, Function) else None
    name = transformed.name if transformed else f"jit({_name(f)})"
    place = where(
        name, f, backend=backend, device=device, devices=devices,
        precision=precision, cache=cache, compile=compile,
    )  # fmt: skip
    if transformed:
        return transformed.at(place)

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        traced, graph, seconds = deriving.scalar_trace(f, spec, inputs, plain=True)
        return deriving.derived_of(graph, traced, "value", seconds)

    return Function(
        f, derive, name=name, where=place, returns=f"{_name(f)}, compiled",
        ask=asking.of_value(f),
    )  # fmt: skip


@travels
def jacobian(
    f: Callable[Given, Any],
    argnums: Argnums = 0,
    *,
    mode: Mode = "auto",
    backend: Backend | None = None,
    device: str | None = None,
) -> Function[Given, Any]:
    """(x -> y)  ->  (x -> ∂y/∂x), of shape y.shape + x.shape.

    For nested y and x the result is a tree of y's structure, with trees of x's at its
    leaves (a tuple of them where argnums is a sequence).

    argnums  the argument to differentiate in, by its position, or several of them
    mode     "forward", "reverse" or "cross" (country: elimination in the order that
             costs least at each step); "auto" counts their operations and takes the
             least
    backend, device  as of jit
    Raises InputError where an argument in argnums is not floating-point, and for
    other modes.
    (A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., 2008, chapters 3, 9.)
    """
    name = f"jacobian({_name(f)})"
    _need_mode(name, mode)

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        traced, graph, seconds = deriving.scalar_trace(f, spec, inputs)
        deriving.need_floats(graph, range(len(graph.outputs)), name)
        result = traced.result.compose(inner)
        forced = None if mode == "auto" else mode
        twins = deriving.twins_of_slopes(f, graph, wrt, argnums, (spec, inputs))

        def of(graph: Graph) -> Derived:
            return deriving.accumulated(
                graph, wrt, traced, result, seconds, mode=forced, twins=twins
            )

        return deriving.sided(of, graph)

    place, x = where(name, f, backend=backend, device=device), chosen_names(f, argnums)
    returns = f"∂{_name(f)}/∂{x}, of {_name(f)}'s shape, then {x}'s"
    slopes = as_sequence(argnums)
    ask = asking.of_jacobian(f, argnums, name, mode)
    return Function(
        f, derive, name=name, where=place, returns=returns, slopes=slopes, ask=ask
    )


@travels
def value_and_grad(
    f: Callable[Given, Made],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    backend: Backend | None = None,
    device: str | None = None,
) -> Function[Given, tuple[Made, Any]]:
    """(x -> y)  ->  (x -> (y, ∂y/∂x)) for a scalar y.

    One kernel computes both, and shares their work.
    argnums, has_aux  as of grad; with has_aux the result is ((y, aux), ∂y/∂x)
    backend, device   as of jit
    Raises InputError and ShapeError as grad does.
    """
    name = f"value_and_grad({_name(f)})"

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        traced, graph, seconds = deriving.scalar_trace(f, spec, inputs)
        deriving.need_scalar(traced, graph, has_aux, name)
        result = deriving.paired(traced.result, inner)

        def of(graph: Graph) -> Derived:
            return deriving.accumulated(
                graph, wrt, traced, result, seconds, value=True, of=(0,)
            )

        return deriving.sided(of, graph, range(len(graph.outputs)))

    place, x = where(name, f, backend=backend, device=device), chosen_names(f, argnums)
    returns = f"what {_name(f)} returns, and ∂{_name(f)}/∂{x} in {x}'s structure"
    ask = asking.of_gradient(f, argnums, name, value=True, has_aux=has_aux)
    return Function(f, derive, name=name, where=place, returns=returns, ask=ask)


@travels
def grad(
    f: Callable[Given, Any],
    argnums: Argnums = 0,
    has_aux: bool = False,
    *,
    backend: Backend | None = None,
    device: str | None = None,
) -> Function[Given, Any]:
    """(x -> y)  ->  (x -> ∂y/∂x) for a scalar y, in x's structure.

    ∂y/∂x has x's shape and dtype.
    argnums  the argument to differentiate in, by its position; several give a tuple
    has_aux  whether f returns (y, aux), and the result is (∂y/∂x, aux)
    backend, device  as of jit
    Raises ShapeError where y is not one number (take jacobian), InputError where y or
    an argument in argnums is not floating-point.
    """
    name = f"grad({_name(f)})"

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        traced, graph, seconds = deriving.scalar_trace(f, spec, inputs)
        deriving.need_scalar(traced, graph, has_aux, name)

        def of(graph: Graph) -> Derived:
            return deriving.accumulated(
                graph, wrt, traced, inner, seconds, value=has_aux, of=(0,)
            )

        if not has_aux:
            return deriving.sided(of, graph)
        auxiliary = traced.result.child(1)
        count = len(graph.outputs)
        order = [*range(count, count + len(wrt)), *range(1, count)]
        result = deriving.paired(inner, auxiliary)
        return deriving.sided(
            lambda graph: deriving.selected(of(graph), order, result),
            graph,
            range(len(wrt), len(order)),
        )

    place, x = where(name, f, backend=backend, device=device), chosen_names(f, argnums)
    returns = f"∂{_name(f)}/∂{x}, in {x}'s structure{', and aux' if has_aux else ''}"
    slopes = () if has_aux else as_sequence(argnums)
    ask = asking.of_gradient(f, argnums, name, value=False, has_aux=has_aux)
    return Function(
        f, derive, name=name, where=place, returns=returns, slopes=slopes, ask=ask
    )


@travels
def hessian(
    f: Callable[Given, Any],
    argnums: Argnums = 0,
    *,
    mode: Mode = "auto",
    backend: Backend | None = None,
    device: str | None = None,
) -> Function[Given, Any]:
    """(x -> y)  ->  (x -> ∂²y/∂x²), of shape y.shape + x.shape + x.shape.

    Of every ∂²y/∂x² only one triangle is computed, and it is symmetric to the bit.
    For trees, and several argnums, it nests like jacobian of jacobian.
    argnums, backend, device  as of jacobian
    mode  as of jacobian, for the second differentiation; the first takes its cheapest
    Raises InputError as jacobian does.
    """
    name = f"hessian({_name(f)})"
    _need_mode(name, mode)

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        wrt, inner = deriving.chosen(spec, inputs, argnums, name)
        traced, graph, seconds = deriving.scalar_trace(f, spec, inputs)
        deriving.need_floats(graph, range(len(graph.outputs)), name)
        columns = [graph.input_types[k] for k in wrt]
        twins = accumulate.twins_of(graph.output_types, columns)
        result = traced.result.compose(inner).compose(inner)
        forced = None if mode == "auto" else mode

        def of(graph: Graph) -> Derived:
            first = remembered.jacobian(smooth(graph), wrt).graph
            return deriving.accumulated(
                one_sided(first, wrt), wrt, traced, result, seconds, mode=forced,
                twins=twins,
            )  # fmt: skip

        return deriving.sided(of, graph)

    place, x = where(name, f, backend=backend, device=device), chosen_names(f, argnums)
    returns = f"∂²{_name(f)}/∂{x}², of {_name(f)}'s shape, then {x}'s twice"
    ask = asking.of_hessian(f, argnums, name, mode)
    return Function(f, derive, name=name, where=place, returns=returns, ask=ask)


@travels
def hvp(
    f: Callable[..., Any],
    argnums: Argnums = 0,
    *,
    backend: Backend | None = None,
    device: str | None = None,
) -> Product:
    """(x -> y)  ->  (x, v -> ∂²y/∂x² · v) for a scalar y: hvp(f)(x, v).

    The seed v comes last, after all arguments of f: hvp(f, argnums=1)(a, x, v).  It
    has x's structure and shapes (a tuple of them where argnums is a sequence), or one
    leading axis K for K products by one kernel; so has the product.  It costs a few
    times f: forward mode through the gradient.
    argnums, backend, device  as of grad
    Raises InputError as grad does, ShapeError for seeds of other shapes.
    """
    name = f"hvp({_name(f)})"

    def derive(spec: tree.PyTreeSpec, inputs: tuple[Input, ...]) -> Derived:
        args, kwargs = deriving.numbered(spec)
        given, inner_spec = tree.flatten((args[:-1], kwargs))
        primals = tuple([inputs[k] for k in given])
        wrt, inner = deriving.chosen(inner_spec, primals, argnums, name)
        traced, graph, seconds = deriving.scalar_trace(f, inner_spec, primals)
        deriving.need_scalar(traced, graph, False, name)

        def of(graph: Graph) -> Derived:
            first = remembered.jacobian(smooth(graph), wrt).graph
            pushed = deriving.seeded(
                pushforward(one_sided(first, wrt), wrt), traced, len(given), len(wrt),
                "forward over reverse", seconds,
            )  # fmt: skip
            return deriving.selected(pushed, range(len(wrt), 2 * len(wrt)), inner)

        return deriving.sided(of, graph)

    def value(*args: Any) -> Any:
        return f(*args[:-1])

    place = where(name, f, backend=backend, device=device)
    ask = asking.of_curvature(f, argnums, name)
    function = Function(f, derive, name=name, where=place, value=value, ask=ask)

    def product(*args: Any) -> Any:
        wanted = deriving.as_sequence(argnums)
        if len(args) <= max(wanted, default=0) + 1:
            raise InputError(
                f"{name}: argnums={argnums!r}, but the call has {len(args)} "
                "arguments, the seed among them; expected all arguments of the "
                "function and after them v, as in hvp(f)(x, v)"
            )
        *primals, v = args
        chosen = [primals[i] for i in wanted]
        like = chosen[0] if deriving.is_single(argnums) else tuple(chosen)
        v, count = seeds_like("hvp", like, v)
        if count is None:
            return function(*primals, v)
        axes = (*[None] * len(primals), 0)
        return vmap(function, in_axes=axes)(*primals, v)

    x = chosen_names(f, argnums)
    returns = f"{name}: ∂²{_name(f)}/∂{x}² · v; v comes last, in {x}'s structure"
    made = Product(product, place)
    documentation.with_seed(made, f, name, returns)
    return made


@travels
def vmap(
    f: Callable[Given, Made],
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    backend: Backend | None = None,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    precision: Precision | None = None,
    cache: bool | None = None,
    compile: Effort | None = None,
) -> Function[Given, Made]:
    """f over a batch of points: one kernel, parallel over points.

    in_axes   the batch axis of every argument, or None where all points share it: an
              integer for all, or a tuple over arguments of integers, None and trees
    out_axes  the batch axis of every result, likewise
    backend, device …  as of jit; by default those of f
    f may index what all points share by traced integers, as in cameras[i]: elements are
    read in place, NaN out of range, and gradients of sums are added to them.
    Layouts are honoured: (B, n) rows by default, (n, B) with in_axes=-1.  B may be 0.
    A call takes out=, an array or a tree of them, which results are written to.
    Raises InputError for axes that are not there, or neither integers nor None, and
    ShapeError where batch axes differ in length.
    """
    base = f if isinstance(f, Function) else jit(f)
    name, level = f"vmap({_name(f)})", Level(in_axes, out_axes)
    _need_axes(name, "in_axes", in_axes)
    _need_axes(name, "out_axes", out_axes)
    place = where(
        name, f, backend=backend, device=device, devices=devices,
        precision=precision, cache=cache, compile=compile,
    )  # fmt: skip
    levels = (level, *base.levels)
    return Function(
        base.function, base.derive, name=name, levels=levels, where=place,
        returns=f"for a batch of points {base.returns or base.name}",
    )  # fmt: skip


def stop_gradient(x: Any) -> Any:
    """x, taken as a constant by every derivative.

    x may be a number, an array or a tree of them; what is returned has its structure,
    shapes and dtypes.
    """
    return tree.transform(hold, x)


# -- between the sentences -----------------------------------------------------


_name = documentation.title


def _need_mode(name: str, mode: str) -> None:
    if mode not in ("auto", *accumulate.MODES):
        raise InputError(
            f'{name}: mode is {mode!r}; expected "auto", "forward", "reverse" or '
            '"cross"'
        )


def _need_axes(name: str, what: str, axes: Any) -> None:
    """Raise InputError where a tree has other leaves than integers and None."""
    for axis in tree.prefix_leaves(axes):
        if isinstance(axis, bool) or not isinstance(axis, int | np.integer | None):
            raise InputError(
                f"{name}: {what} has {axis!r}; expected integers, None, or trees of "
                "them: 0 is the first axis"
            )

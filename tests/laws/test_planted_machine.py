"""Wrong machinery, planted: layouts, loops, gates, triangles; laws must see it all.

jitad.check repeats one point in all lanes; these laws use points that differ.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.backends.cpu import executable as cpu
from jitad.ir import interpret as interpreting
from jitad.ir.primitive import registry
from jitad.lowering import schedule as scheduling
from jitad.lowering.statements import Load, Op, Store
from jitad.plan import choose, pipeline, placement
from jitad.transforms.derivatives import accumulate, products
from tests.support.planting import Change, Function, planted, replaced, rule

X = np.array([0.5, 2.0, -1.25])

# -- laws ----------------------------------------------------------------------


def batched(f: Function, *args: Any) -> None:
    """The machine over points that differ, in every layout, against the interpreter."""
    wrt = tuple(range(len(args)))
    points = [np.stack([x * (1 + 0.01 * i) for i in range(9)]) for x in args]
    one = jitad.jacobian(f, wrt, backend="numpy")
    found = [one(*point) for point in zip(*points, strict=True)]
    for axis in (0, -1):
        moved = [np.moveaxis(x, 0, axis) for x in points]
        laid = [np.ascontiguousarray(x) for x in moved], [x[...] for x in moved]
        for given in laid:
            mapped = jitad.vmap(jitad.jacobian(f, wrt), in_axes=axis)
            got = tuple([np.full((9, *j.shape), np.nan) for j in found[0]])
            mapped(*given, out=got)
            for k in wrt:
                want = np.stack([j[k] for j in found])
                np.testing.assert_allclose(got[k], want, rtol=1e-9, atol=1e-12)


def finite(f: Function, *args: Any) -> None:
    """What is not taken has a derivative of zero, in every order."""
    for mode in accumulate.MODES:
        for backend in ("numpy", "cpu"):
            found = jitad.jacobian(f, mode=mode, backend=backend)(*args)
            assert np.all(np.isfinite(found))


def nested(f: Function, *args: Any) -> None:
    """One argument along a loop, the other along the lanes."""
    x, y = args
    xs, ys = (
        np.stack([z * (1 + 0.01 * i) for i in range(n)]) for z, n in ((x, 3), (y, 9))
    )
    got = jitad.vmap(jitad.vmap(f, in_axes=(0, None)), in_axes=(None, 0))(xs, ys)
    want = np.stack([np.stack([f(a, b) for a in xs]) for b in ys])
    np.testing.assert_allclose(got, want, rtol=1e-12)


def hessian(f: Function, *args: Any) -> None:
    """Second derivatives as first ones of the gradient, by every order.

    As any function's, of which no symmetry is known.
    """
    (x,) = args
    gradient = jitad.grad(f)
    want = [
        jitad.jacobian(lambda x: gradient(x), mode=m, backend="numpy")(x)
        for m in accumulate.MODES
    ]
    for got in (jitad.hessian(f)(x), *want[1:]):
        np.testing.assert_allclose(got, want[0], rtol=1e-9)
        np.testing.assert_allclose(got, np.transpose(got), rtol=1e-9)


# -- plants --------------------------------------------------------------------


def mixed(x: Any) -> Any:
    """Sums, products, shared subexpressions and several outputs."""
    s = np.sin(x[0] * x[1]) + x[2]
    return np.stack([s * x[0] - x[1], s * s / x[1], x[2] * np.exp(x[0]) + s])


def forgetting_gates(f: Function) -> Function:
    """Multiplication in which a gate is any factor."""

    def multiply(target: Any, p: int, t: int) -> int:
        p, t, type = products._common(target, p, t)
        return target.apply(registry.primitives["mul"], (p, t), type)

    return multiply


def statements(change: Function) -> Function:
    """A schedule whose statements are changed one by one."""

    def outer(f: Any) -> Any:
        def schedule(*args: Any) -> Any:
            kernel = f(*args)
            body = tuple(change(i, s) for i, s in enumerate(kernel.body))
            return dataclasses.replace(kernel, body=tuple(s for s in body if s))

        return schedule

    return outer


def _store_row(i: int, s: Any) -> Any:
    if isinstance(s, Store) and s.element in (0, 1):
        return dataclasses.replace(s, element=1 - s.element)
    return s


def _load_next(i: int, s: Any) -> Any:
    if isinstance(s, Load) and s.element == 0:
        return dataclasses.replace(s, element=1)
    return s


def _operands(i: int, s: Any) -> Any:
    if isinstance(s, Op) and s.word == "sub":
        return dataclasses.replace(s, operands=s.operands[::-1])
    return s


def _outer(target: Any, condition: int, value: int) -> int:
    gate, type = registry.primitives["gate"], target.nodes[value].type
    return target.apply(gate, (condition, value), type)


def energy(x: Any) -> Any:
    return np.sin(x[0] * x[1]) * x[2] + np.exp(x[0]) * x[1] * x[2]


def beside(x: Any, y: Any) -> Any:
    return np.sin(x) * y[:2] + np.sum(np.exp(y)) * x


A, B = np.array([0.5, 0.75]), np.array([0.25, 1.5, -1.0])
C = np.array([[2.0, 0.5, 1.0], [0.25, 1.5, 3.0]])

MACHINE: dict[str, tuple[Change, Function, Function, Any]] = {
    "where: a product for a gate": (
        rule(
            "select",
            lambda y, c, a, b: [None, np.where(c, 1.0, 0.0), np.where(c, 0.0, 1.0)],
        ),
        finite,
        lambda x: np.where(x > 0, np.sqrt(x), 0.0),
        (np.array([0.5, -1.0]),),
    ),
    "gates are products": (
        replaced(products, "multiply", forgetting_gates),
        finite,
        lambda x: np.where(x > 0, np.sqrt(x), 0.0),
        (np.array([0.5, -1.0]),),
    ),
    "a gate in a gate is open": (
        replaced(
            products, "gated", lambda f: lambda target, c, v: _outer(target, c, v)
        ),
        finite,
        lambda x: 1.0 / np.where(x > 0, np.where(x > 1, np.log(x - 1), 0.0), x),
        (np.array([0.5, 2.5]),),
    ),
    "stores in other rows": (
        replaced(pipeline, "schedule", statements(_store_row)),
        batched,
        mixed,
        (X,),
    ),
    "a load of the next element": (
        replaced(pipeline, "schedule", statements(_load_next)),
        batched,
        mixed,
        (X,),
    ),
    "operands of sub": (
        replaced(pipeline, "schedule", statements(_operands)),
        batched,
        mixed,
        (X,),
    ),
    "the last lane": (
        replaced(
            cpu.Executable,
            "launch",
            lambda f: (
                lambda self, extents, arguments: f(
                    self, (extents[0] - 1, *extents[1:]), arguments
                )
            ),
        ),
        batched,
        mixed,
        (X,),
    ),
    "a lane's stride": (
        replaced(choose, "place", lambda f: lambda *a: _halved(f(*a))),
        batched,
        mixed,
        (X,),
    ),
    "elements in another order": (
        replaced(
            placement,
            "element_offsets",
            lambda f: lambda shape, strides: f(shape[::-1], strides[::-1]),
        ),
        batched,
        lambda a: a[0] * a[1],
        (C,),
    ),
    "streams are rows": (
        replaced(
            placement,
            "classify",
            lambda f: lambda *a: ("rows", 0) if f(*a)[0] == "streams" else f(*a),
        ),
        batched,
        mixed,
        (X,),
    ),
    "a value from outside the loop": (
        replaced(scheduling, "_levels", lambda f: lambda *a: [0 * n for n in f(*a)]),
        nested,
        beside,
        (A, B),
    ),
    "results packed in reverse": (
        replaced(interpreting, "_pack", lambda f: lambda o, n, b: f(o[::-1], n, b)),
        batched,
        mixed,
        (X,),
    ),
    "the other triangle": (
        replaced(
            accumulate,
            "twins_of",
            lambda f: lambda *types: f(*types)[::-1],
        ),
        hessian,
        energy,
        (X,),
    ),
}


def _halved(placement: Any) -> Any:
    strides = (placement.strides[0] // 3, *placement.strides[1:])
    return dataclasses.replace(placement, strides=strides)


@pytest.mark.parametrize("name", MACHINE)
def test_a_bug_in_the_machinery_is_caught(name: str) -> None:
    change, law, f, args = MACHINE[name]
    with planted(lambda p: None):
        law(f, *args)
    with planted(change), pytest.raises(AssertionError):
        law(f, *args)

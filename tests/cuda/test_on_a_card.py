"""What jitad computes on a card is what it computes on the host: all of it.

Every scalar primitive, every case at the edges, and programs of each kind, by their
values and derivatives; on the stand-in of a card, and on one where there is one
(`pytest -m gpu`).  Many functions are joined in a kernel, so that few are compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
import scipy.special as sp

import jitad
from jitad import random, tree
from jitad.ir.bind import bind
from jitad.ir.loop import LOOP
from jitad.ir.primitive import Primitive, registry
from tests.cases import (
    branches,
    contractions,
    edge_cases,
    implicit,
    indexing,
    linalg,
    loop_functions,
    special,
    sums,
    tables,
)
from tests.support.cuda_machines import MACHINES, use
from tests.support.own import OWN
from tests.support.running_error import HARD, ONE, running_error

F8, F4 = np.dtype("f8"), np.dtype("f4")
nan, inf = float("nan"), float("inf")

# Units of the last place that functions of CUDA may be off, in double and in single
# precision: CUDA C++ Programming Guide, appendix "Mathematical Functions", the larger
# number of its editions 12 and 13.
CUDA: dict[str, tuple[int, int]] = {
    "exp": (1, 2), "exp2": (1, 2), "expm1": (1, 1), "log": (1, 1), "log2": (1, 1),
    "log10": (1, 2), "log1p": (1, 1), "sin": (2, 2), "cos": (2, 2), "tan": (2, 4),
    "asin": (2, 4), "acos": (2, 3), "atan": (2, 2), "atan2": (2, 3), "hypot": (2, 3),
    "sinh": (2, 3), "cosh": (2, 2), "tanh": (2, 2), "asinh": (3, 3), "acosh": (3, 4),
    "atanh": (2, 3), "cbrt": (1, 1), "pow": (2, 9), "erf": (2, 2), "erfc": (5, 4),
    "erfinv": (5, 2), "lgamma": (4, 6), "i0": (6, 6), "i1": (6, 6),
}  # fmt: skip
# Where less is promised, and what is asked instead.
LESS = {"gammaln": lambda x: np.where((x > -23.0001) & (x < -2.2637), 1.5, x)}
# And those of the host, as `test_accuracy` has them.
HOST = 4.0
# Of results whose bound says nothing.
BLIND = 32.0


def places(word: str | None, dtype: np.dtype) -> float:
    """How far a word on a card may be from the same on the host."""
    if word in ONE:
        return 1.0  # half of one on either
    if word in ("digamma", "zeta"):  # which are jitad's own on both
        return HARD[word]
    return CUDA[str(word)][dtype == F4] + HOST


@pytest.fixture(params=MACHINES)
def card(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What device="cuda" is."""
    use(request.param, monkeypatch)


@dataclass(frozen=True)
class Part:
    """A function, and its arguments at some points: a leading axis each.

    unknown  the arguments in which it has no derivative
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]
    unknown: Collection[int] = ()

    @property
    def argnums(self) -> tuple[int, ...]:
        """What it is differentiated in."""
        floating = [k for k, x in enumerate(self.arguments) if x.dtype.kind == "f"]
        return tuple([k for k in floating if k not in self.unknown])

    @property
    def loops(self) -> bool:
        """Whether there are loops in it."""
        graph = jitad.vmap(self.function).prepare(*self.arguments).derived.graph
        return any(node.primitive is LOOP for node in graph.nodes)


def floats(results: Any) -> list[Any]:
    """Those results that have derivatives."""
    return [y for y in tree.flatten(results)[0] if y.dtype.kind == "f"]


def with_jacobian(part: Part, *args: Any) -> list[Any]:
    """Its value and Jacobian."""
    value = part.function(*args)
    if not floats(value):
        return [value]
    return [value, jitad.jacobian(part.function, part.argnums)(*args)]


def with_gradients(part: Part, *args: Any) -> list[Any]:
    """Its value, and the gradient of a weighted sum of it: backwards and forwards."""
    f = jitad.jit(part.function)

    def total(*args: Any) -> Any:
        weighted = [
            np.sum(np.arange(1, y.size + 1, dtype=y.dtype).reshape(y.shape) * y)
            for y in floats(f(*args))
        ]
        return sum(weighted)

    value = f(*args)
    modes = ("reverse", "forward") if floats(value) and part.argnums else ()
    slopes = [jitad.jacobian(total, part.argnums, mode=m) for m in modes]
    return [value, *(J(*args) for J in slopes)]


Derived = Callable[..., list[Any]]


def joined(parts: Sequence[Part], derived: Derived) -> Callable[..., Any]:
    """All arguments -> what is derived of every part."""
    return lambda given: [derived(p, *a) for p, a in zip(parts, given, strict=True)]


def on_both(
    parts: Sequence[Part], derived: Derived
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, result on the card and result on the host, of all that parts compute."""
    function, given = joined(parts, derived), [p.arguments for p in parts]
    found = jitad.vmap(function, device="cuda")(given)
    wanted = jitad.vmap(function)(given)
    for part, a, b in zip(parts, found, wanted, strict=True):
        leaves, spec = tree.flatten(b)
        others, same = tree.flatten(a)
        assert same == spec
        for got, want in zip(others, leaves, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            yield part.name, got, want


def agree(parts: Sequence[Part], rtol: float) -> None:
    """Equal to rtol of the largest number of each array; whole numbers exactly."""
    wrong = []
    for name, got, want in on_both(parts, with_gradients):
        finite = np.abs(want[np.isfinite(want)])
        atol = rtol * float(finite.max(initial=0)) if want.dtype.kind == "f" else 0
        if not np.allclose(got, want, rtol=0, atol=atol, equal_nan=True):
            wrong.append(f"{name}: {got} and not {want}")
    assert not wrong, "\n".join(wrong)


def agree_in_places(parts: Sequence[Part]) -> None:
    """As close as rounding in `places` lets them be; NaN and infinities are equal.

    Where a bound says nothing, as beside a pole or an overflow, to `BLIND` places.
    """
    function, given = joined(parts, with_jacobian), [p.arguments for p in parts]
    graph = jitad.vmap(function).prepare(given).derived.graph
    _, bounds = running_error(graph, tree.flatten(given)[0], 1, places=places)
    wrong = []
    pairs = zip(on_both(parts, with_jacobian), bounds, strict=True)
    for (name, got, want), bound in pairs:
        with np.errstate(all="ignore"):
            error = np.abs(np.subtract(got, want, dtype=float))
            blind = BLIND * np.spacing(np.abs(want)) if want.dtype.kind == "f" else 0
            right = (got == want) | (np.isnan(got) & np.isnan(want))
            right |= error <= np.where(np.isfinite(bound), bound, blind)
        if not right.all():
            k = np.unravel_index(np.argmin(right), want.shape)
            wrong.append(f"{name} at {k}: {got[k]} and not {want[k]}")
    assert not wrong, "\n".join(wrong)


# -- scalar primitives -----------------------------------------------------------

EDGES = (0.0, -0.0, 0.3, -0.7, 1.0, -1.0, 1.5, 7.0, -30.0, 80.0, 1e10, inf, -inf, nan)
# Whole numbers and conditions, which have words of their own in `test_cuda_text`.
SCALARS = [
    p for p in map(registry.primitives.get, OWN) if p and p.kind == "elementwise"
    and p.points
]  # fmt: skip


def points(arity: int, dtype: np.dtype) -> list[np.ndarray]:
    """Every pair (or triple) of numbers at the edges, and what primitives declare."""
    info = np.finfo(dtype)
    small = (float(info.tiny), -float(info.smallest_subnormal))
    edges = EDGES[::3] if arity > 2 else (*EDGES, *small, float(info.max))
    rows = list(product(edges, repeat=arity))
    rows += [x for p in SCALARS for x in p.points if len(x) == arity]
    with np.errstate(over="ignore"):
        return list(np.array(rows).astype(dtype).T)


def primitives() -> dict[str, list[Any]]:
    """Primitives in groups, by the number of their operands."""
    found: dict[str, list[Any]] = {}
    for arity in (1, 2, 3):
        same = [p for p in SCALARS if len(p.points[0]) == arity]
        for group in (same[k : k + 12] for k in range(0, len(same), 12)):
            found[f"{group[0]} to {group[-1]}"] = group
    return found


PRIMITIVES = primitives()


def applied(primitive: Primitive) -> Callable[..., Any]:
    """It as a function of traced numbers."""
    made = np.asarray(primitive.evaluate(*primitive.points[0])).dtype.kind

    def function(*xs: Any) -> Any:
        dtype = xs[0].dtype if made == "f" else np.dtype(bool)
        return bind(primitive, xs, [None] * len(xs), dtype)

    return function


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
@pytest.mark.parametrize("group", PRIMITIVES)
def test_scalar_primitives(group: str, dtype: np.dtype, card: None) -> None:
    members = PRIMITIVES[group]
    columns = points(len(members[0].points[0]), dtype)
    given = {p: [LESS.get(p.name, np.asarray)(x) for x in columns] for p in members}
    agree_in_places(
        [Part(p.name, applied(p), tuple(given[p]), p.unknown) for p in members]
    )


# -- the edges ---------------------------------------------------------------------


def at_the_edge(case: edge_cases.Case, dtype: np.dtype) -> Part:
    """A case in the middle of a batch of ordinary points."""

    def ordinary(x: np.ndarray) -> np.ndarray:
        return (0.5 + 0.1 * np.arange(x.size)).reshape(x.shape).astype(dtype)

    with np.errstate(over="ignore"):
        edges = [np.asarray(a, dtype) for a in case.arguments]
    every = [np.stack([ordinary(x), x] * 2) for x in edges]
    return Part(case.name, case.function, tuple(every))


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
@pytest.mark.parametrize("start", range(0, len(edge_cases.CASES), 48))
def test_edges(start: int, dtype: np.dtype, card: None) -> None:
    cases = edge_cases.CASES[start : start + 48]
    parts = [at_the_edge(case, dtype) for case in cases]
    agree_in_places([p for p in parts if not p.loops])


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_edges_in_loops(dtype: np.dtype, card: None) -> None:
    parts = [at_the_edge(case, dtype) for case in edge_cases.CASES]
    agree([p for p in parts if p.loops], 64 * float(np.finfo(dtype).eps))


# -- programs ----------------------------------------------------------------------

POINTS = 9


def around(*args: Any) -> tuple[np.ndarray, ...]:
    """Some points: floats times as many factors, the same whole numbers."""
    factors = np.linspace(0.8, 1.25, POINTS)

    def several(x: np.ndarray) -> np.ndarray:
        if x.dtype.kind != "f":
            return np.stack([x] * POINTS)
        return np.multiply.outer(factors, x).astype(x.dtype)

    return tuple([several(np.asarray(x)) for x in args])


def at(*columns: Any) -> tuple[np.ndarray, ...]:
    """As many points, of these arrays along their first axes."""
    return tuple([np.resize(x, (POINTS, *np.shape(x)[1:])) for x in columns])


def some(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Random arrays away from zero."""
    rng = np.random.default_rng(len(shapes))
    return [rng.uniform(0.5, 2.0, shape) for shape in shapes]


def branching() -> list[Part]:
    found = []
    for case in branches.CASES:
        x = np.array([p for p in case.points if not np.isnan(p)])
        both = case.function, jitad.grad(case.function)
        found += [Part(case.function.__name__, f, at(x)) for f in both]
    return found


def looping() -> list[Part]:
    loops, X = loop_functions.LOOPS, loop_functions.X
    return [Part(name, f, around(X)) for name, (f, _) in loops.items()]


def solving() -> list[Part]:
    roots, A = implicit.SQUARE_ROOTS, implicit.A
    found = [Part(name, f, at(A)) for name, f in roots.items()]
    grid = at([0.0, 0.3, 0.9], [-2.0, 0.1, 3.0])
    found += [
        Part(f.__name__, f, grid) for f in (implicit.kepler, implicit.kepler_iterated)
    ]
    found += [
        Part(name, f, at(np.array(where, float)))
        for name, (f, _, where) in implicit.SYSTEMS.items()
    ]
    return [*found, Part("accelerated", implicit.accelerated, around([0.3, -0.2, 0.5]))]  # fmt: skip  # noqa: E501


def algebra() -> list[Part]:
    square = np.roll(some((3, 3))[0] + 2 * np.eye(3), 1, axis=0)
    definite = square @ square.T
    found = [Part(name, f, around(square)) for name, f in linalg.FUNCTIONS.items()]
    symmetric = [np.linalg.cholesky, np.linalg.eigvalsh, np.linalg.eigh]
    return found + [Part(f.__name__, f, around(definite)) for f in symmetric]


def products() -> list[Part]:
    found = {**contractions.PRODUCTS, **contractions.MANY}
    parts = [Part(n, f, around(*some(*s))) for n, (f, *s) in found.items()]
    singles = contractions.SINGLE.items()
    parts += [Part(name, f, around(*some((3, 3)))) for name, f in singles]
    return parts[::5]


def reading() -> list[Part]:
    reads = [Part(n, f, around(*some(*s))) for n, f, s in indexing.READS[::5]]
    return reads + [
        Part(f"traced, {name}", f, around(*some(*shapes), *where))
        for name, f, shapes, where in indexing.TRACED[::3]
    ]


def rearranging() -> list[Part]:
    x = np.array([0.5, 2.0, -1.0, 1.5, 0.25, -3.0])
    functions: dict[str, Callable[..., Any]] = {
        "sort": np.sort,
        "order": lambda x: (np.argsort(x), np.argmax(x), x[np.argmin(x)]),
        "median": np.median,
        "quantile": lambda x: np.quantile(x, [0.2, 0.9]),
        "extremes": lambda x: np.max(x) - np.min(x),
        "sums": lambda x: (np.cumsum(x), np.cumprod(x), np.prod(x), np.mean(x)),
        "scatter": lambda x: (np.var(x), np.std(x), np.linalg.norm(x)),
        "conditions": lambda x: (np.any(x > 1), np.all(x > -9), np.count_nonzero(x)),
        "convolve": lambda x: np.convolve(x, x[:3]),
        "pad": lambda x: np.pad(np.roll(x, 2), 1, mode="reflect"),
        "tril": lambda x: np.tril(np.outer(x[:3], x[3:])),
        "softmax": lambda x: (sp.softmax(x), sp.log_softmax(x), sp.logsumexp(x)),
        **special.SUMS,
    }
    table = np.stack([x[:3], 100 * x[3:]])
    return [
        Part(name, f, around(table if name in special.SUMS else x))
        for name, f in functions.items()
    ]


def drawing() -> list[Part]:
    def sample(key: Any, counter: Any, scale: Any) -> Any:
        return scale * random.normal(key, counter, (3,)), random.uniform(key, counter)

    keys = np.array([random.key(k) for k in range(POINTS)])
    (counters,) = at([0, 1, -1, 2**40, 2**63 - 1])
    return [
        Part("samples", sample, (keys, counters, np.linspace(1, 2, POINTS))),
        Part("bits", lambda k, c: random.bits(k, c, 7), (keys, counters)),
    ]


# Of each kind its parts, and how close numbers are to the largest of their array.
PROGRAMS: dict[str, tuple[Callable[[], list[Part]], float]] = {
    "branches": (branching, 1e-14),
    "loops": (looping, 1e-12),
    "implicit solves": (solving, 1e-12),
    "linear algebra": (algebra, 1e-13),
    "products": (products, 1e-14),
    "indices": (reading, 1e-15),
    "rearrangements": (rearranging, 1e-13),
    "random numbers": (drawing, 1e-14),
}


@pytest.mark.parametrize("kind", PROGRAMS)
def test_programs(kind: str, card: None) -> None:
    make, rtol = PROGRAMS[kind]
    agree(make(), rtol)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear algebra", "rearrangements"])
def test_programs_in_single_precision(kind: str, card: None) -> None:
    make, rtol = PROGRAMS[kind]
    halved = [
        Part(p.name, p.function, tuple([x.astype(F4) for x in p.arguments]))
        for p in make()
    ]
    agree(halved, 5e8 * rtol)  # as much coarser as its numbers are


@pytest.mark.slow
def test_second_derivatives(card: None) -> None:
    def total(f: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: sum(np.sum(y * y) for y in tree.flatten(f(*args))[0])

    parts = [p for p in looping() if p.name in ("reverse scan", "while")]
    parts += [p for p in algebra() if p.name == "inv"]
    gradients = [
        Part(p.name, jitad.grad(total(p.function)), p.arguments) for p in parts
    ]
    agree(gradients, 1e-10)


def test_mixed_precision(card: None) -> None:
    """Arithmetic of float32 inside, results of float64."""

    def f(x: Any) -> Any:
        return np.stack([np.exp(-x[0]) * np.sin(x[1]), x[0] / x[2] + np.sqrt(x[1])])

    (x,) = around(np.array([0.5, 2.0, 1.5]))
    J = jitad.vmap(jitad.jacobian(f))
    found = jitad.jit(J, precision="mixed", device="cuda")(x)
    assert found.dtype == F8
    close(found, jitad.jit(J, precision="mixed")(x), 1e-6)


# -- sums over points, and arrays as a whole ---------------------------------------


def close(found: Any, wanted: Any, rtol: float) -> None:
    leaves, spec = tree.flatten(wanted)
    others, same = tree.flatten(found)
    assert same == spec
    for got, want in zip(others, leaves, strict=True):
        scale = float(np.max(np.abs(want), initial=0))
        assert np.isfinite(scale)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * scale)


def test_sums_over_points(card: None) -> None:
    p, x, y = sums.data(700)
    w = np.abs(x[:, 0])

    def every(x: Any, y: Any, w: Any) -> Any:
        r = sums.residuals(x, y)
        return [f(r, w) for f in list(sums.SUMS.values())[::3]]

    close(jitad.jit(every, device="cuda")(x, y, w), jitad.jit(every)(x, y, w), 1e-12)
    for derived in (jitad.value_and_grad, jitad.hessian):
        wanted = derived(sums.loss)(p, x, y)
        found = derived(sums.loss, device="cuda")(p, x, y)
        close(found, wanted, 1e-12)
        again = derived(sums.loss, device="cuda")(p, x, y)
        bits = [[a.tobytes() for a in tree.flatten(v)[0]] for v in (found, again)]
        assert bits[0] == bits[1]


@pytest.mark.parametrize("dtype", [F8, F4], ids=str)
def test_gauss_newton(dtype: np.dtype, card: None) -> None:
    def residual(p: Any, x: Any, y: Any) -> Any:
        return np.stack([p[0] * np.exp(-p[1] * x) - y, p[2] * x * x])

    rng = np.random.default_rng(0)
    sizes = (3, 600, 600, 600)
    p, x, y, w = (rng.random(n).astype(dtype) for n in sizes)
    wanted = jitad.gauss_newton(residual)(p, x, y, weights=w)
    found = jitad.gauss_newton(residual, device="cuda")(p, x, y, weights=w)
    close(found, wanted, 100 * float(np.finfo(dtype).eps))


def test_tables_are_read_and_added_to(card: None) -> None:
    """By indices of each point; rows of a parameter of all points."""
    rng = np.random.default_rng(2)
    table, i, j = rng.random((40, 3)), *rng.integers(0, 40, (2, 300))
    for name in ("two rows", "take wrap", "several", "computed"):
        over = jitad.vmap(tables.READS[name], (None, 0, 0))
        wanted = over(table, i, j)
        close(jitad.jit(over, device="cuda")(table, i, j), wanted, 1e-14)


def test_a_single_point(card: None) -> None:
    x = np.linspace(0.1, 2.0, 20)

    def diffusion(x: Any) -> Any:
        for _ in range(3):
            y = x.copy()
            y[1:-1] += 0.1 * (x[2:] - 2 * x[1:-1] + x[:-2]) * np.sin(x[1:-1])
            x = y
        return np.sum(x * x)

    wanted = jitad.value_and_grad(diffusion)(x)
    close(jitad.value_and_grad(diffusion, device="cuda")(x), wanted, 1e-12)

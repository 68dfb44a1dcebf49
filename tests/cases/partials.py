"""The partials of every scalar primitive in mpmath, and points to hold them at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import mpmath
import numpy as np

from jitad.ir.bind import bind
from jitad.ir.primitive import Primitive, registry

MP = mpmath.mp.clone()
# Enough for 1 + 1e-300 and 1e300 - 1; of float32 for 1 + 1e-38 and the like.
MP.prec = 2200
_PRECISION = {"d": MP.prec, "f": 500}
LN2, PI = MP.log(2), +MP.pi
exp, log, sqrt, sin, cos = MP.exp, MP.log, MP.sqrt, MP.sin, MP.cos


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + exp(-x)) if x > -2000 else MP.mpf(0)


def _bell(x: Any) -> Any:
    return _sigmoid(x) * _sigmoid(-x)


def _gauss(x: Any) -> Any:
    return exp(-x * x) if abs(x) < 1000 else MP.mpf(0)


def _cosh(x: Any) -> Any:
    return MP.cosh(x) if abs(x) < 2000 else MP.inf


def _sinc(x: Any) -> list[Any]:
    return [(cos(PI * x) - sin(PI * x) / (PI * x)) / x if x else MP.mpf(0)]


def _exprel(x: Any) -> list[Any]:
    if abs(x) > 2000:
        return [MP.inf if x > 0 else 1 / (x * x)]
    if abs(x) < 1:
        return [MP.fsum((k + 1) * x**k / MP.factorial(k + 2) for k in range(60))]
    return [(exp(x) * (x - 1) + 1) / (x * x)]


def _bessel(order: int, x: Any) -> Any:
    if abs(x) >= 2000:
        return MP.sign(x) ** order * MP.inf
    # Near 0 differences of small numbers are asked for; there the series is short.
    with MP.workprec(400 if abs(x) > 1e-3 else MP.prec):
        return MP.besseli(order, x)


def _ties(xs: Sequence[Any], best: Any) -> list[Any]:
    return [MP.mpf(x == best) / sum(z == best for z in xs) for x in xs]


def _softmax(*xs: Any) -> list[Any]:
    return [1 / MP.fsum(_odds(z - x) for z in xs) for x in xs]


def _odds(gap: Any) -> Any:
    return exp(gap) if abs(gap) < 5000 else (MP.inf if gap > 0 else MP.mpf(0))


def _trunc(x: Any) -> Any:
    return MP.sign(x) * MP.floor(abs(x))


def _slope(p: float) -> Callable[..., Any]:
    return lambda x: [p * MP.power(x, p - 1)]


def _hypot(*xs: Any) -> list[Any]:
    radius = sqrt(MP.fsum(x * x for x in xs))
    return [x / radius if radius else MP.mpf(0) for x in xs]


PARTIALS: dict[str, Callable[..., Sequence[Any]]] = {
    "add": lambda a, b: [1, 1],
    "sub": lambda a, b: [1, -1],
    "mul": lambda a, b: [b, a],
    "div": lambda a, b: [1 / b, -a / b**2],
    "neg": lambda x: [-1],
    "cast": lambda x: [1],
    "fma": lambda a, b, c: [b, a, 1],
    "gap": lambda a, b: [1, -1],
    "abs": lambda x: [MP.sign(x)],
    "sqrt": lambda x: [1 / (2 * sqrt(x))],
    "cbrt": lambda x: [MP.power(abs(x), -MP.mpf(2) / 3) / 3],
    "pow": lambda x, p: [p * MP.power(x, p - 1), MP.power(x, p) * log(x)],
    "exp": lambda x: [exp(x)],
    "exp2": lambda x: [MP.power(2, x) * LN2],
    "expm1": lambda x: [exp(x)],
    "log": lambda x: [1 / x],
    "log2": lambda x: [1 / (x * LN2)],
    "log10": lambda x: [1 / (x * log(10))],
    "log1p": lambda x: [1 / (1 + x)],
    "sin": lambda x: [cos(x)],
    "cos": lambda x: [-sin(x)],
    "tan": lambda x: [1 / cos(x) ** 2],
    "arcsin": lambda x: [1 / sqrt(1 - x * x)],
    "arccos": lambda x: [-1 / sqrt(1 - x * x)],
    "arctan": lambda x: [1 / (1 + x * x)],
    "arctan2": lambda y, x: [x / (x * x + y * y), -y / (x * x + y * y)],
    "hypot": _hypot,
    "norm_of": _hypot,
    "sinh": lambda x: [_cosh(x)],
    "cosh": lambda x: [MP.sinh(x)],
    "tanh": lambda x: [4 * _bell(2 * x)],
    "arcsinh": lambda x: [1 / sqrt(1 + x * x)],
    "arccosh": lambda x: [1 / sqrt(x * x - 1)],
    "arctanh": lambda x: [1 / (1 - x * x)],
    "sinc": _sinc,
    "bell": lambda x: [-_bell(x) * MP.tanh(x / 2)],
    "gauss": lambda x: [-2 * x * _gauss(x)],
    "gauss_half": lambda x: [-x * _gauss(x / sqrt(2))],
    "maximum": lambda *xs: _ties(xs, max(xs)),
    "minimum": lambda *xs: _ties(xs, min(xs)),
    "fmax": lambda *xs: _ties(xs, max(xs)),
    "fmin": lambda *xs: _ties(xs, min(xs)),
    "max_of": lambda *xs: _ties(xs, max(xs)),
    "min_of": lambda *xs: _ties(xs, min(xs)),
    "mod": lambda a, b: [1, -MP.floor(a / b)],
    "fmod": lambda a, b: [1, -_trunc(a / b)],
    "copysign": lambda a, b: [MP.sign(a) * (1 if b >= 0 else -1), 0],
    "nextafter": lambda a, b: [1, 0],
    "heaviside": lambda x, h: [0, MP.mpf(x == 0)],
    "logaddexp": _softmax,
    "logsumexp_of": _softmax,
    "logaddexp2": lambda a, b: _softmax(a * LN2, b * LN2),
    "erf": lambda x: [2 / sqrt(PI) * _gauss(x)],
    "erfc": lambda x: [-2 / sqrt(PI) * _gauss(x)],
    "erfinv": lambda x: [sqrt(PI) / 2 / _gauss(_erfinv(x))],
    "exprel": _exprel,
    "i0": lambda x: [_bessel(1, x)],
    "i1": lambda x: [_bessel(0, x) - _bessel(1, x) / x if x else MP.mpf(1) / 2],
    "ndtr": lambda x: [_gauss(x / sqrt(2)) / sqrt(2 * PI)],
    "gammaln": lambda x: [_brief(MP.digamma, x)],
    "digamma": lambda x: [_brief(MP.psi, 1, x)],
    "zeta": lambda s, x: [0, -s * _brief(MP.zeta, s + 1, x)],
    "expit": lambda x: [_bell(x)],
    "log_expit": lambda x: [_sigmoid(-x)],
    "logit": lambda x: [1 / (x * (1 - x))],
    "xlogy": lambda x, y: [log(y), x / y],
    "xlog1py": lambda x, y: [log(1 + y), x / (1 + y)],
    "entr": lambda x: [-log(x) - 1],
    "log_ratio": lambda x, y: [1 / x, -1 / y],
    "rel_entr": lambda x, y: [log(x) - log(y) + 1, -x / y],
    "kl_div": lambda x, y: [log(x) - log(y), (y - x) / y],
} | {f"pow{p:g}": _slope(p) for p in (3, 4, 5, 6, 1.5, 2.5, -0.5, -1.5, -2, -3, -4)}
INSIDE = {
    "sqrt": lambda x: x > 0,
    "log": lambda x: x > 0,
    "log2": lambda x: x > 0,
    "log10": lambda x: x > 0,
    "log1p": lambda x: x > -1,
    "arcsin": lambda x: abs(x) < 1,
    "arccos": lambda x: abs(x) < 1,
    "arctanh": lambda x: abs(x) < 1,
    "erfinv": lambda x: abs(x) < 1,
    "logit": lambda x: 0 < x < 1,
    "arccosh": lambda x: x > 1,
    "xlogy": lambda x, y: y > 0,
    "xlog1py": lambda x, y: y > -1,
    "kl_div": lambda x, y: x > 0 and y > 0,
    "log_ratio": lambda x, y: x > 0 and y > 0,
    "pow": lambda x, p: x > 0 and abs(p) < 1e3,
    "pow1.5": lambda x: x > 0,
    "pow2.5": lambda x: x > 0,
    "pow-0.5": lambda x: x > 0,
    "pow-1.5": lambda x: x > 0,
    # NumPy's norm squares its numbers, and so does its derivative.
    "norm_of": lambda *xs: all(1e-15 < abs(x) < 1e15 for x in xs),
    # Where a partial passes through zero, no relative accuracy can be asked for.
    # SciPy's values are infinite beyond.
    "i0": lambda x: abs(x) < 709,
    "i1": lambda x: abs(x) < 709,
    "sinc": lambda x: abs(x) < 0.7 or abs(_sinc(x)[0] * x) > 0.5,
    "entr": lambda x: x > 0 and abs(log(x) + 1) > 0.6,
    "rel_entr": lambda x, y: x > 0 and y > 0 and abs(log(x / y) + 1) > 0.6,
    # SciPy's own accuracy is that of its digamma and zeta.
    "gammaln": lambda x: x > 2 or 0 < x < 1,
    "digamma": lambda x: x > 0,
    "zeta": lambda s, x: s in (2, 3, 4) and x > 0,
}


def _brief(function: Callable[..., Any], *args: Any) -> Any:
    """A function of the gamma family in fewer bits, for the time it takes."""
    with MP.workprec(120):
        return function(*args)


def _erfinv(x: Any) -> Any:
    with MP.workprec(200):
        return MP.erfinv(x)


SLOW = {"zeta", "erfinv", "gammaln", "digamma"}


def _numbers(dtype: np.dtype, count: int) -> np.ndarray:
    """Numbers of all sizes, with more where functions change."""
    rng = np.random.default_rng(5)
    last = np.log10(float(np.finfo(dtype).max)) - 1
    sizes = 10.0 ** rng.uniform(-last, last, count)
    return np.concatenate(
        [
            sizes * rng.choice([-1, 1], count),
            rng.normal(size=count) * 3,
            rng.uniform(-1, 1, count),
            rng.uniform(-60, 60, count),
            [4.0247958e8, 0.5, 1.0, -1.0, 2.0, 80.0, -80.0, 1 - 1e-6, 1 + 1e-6, 1e-8],
        ]
    ).astype(dtype)


def _points(primitive: Primitive, dtype: np.dtype, count: int) -> Iterator[Any]:
    arity = len(primitive.points[0])
    with np.errstate(over="ignore"):
        yield from (dtype.type(p) for p in primitive.points if len(p) == arity)
    pool, rng = _numbers(dtype, count), np.random.default_rng(6)
    for index in range(arity):
        columns = [pool[rng.permutation(len(pool))] for _ in range(arity)]
        columns[index] = pool
        yield from np.stack(columns, 1)
    # Operands of like size.
    near = pool[:, None] * (1 + 0.1 * rng.normal(size=(len(pool), arity)))
    yield from near.astype(dtype)


@cache
def references(name: str, dtype: np.dtype) -> tuple[np.ndarray, list[list[Any]]]:
    """Points of a primitive, a row for each operand, and its exact partials there."""
    points, partials = [], []
    with MP.workprec(_PRECISION[dtype.char]):
        for point in _points(
            registry.primitives[name], dtype, 12 if name in SLOW else 40
        ):
            if not np.isfinite(point).all():
                continue
            exact = [MP.mpf(float(x)) for x in point]
            if name in INSIDE and not INSIDE[name](*exact):
                continue
            try:
                found = [MP.mpf(p) for p in PARTIALS[name](*exact)]
            except ZeroDivisionError:
                continue
            points.append(point)
            partials.append(found)
    return np.array(points, dtype).T, partials


def ulps(got: np.ndarray, exact: Sequence[Any], dtype: np.dtype) -> np.ndarray:
    """Errors in units of the last place; 0 where the exact number is out of range."""
    info, errors = np.finfo(dtype), []
    for g, e in zip(got.tolist(), exact, strict=True):
        if e == 0:
            errors.append(0.0 if g == 0 else np.inf)
        elif not float(info.tiny) * 8 <= abs(e) <= float(info.max) / 8:
            errors.append(0.0)
        elif not np.isfinite(g):
            errors.append(np.inf)
        else:
            unit = MP.ldexp(1, MP.frexp(e)[1] - 1 - info.nmant)
            errors.append(float(abs(MP.mpf(g) - e) / unit))
    return np.array(errors)


def applied(name: str) -> Callable[..., Any]:
    """A primitive as a function of traced numbers."""
    primitive = registry.primitives[name]
    return lambda *xs: bind(primitive, xs, [None] * len(xs), xs[0].dtype)

"""NumPy functions on numbers of mpmath, and their second derivatives at a point.

An `Exact` is an array of such numbers, which NumPy's functions are called with.  A
second derivative is a quotient of differences in hundreds of digits: it needs no rule
of differentiation, and so knows of none of jitad's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import mpmath
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

MP = mpmath.mp.clone()
mpf, inf, nan = MP.mpf, MP.inf, MP.nan


class NoLimit(Exception):  # noqa: N818
    """There is no second derivative at the point."""


def _real(f: Callable[..., Any]) -> Callable[..., Any]:
    """The real values of a function, and NaN where it has none."""

    def real(*xs: Any) -> Any:
        try:
            y = f(*xs)
        except ZeroDivisionError:
            return inf
        return nan if isinstance(y, MP.mpc) and y.imag else MP.re(y)

    return real


def _sinc(x: Any) -> Any:
    return MP.sin(MP.pi * x) / (MP.pi * x) if x else mpf(1)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + MP.exp(-x))


def _ndtri(x: Any) -> Any:
    return MP.sqrt(2) * MP.erfinv(2 * x - 1)


def _xlogy(x: Any, y: Any) -> Any:
    return x * MP.log(y) if x else mpf(0)


# By the names of the ufuncs; others do what they do to objects.
UFUNCS: dict[str, Callable[..., Any]] = {
    **{f.__name__: f for f in (
        MP.exp, MP.sqrt, MP.cbrt, MP.sin, MP.cos, MP.tan, MP.sinh, MP.cosh, MP.tanh,
        MP.log, MP.log1p, MP.expm1, MP.hypot, MP.erf, MP.erfc, MP.erfinv)},
    **{f"arc{f.__name__[1:]}": f for f in (
        MP.asin, MP.acos, MP.atan, MP.asinh, MP.acosh, MP.atanh)},
    "arctan2": MP.atan2,
    "fabs": abs,
    "copysign": lambda x, y: abs(x) if y >= 0 else -abs(x),
    "heaviside": lambda x, h: h if x == 0 else mpf(x > 0),
    "exp2": lambda x: mpf(2) ** x,
    "log2": lambda x: MP.log(x) / MP.log(2),
    "log10": lambda x: MP.log(x) / MP.log(10),
    "logaddexp": lambda x, y: MP.log(MP.exp(x) + MP.exp(y)),
    "logaddexp2": lambda x, y: MP.log(mpf(2) ** x + mpf(2) ** y) / MP.log(2),
    "expit": _sigmoid,
    "log_expit": lambda x: MP.log(_sigmoid(x)),
    "logit": lambda x: MP.log(x / (1 - x)),
    "ndtr": MP.ncdf,
    "log_ndtr": lambda x: MP.log(MP.ncdf(x)),
    "ndtri": _ndtri,
    "exprel": lambda x: MP.expm1(x) / x if x else mpf(1),
    "entr": lambda x: -_xlogy(x, x),
    "xlogy": _xlogy,
    "xlog1py": lambda x, y: _xlogy(x, 1 + y),
    "rel_entr": lambda x, y: _xlogy(x, x / y),
    "kl_div": lambda x, y: _xlogy(x, x / y) - x + y,
    "gammaln": MP.loggamma,
    "digamma": MP.digamma,
    "divide": lambda x, y: x / y,
    "power": lambda x, y: x**y,
}  # fmt: skip


def _median(x: Any, axis: Any = None) -> Any:
    ordered = sorted(np.ravel(x))
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def _var(x: Any, axis: Any = None, *, ddof: int = 0) -> Any:
    off = x - np.sum(x) / x.size
    return np.sum(off * off) / (x.size - ddof)


def _norm(x: Any, ord: Any = None, axis: Any = None) -> Any:
    if ord == 1:
        return np.sum(abs(x))
    return _each(MP.sqrt)(np.sum(x * x, axis=axis))


def _interp(x: Any, xp: Any, fp: Any) -> Any:
    x = x.item()
    k = min(max(int(np.searchsorted(xp, float(x), "right")) - 1, 0), len(xp) - 2)
    k -= x < xp[k]
    slope = mpf(fp[k + 1] - fp[k]) / mpf(xp[k + 1] - xp[k])
    return fp[k] + slope * (x - xp[k])


def _eigvalsh(a: Any) -> Any:
    return np.array(list(MP.eigsy(MP.matrix(a.tolist()), eigvals_only=True)), object)


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    np.median: _median,
    np.var: _var,
    np.std: lambda x, axis=None, **given: MP.sqrt(_var(x, **given)),
    np.linalg.norm: _norm,
    np.interp: _interp,
    np.sinc: lambda x: _each(_sinc)(x),
    np.linalg.eigvalsh: _eigvalsh,
    np.linalg.det: lambda a: MP.det(MP.matrix(a.tolist())),
}


def _each(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers, of arrays."""

    def of_arrays(*xs: Any) -> Any:
        return np.frompyfunc(_real(f), len(xs), 1)(*xs)

    return of_arrays


def _plain(x: Any) -> Any:
    """What is inside, with every float taken for the number it is."""
    if isinstance(x, list | tuple):
        return type(x)(map(_plain, x))
    if isinstance(x, dict):
        return {k: _plain(v) for k, v in x.items()}
    return x.array if isinstance(x, Exact) else x


def _exact(x: Any) -> Any:
    numbers = isinstance(x, np.ndarray) and x.dtype == object
    return Exact(x) if numbers or isinstance(x, mpf) else x


class Exact(NDArrayOperatorsMixin):
    """An array of mpmath's numbers."""

    def __init__(self, numbers: Any) -> None:
        self.array = np.empty(np.shape(numbers), object)
        self.array[...] = numbers

    def __array_ufunc__(self, ufunc: Any, method: str, *xs: Any, **given: Any) -> Any:
        numbers = [
            np.frompyfunc(mpf, 1, 1)(x) if ufunc.__name__ in UFUNCS else x
            for x in map(_plain, xs)
        ]
        if ufunc.__name__ in UFUNCS and method == "__call__":
            return Exact(_each(UFUNCS[ufunc.__name__])(*numbers))
        return _exact(getattr(ufunc, method)(*numbers, **given))

    def __array_function__(self, f: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _exact(FUNCTIONS.get(f, f)(*_plain(args), **_plain(kwargs)))

    def __getitem__(self, index: Any) -> Any:
        return _exact(self.array[index])

    def __len__(self) -> int:
        return len(self.array)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.array, name)
        return (lambda *a, **k: _exact(found(*a, **k))) if callable(found) else found


# -- second derivatives ----------------------------------------------------------------


def hessian(
    function: Callable[..., Any],
    arguments: Sequence[Any],
    sides: Any = 0,
    digits: int = 160,
) -> np.ndarray:
    """The second derivatives in all arguments together, as they are in truth.

    sides  0 where the point lies within the domain, and the quotients of all quadrants
           have to agree; 1 or -1, one for each argument, where it is come to from above
           or below
    """
    shapes = [np.shape(a) for a in arguments]
    flat = np.concatenate([np.ravel(a) for a in arguments]).astype(float)
    if np.ndim(sides):
        sides = np.concatenate([
            np.broadcast_to(s, shape).ravel()
            for s, shape in zip(sides, shapes, strict=True)
        ])  # fmt: skip
    sides = np.broadcast_to(sides, flat.shape)
    stops = np.cumsum([0, *(int(np.prod(s)) for s in shapes)])

    def at(x: Sequence[Any]) -> Any:
        parts = [
            Exact(np.array(x[a:b], object).reshape(shape))
            for shape, a, b in zip(shapes, stops, stops[1:], strict=False)
        ]
        return mpf(np.asarray(_plain(function(*parts)), object).item())

    with MP.workdps(digits):
        return _hessian(at, [mpf(x) for x in flat], sides.tolist())


def _hessian(at: Callable[..., Any], x: list[Any], sides: list[int]) -> np.ndarray:
    n = len(x)
    scales = [abs(v) or mpf(1) for v in x]
    found = np.empty((n, n))
    for i in range(n):
        for j in range(i, n):
            steps = [mpf(10) ** -25, mpf(10) ** -35]
            values = [_quotients(at, x, sides, scales, (i, j), h) for h in steps]
            found[i, j] = found[j, i] = _limit(*values)
    return found


def _quotients(
    at: Callable[..., Any], x: list[Any], sides: list[int], scales: list[Any],
    pair: tuple[int, int], step: Any,
) -> list[Any]:  # fmt: skip
    """A quotient for each quadrant; what is only noise is 0."""
    i, j = pair
    if any(sides):
        x = [v + s * step * z for v, s, z in zip(x, sides, scales, strict=True)]
        step = step * mpf(10) ** -20
    quadrants = [(1, 1)] if any(sides) else [*product((1, -1), repeat=2)]
    found = []
    for a, b in quadrants:
        hi, hj = a * step * scales[i], b * step * scales[j]
        values = []
        for u, v in ((1, 1), (1, 0), (0, 1), (0, 0)):
            moved = list(x)
            moved[i] += u * hi
            moved[j] += v * hj
            values.append(at(moved))
        area = hi * hj
        noise = MP.eps * 10**5 * max(map(abs, values)) / abs(area)
        quotient = (values[0] - values[1] - values[2] + values[3]) / area
        found.append(mpf(0) if abs(quotient) <= noise else quotient)
    return found


def _limit(coarse: list[Any], fine: list[Any]) -> float:
    """What quotients of two steps go to, all of them."""
    limits = {_one_limit(a, b) for a, b in zip(coarse, fine, strict=True)}
    best = max(limits, key=abs)
    if any(abs(x - best) > 1e-13 * abs(best) for x in limits if x != best):
        raise NoLimit(f"the quotients go to {sorted(limits)}")
    return best


def _one_limit(coarse: Any, fine: Any) -> float:
    if MP.isnan(fine):
        raise NoLimit("no value there")
    if abs(fine - coarse) <= mpf(10) ** -18 * abs(fine):
        return float(fine)
    if abs(fine) < abs(coarse) / mpf("1.3"):
        return 0.0
    if abs(fine) > abs(coarse) * mpf("1.3"):
        return float(MP.sign(fine) * inf)
    raise NoLimit(f"quotients {MP.nstr(coarse)}, {MP.nstr(fine)}")

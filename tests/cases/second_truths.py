"""Functions whose second derivative exists, at points where rules of thumb lose it.

What it is, `tests.support.exact` says, by mpmath.  `sides` tell from where the end of a
domain is come to, and `digits` with how many digits differences are still seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special as sp


class Truth(NamedTuple):
    """A scalar function at a point where it has a second derivative.

    ulp  of error allowed in finite entries, relative to each
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    sides: Any = 0
    digits: int = 160
    ulp: int = 4


def every(
    functions: dict[str, Callable[..., Any]], *arguments: Any, **given: Any
) -> list[Truth]:
    """Functions at one point."""
    where = ", ".join(str(np.asarray(a).tolist()) for a in arguments)
    values = [np.array(a, float) if isinstance(a, list) else a for a in arguments]
    return [
        Truth(f"{name} at {where}", f, tuple(values), **given)
        for name, f in functions.items()
    ]


def norm(v: Any) -> Any:
    return np.linalg.norm(v)


def relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


def low(x: Any) -> Any:
    return np.minimum(x, 0.0)


def matern7(r: Any) -> Any:
    """Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 4.16."""
    s = math.sqrt(7.0) * r
    return (1.0 + s + 2.0 / 5.0 * s**2 + s**3 / 15.0) * np.exp(-s)


def matern5(r: Any) -> Any:
    s = math.sqrt(5.0) * r
    return (1.0 + s + s**2 / 3.0) * np.exp(-s)


def wendland(r: Any) -> Any:
    """Wendland (1995), φ of smoothness 2 in three dimensions."""
    return (1.0 - r) ** 4 * (4.0 * r + 1.0)


def fair(r: Any) -> Any:
    return r - np.log1p(r)


A = np.array([[1.0, 2.0], [3.0, 4.0]])


def symmetric(a: Any, b: Any, c: Any) -> Any:
    return np.stack([np.stack([1.0 + a, b]), np.stack([b, 1.0 + c])])


KINDS = [
    # Powers of |x|, and products with what is odd.
    *every({
        "|x|**2.5": lambda x: np.abs(x) ** 2.5,
        "|x|**5": lambda x: np.abs(x) ** 5,
        "|x|**6": lambda x: np.abs(x) ** 6,
        "power(|x|, 2.0)": lambda x: np.power(np.abs(x), 2.0),
        "square |x|": lambda x: np.square(np.abs(x)),
        "x² |x|": lambda x: x * x * np.abs(x),
        "|x³|": lambda x: np.abs(x**3),
        "|x| tanh |x|": lambda x: np.abs(x) * np.tanh(np.abs(x)),
        "|x| |sin x|": lambda x: np.abs(x) * np.abs(np.sin(x)),
        "|x| arctan |x|": lambda x: np.abs(x) * np.arctan(np.abs(x)),
        "|x| log1p |x|": lambda x: np.abs(x) * np.log1p(np.abs(x)),
        "|x| expm1 |x|": lambda x: np.abs(x) * np.expm1(np.abs(x)),
        "log cosh |x|": lambda x: np.log(np.cosh(np.abs(x))),
        "sinc |x|": lambda x: np.sinc(np.abs(x)),
        "expit |x| expit -|x|": lambda x: sp.expit(np.abs(x)) * sp.expit(-np.abs(x)),
        "erf |x| |x|": lambda x: sp.erf(np.abs(x)) * np.abs(x),
        "fabs copysign": lambda x: np.fabs(x) * np.copysign(x, 1.0),
        "|x| x sign x": lambda x: np.abs(x) * x * np.sign(x),
        "Matérn 5/2 of |x|": lambda x: matern5(np.abs(x)),
        "Matérn 7/2 of |x|": lambda x: matern7(np.abs(x)),
        "Wendland of |x|": lambda x: wendland(np.abs(x)),
        "Fair of |x|": lambda x: fair(np.abs(x)),
    }, 0.0),
    *every({
        "|x²-1| |x-1|": lambda x: np.abs(x * x - 1.0) * np.abs(x - 1.0),
        "|x-1|³": lambda x: np.abs(x - 1.0) ** 3,
        "|log x|²": lambda x: np.abs(np.log(x)) ** 2,
        "|log x| |x-1|": lambda x: np.abs(np.log(x)) * np.abs(1.0 - x),
    }, 1.0),
    # Pieces that touch where they tie: the curves tell which is ahead.
    *every({
        "|x²|": lambda x: np.abs(x * x),
        "|-x²|": lambda x: np.abs(-x * x),
        "|1 - cos x|": lambda x: np.abs(1.0 - np.cos(x)),
        "|cos x - 1|": lambda x: np.abs(np.cos(x) - 1.0),
        "|x² - x³|": lambda x: np.abs(x**2 - x**3),
        "max(x², x³)": lambda x: np.maximum(x**2, x**3),
        "max(x⁴, x²)": lambda x: np.maximum(x**4, x**2),
        "min(x², x⁴)": lambda x: np.minimum(x**2, x**4),
        "max(eˣ, 1 + x)": lambda x: np.maximum(np.exp(x), 1.0 + x),
        "min(eˣ, 1 + x)": lambda x: np.minimum(np.exp(x), 1.0 + x),
        "max(x², 0)": lambda x: np.maximum(x * x, 0.0),
        "min(x², 0)": lambda x: np.minimum(x * x, 0.0),
        "max(-x², 0)": lambda x: np.maximum(-x * x, 0.0),
        "relu(1 - cos x)": lambda x: relu(1.0 - np.cos(x)),
        "clip(x², 0, 1)": lambda x: np.clip(x * x, 0.0, 1.0),
        "clip(1 - x², 0, 1)": lambda x: np.clip(1.0 - x * x, 0.0, 1.0),
        "clip(cos x, -1, 1)": lambda x: np.clip(np.cos(x), -1.0, 1.0),
        "max(1, cosh x)": lambda x: np.maximum(1.0, np.cosh(x)),
        "fmax(x², 0)": lambda x: np.fmax(x * x, 0.0),
        "median(x², 0, -x²)": lambda x: np.median(np.stack([x * x, 0.0 * x, -x * x])),
        "median(sin x, x, tan x)": lambda x: np.median(
            np.stack([np.sin(x), x, np.tan(x)])),
        "largest of x², x⁴, 0": lambda x: np.max(np.stack([x**4, x * x, 0.0 * x])),
        "relu(x)³": lambda x: relu(x) ** 3,
        "relu(x)³ - low(x)³": lambda x: relu(x) ** 3 - low(x) ** 3,
        "x relu(x) + x low(x)": lambda x: x * relu(x) + x * low(x),
    }, 0.0),
    # Sorted numbers, and all that does not ask for their order.
    *every({
        "cubes of sorted": lambda v: np.sum(np.sort(v) ** 3),
        "sorted by reversed": lambda v: np.sort(v) @ np.sort(v)[::-1],
        "sorted by sorted": lambda v: np.sort(v) @ np.sort(v),
        "mean of sorted, squared": lambda v: np.mean(np.sort(v)) ** 2,
        "var of sorted": lambda v: np.var(np.sort(v)),
        "median²": lambda v: np.median(v) ** 2,
        "difference of sorted²": lambda v: np.sum(np.diff(np.sort(v)) ** 2),
        "cos ptp": lambda v: np.cos(np.ptp(v)),
        "max³ + min³": lambda v: np.max(v) ** 3 + np.min(v) ** 3,
        "max min (max + min)": lambda v: np.max(v) * np.min(v) * (
            np.max(v) + np.min(v)),
    }, [2.0, 2.0]),
    *every({
        "product of three sorted": lambda v: np.prod(np.sort(v)),
        "squares of three sorted": lambda v: np.sum(np.sort(v) ** 2),
        "max, median, min of three": lambda v: np.max(v) * np.min(v) * np.median(v),
        "squares of max, median, min": lambda v: np.max(v) ** 2 + np.median(v) ** 2
        + np.min(v) ** 2,
    }, [1.5, 1.5, 1.5]),
    # Roots of sums of squares at 0.
    *every({
        "norm**2.5": lambda v: norm(v) ** 2.5,
        "norm² exp(-norm²)": lambda v: norm(v) ** 2 * np.exp(-(norm(v) ** 2)),
        "norm(A v)²": lambda v: norm(A @ v) ** 2,
        "norm tanh norm": lambda v: norm(v) * np.tanh(norm(v)),
        "norm sin norm": lambda v: norm(v) * np.sin(norm(v)),
        "norm arctan norm": lambda v: norm(v) * np.arctan(norm(v)),
        "log cosh norm": lambda v: np.log(np.cosh(norm(v))),
        "1 / cosh norm": lambda v: 1.0 / np.cosh(norm(v)),
        "arctan norm²": lambda v: np.arctan(norm(v) ** 2),
        "tanh(norm)²": lambda v: np.tanh(norm(v)) ** 2,
        "erf norm²": lambda v: sp.erf(norm(v) ** 2),
        "Welsch": lambda v: 1.0 - np.exp(-0.5 * norm(v) ** 2),
        "Cauchy": lambda v: np.log1p((norm(v) / 0.7) ** 2),
        "Charbonnier": lambda v: np.sqrt(norm(v) ** 2 + 0.25) - 0.5,
        "rational quadratic": lambda v: (1.0 + norm(v) ** 2 / 3.0) ** -1.5,
        "inverse multiquadric": lambda v: 1.0 / np.sqrt(1.0 + (2.0 * norm(v)) ** 2),
        "periodic kernel": lambda v: np.exp(-2.0 * np.sin(norm(v)) ** 2),
        "Matérn 7/2": lambda v: matern7(norm(v)),
        "Wendland": lambda v: wendland(norm(v)),
        "Fair": lambda v: fair(norm(v)),
        "norm norm³": lambda v: norm(v) * norm(v) ** 3,
        "norms of two rows": lambda v: np.sum(
            np.linalg.norm(v * np.array([[1.0], [2.0]]), axis=-1) ** 2),
        "norm of order 2": lambda v: np.linalg.norm(v, 2) ** 2,
        "norm(v) norm(-v)": lambda v: norm(v) * norm(-v),
        "norm(v) norm(2 v)": lambda v: norm(v) * norm(2.0 * v),
        "norm(v) norm(v[::-1])": lambda v: norm(v) * norm(v[::-1]),
        "norm(v)² norm(v)²": lambda v: norm(v) ** 2 * norm(v) ** 2,
        "norm(v) sqrt(v v)": lambda v: norm(v) * np.sqrt(v @ v),
        "norm(v) norm(v / 3)": lambda v: norm(v) * norm(v / 3.0),
        "norm(v - w) norm(w - v)": lambda v: norm(v - v[::-1]) * norm(v[::-1] - v),
        "norm(v) hypot(v)": lambda v: norm(v) * np.hypot(v[0], v[1]),
    }, [0.0, 0.0]),
    *every({
        "norms of rows": lambda m: np.sum(np.linalg.norm(m, axis=1) ** 2),
        "Frobenius": lambda m: np.linalg.norm(m) ** 2,
        "cos of norms of columns": lambda m: np.sum(np.cos(np.linalg.norm(m, axis=0))),
    }, [[0.0, 0.0], [0.0, 0.0]]),
    *every({
        "hypot hypot": lambda x, y: np.hypot(x, y) * np.hypot(x, y),
        "hypot² + x y": lambda x, y: np.hypot(x, y) ** 2 + x * y,
        "cosh hypot": lambda x, y: np.cosh(np.hypot(x, y)),
        "sinc hypot": lambda x, y: np.sinc(np.hypot(x, y)),
        "exp(-hypot²)": lambda x, y: np.exp(-(np.hypot(x, y) ** 2)),
        "log1p hypot²": lambda x, y: np.log1p(np.hypot(x, y) ** 2),
        "hypot(2x, 3y)²": lambda x, y: np.hypot(2.0 * x, 3.0 * y) ** 2,
        "hypot(hypot, 1)": lambda x, y: np.hypot(np.hypot(x, y), 1.0),
        "cos hypot(hypot, x)": lambda x, y: np.cos(np.hypot(np.hypot(x, y), x)),
        "norm of hypot and x, squared": lambda x, y: norm(
            np.stack([np.hypot(x, y), x])) ** 2,
        "hypot(hypot)²": lambda x, y: np.hypot(np.hypot(x, y), x) ** 2,
    }, 0.0, 0.0),
    *every({
        "cos std": lambda v: np.cos(np.std(v)),
        "std⁴": lambda v: np.std(v) ** 4,
        "std² + mean²": lambda v: np.std(v) ** 2 + np.mean(v) ** 2,
        "std², ddof 1": lambda v: np.std(v, ddof=1) ** 2,
        "cosh std": lambda v: np.cosh(np.std(v)),
        "relative std²": lambda v: (np.std(v) / np.mean(v)) ** 2,
        "std std": lambda v: np.std(v) * np.std(v),
    }, [3.0, 3.0, 3.0, 3.0]),
    # Overflow and cancellation.
    *every({
        "softplus": lambda x: np.logaddexp(0.0, x),
        "softplus, max and log1p": lambda x: relu(x) + np.log1p(np.exp(-np.abs(x))),
        "expit": sp.expit,
        "log expit": sp.log_expit,
        "tanh": np.tanh,
        "1 / (1 + exp)": lambda x: 1.0 / (1.0 + np.exp(x)),
        "exp(x) / (1 + exp(x))": lambda x: np.exp(x) / (1.0 + np.exp(x)),
    }, -800.0, digits=1200),
    *every({
        "softplus": lambda x: np.logaddexp(0.0, x),
        "softplus, max and log1p": lambda x: relu(x) + np.log1p(np.exp(-np.abs(x))),
        "expit": sp.expit,
        "log expit": sp.log_expit,
        "tanh": np.tanh,
        "1 / (1 + exp)": lambda x: 1.0 / (1.0 + np.exp(x)),
        "1 / (1 + exp(-x))": lambda x: 1.0 / (1.0 + np.exp(-x)),
        "sech²": lambda x: 1.0 / np.cosh(x) ** 2,
        "sech³": lambda x: 1.0 / np.cosh(x) ** 3,
        "1 / cosh / cosh": lambda x: 1.0 / (np.cosh(x) * np.cosh(x)),
        "1 / (x cosh x)": lambda x: 1.0 / (x * np.cosh(x)),
        "1 / (2 + cosh)": lambda x: 1.0 / (2.0 + np.cosh(x)),
        "1 / exp²": lambda x: 1.0 / np.exp(x) ** 2,
        "1 / (1 + exp)²": lambda x: 1.0 / (1.0 + np.exp(x)) ** 2,
        "1 / (1 + exp²)": lambda x: 1.0 / (1.0 + np.exp(x) ** 2),
        "1 / (1 + 2**x)": lambda x: 1.0 / (1.0 + np.exp2(2.0 * x)),
        "1 / sqrt(1 + exp²)": lambda x: 1.0 / np.sqrt(1.0 + np.exp(2.0 * x)),
        "x² / (exp - 1)²": lambda x: x * x / (np.expm1(x) * np.expm1(x)),
        "log cosh": lambda x: np.abs(x) + np.log1p(np.exp(-2.0 * np.abs(x))),
    }, 800.0, digits=1200),
    *every({
        "expit": sp.expit,
        "log expit": sp.log_expit,
        "tanh": np.tanh,
        "expm1": np.expm1,
        "softplus": lambda x: np.logaddexp(0.0, x),
    }, -36.0),
    *every({"ndtr": sp.ndtr, "erf": sp.erf}, -7.0),
    *every({
        "sech²": lambda x: 1.0 / np.cosh(x) ** 2,
        "sech³": lambda x: 1.0 / np.cosh(x) ** 3,
        "1 / (x cosh x)": lambda x: 1.0 / (x * np.cosh(x)),
        "1 / (2 + cosh)": lambda x: 1.0 / (2.0 + np.cosh(x)),
        "1 / exp²": lambda x: 1.0 / np.exp(x) ** 2,
        "1 / (1 + exp)²": lambda x: 1.0 / (1.0 + np.exp(x)) ** 2,
        "1 / (3 - exp²)": lambda x: 1.0 / (3.0 - np.exp(x) ** 2),
        "1 / (1 + 2**x)": lambda x: 1.0 / (1.0 + np.exp2(2.0 * x)),
        "1 / sqrt(1 + exp²)": lambda x: 1.0 / np.sqrt(1.0 + np.exp(2.0 * x)),
        "x² / (exp - 1)²": lambda x: x * x / (np.expm1(x) * np.expm1(x)),
    }, 0.75, ulp=40),
    *every({"logaddexp": np.logaddexp}, -2e3, 0.0, digits=1900),
    *every({"logaddexp": np.logaddexp}, 800.0, 790.0, digits=400),
    *every({
        "arctan2": np.arctan2,
        "arctan2(y, -x)": lambda y, x: np.arctan2(y, -x),
        "hypot": np.hypot,
        "ratio": lambda y, x: y / x,
    }, 1e-200, 2e-200, digits=800),
    *every({"arctan2": np.arctan2, "hypot": np.hypot}, 3e100, 4e100),
    *every({"arctan2": np.arctan2, "hypot": np.hypot}, 1.0, 1e-150, digits=800),
    *every({
        "x / (x x)": lambda x: x / (x * x),
        "1 / x": lambda x: 1.0 / x,
        "x**-1": lambda x: x**-1,
        "sinc": np.sinc,
        "exprel": sp.exprel,
        "tanh": np.tanh,
        "expm1": np.expm1,
        "log1p": np.log1p,
        "arcsinh": np.arcsinh,
        "sin": np.sin,
        "x tanh x": lambda x: x * np.tanh(x),
    }, -1e-170, digits=1200),
    *every({"sinc": np.sinc, "exprel": sp.exprel, "expm1": np.expm1}, 1e-6),
    *every({
        "x / (1 + x)": lambda x: x / (1.0 + x),
        "1 / (1 + x²)": lambda x: 1.0 / (1.0 + x * x),
        "arctan": np.arctan,
        "log": np.log,
    }, 1e120, digits=1200),
    # Ends of domains.
    *every({
        "sqrt(1 - x²)": lambda x: np.sqrt(1.0 - x * x),
        "arcsin": np.arcsin,
        "arccos": np.arccos,
        "arctanh": np.arctanh,
        "logit": sp.logit,
        "erfinv": sp.erfinv,
        "(1 - x)**.3": lambda x: (1.0 - x) ** 0.3,
        "(1 - x)**2.5": lambda x: (1.0 - x) ** 2.5,
        "log(1 - x)": lambda x: np.log(1.0 - x),
        "log1p(-x)": lambda x: np.log1p(-x),
    }, 1.0, sides=-1),
    *every({"arccosh": np.arccosh, "sqrt(x - 1)": lambda x: np.sqrt(x - 1.0)},
           1.0, sides=1),
    *every({"arcsin": np.arcsin, "arctanh": np.arctanh, "erfinv": sp.erfinv,
            "arccos": np.arccos}, -1.0, sides=1),
    *every({
        "x log x": lambda x: x * np.log(x),
        "xlogy(x, x)": lambda x: sp.xlogy(x, x),
        "log": np.log,
        "log10": np.log10,
        "1 / sqrt": lambda x: 1.0 / np.sqrt(x),
        "logit": sp.logit,
        "entr": sp.entr,
        "sqrt + x²": lambda x: np.sqrt(x) + x * x,
        "x**.9": lambda x: x**0.9,
        "x**1.1": lambda x: x**1.1,
        "x**1.9": lambda x: x**1.9,
        "x**2.1": lambda x: x**2.1,
        "x**-3": lambda x: x**-3,
        "2 x**2": lambda x: 2.0 * x**2.0,
        "cbrt": np.cbrt,
        "arccosh(1 + x)": lambda x: np.arccosh(1.0 + x),
        "arcsin(1 - x)": lambda x: np.arcsin(1.0 - x),
    }, 0.0, sides=1),
    *[t for e in (0.25, 1.2, 1.75, 2.5, 3.0, -0.25, -3.0)
      for t in every({f"b**e, e = {e}": np.power}, 0.0, e, sides=(1, 0))],
    *every({"b**e, e = 1": np.power}, 0.0, 1.0, sides=(1, 0)),
    *every({"b**e, e = 2": np.power}, 0.0, 2.0, sides=(1, 0)),
    *every({"kl_div": sp.kl_div, "rel_entr": sp.rel_entr}, 0.0, 2.0, sides=(1, 0)),
    # Eigenvalues that meet.
    *every({
        "sum of eigenvalues": lambda a, b, c: np.sum(
            np.linalg.eigvalsh(symmetric(a, b, c))),
        "det": lambda a, b, c: np.linalg.det(symmetric(a, b, c)),
    }, 0.0, 0.0, 0.0),
    # Tables that are straight at a knot.
    *every({
        "straight table": lambda x: np.interp(x, [0.0, 1.0, 3.0], [1.0, 3.0, 7.0]) ** 2,
        "its exponential": lambda x: np.exp(-np.interp(x, [0.0, 1.0, 3.0],
                                                       [1.0, 3.0, 7.0])),
        "flat table": lambda x: x * np.interp(x, [0.0, 1.0, 3.0], [2.0, 2.0, 2.0]),
    }, 1.0),
]  # fmt: skip

COMPOSED = [
    *every({
        "exp(-|x|²) cos |x|": lambda x: np.exp(-(np.abs(x) ** 2)) * np.cos(np.abs(x)),
        "sqrt(1 + cos² |x|)": lambda x: np.sqrt(1.0 + np.cos(np.abs(x)) ** 2),
        "(|x| |x|)²": lambda x: (np.abs(x) * np.abs(x)) ** 2,
        "log(1 + |x| max(x, -x))": lambda x: np.log(1 + np.abs(x) * np.maximum(x, -x)),
        "max(|x|, -|x|)²": lambda x: np.maximum(np.abs(x), -np.abs(x)) ** 2,
        "||x||²": lambda x: np.abs(np.abs(x)) ** 2,
        "cos max(x, -x)": lambda x: np.cos(np.maximum(x, -x)),
        "|relu - low|²": lambda x: np.abs(relu(x) - low(x)) ** 2,
        "exp(-relu² - relu²)": lambda x: np.exp(-(relu(x) ** 2) - relu(-x) ** 2),
        "two clips": lambda x: np.clip(x, -1.0, 0.0) ** 2 + np.clip(x, 0.0, 1.0) ** 2,
        "softplus |x| - |x|/2": lambda x: np.logaddexp(0.0, np.abs(x)) - np.abs(x) / 2,
        "logaddexp(|x|, -|x|)": lambda x: np.logaddexp(np.abs(x), -np.abs(x)),
        "log(2 cosh) of |x|": lambda x: np.log(np.exp(np.abs(x)) + np.exp(-np.abs(x))),
        "tanh(|x|)²": lambda x: np.tanh(np.abs(x)) ** 2,
        "|sin x| |tan x|": lambda x: np.abs(np.sin(x)) * np.abs(np.tan(x)),
        "(cos |x| - 1) / 2 + |x|⁴": lambda x: (np.cos(np.abs(x)) - 1.0) / 2
        + np.abs(x) ** 4,
        "sqrt(cosh |x|)": lambda x: np.sqrt(np.cosh(np.abs(x))),
        "relu(x) relu(x) + relu(-x) relu(-x)": lambda x: relu(x) * relu(x)
        + relu(-x) * relu(-x),
        "max(x, 2x) min(x, 2x)": lambda x: np.maximum(x, 2 * x) * np.minimum(x, 2 * x),
        "hypot(|x|, x)²": lambda x: np.hypot(np.abs(x), x) ** 2,
        "cos hypot(|x|, relu) with low": lambda x: np.cos(
            np.hypot(relu(x), low(x))),
        "norm of |x|, squared": lambda x: norm(np.stack([np.abs(x), 2 * np.abs(x)]))**2,
    }, 0.0),
    *every({
        "hypot(|x|, |y|)²": lambda x, y: np.hypot(np.abs(x), np.abs(y)) ** 2,
        "hypot of max and min, squared": lambda x, y: np.hypot(
            np.maximum(x, y), np.minimum(x, y)) ** 2,
        "|x|² + |y|² + norm²": lambda x, y: np.abs(x) ** 2 + np.abs(y) ** 2
        + np.hypot(x, y) ** 2,
        "cos |x| cos |y|": lambda x, y: np.cos(np.abs(x)) * np.cos(np.abs(y)),
        "(max - min)² + (x + y)²": lambda x, y: (np.maximum(x, y) - np.minimum(x, y))
        ** 2 + (x + y) ** 2,
        "|x + y|² |x - y|²": lambda x, y: np.abs(x + y) ** 2 * np.abs(x - y) ** 2,
        "|x + y|² + |x - y|²": lambda x, y: np.abs(x + y) ** 2 + np.abs(x - y) ** 2,
        "std² of a pair and hypot²": lambda x, y: np.std(np.stack([x, y])) ** 2
        + np.hypot(x, y) ** 2,
        "exp(-norm²) of |v|": lambda x, y: np.exp(
            -(norm(np.abs(np.stack([x, y]))) ** 2)),
        "norm of sorted, squared": lambda x, y: norm(np.sort(np.stack([x, y]))) ** 2,
    }, 0.0, 0.0),
    *every({
        "(max - min) sin(max - min)": lambda x, y: (
            np.maximum(x, y) - np.minimum(x, y)
        ) * np.sin(np.maximum(x, y) - np.minimum(x, y)),
        "|x - y| (max - min)": lambda x, y: np.abs(x - y) * (
            np.maximum(x, y) - np.minimum(x, y)),
        "exp max exp min": lambda x, y: np.exp(np.maximum(x, y)) * np.exp(
            np.minimum(y, x)),
        "exp max + exp min": lambda x, y: np.exp(np.maximum(x, y)) + np.exp(
            np.minimum(x, y)),
        "sqrt(max min)": lambda x, y: np.sqrt(np.maximum(x, y) * np.minimum(x, y)),
        "max / min + min / max": lambda x, y: np.maximum(x, y) / np.minimum(x, y)
        + np.minimum(x, y) / np.maximum(x, y),
        "cosh(max - min)": lambda x, y: np.cosh(np.maximum(x, y) - np.minimum(x, y)),
        "log max + log min": lambda x, y: np.log(np.maximum(x, y)) + np.log(
            np.minimum(x, y)),
        "arctan2 both ways": lambda x, y: np.arctan2(
            np.maximum(x, y), np.minimum(x, y)) + np.arctan2(
            np.minimum(x, y), np.maximum(x, y)),
        "logaddexp(max, min)": lambda x, y: np.logaddexp(
            np.maximum(x, y), np.minimum(x, y)),
        "var and ptp²": lambda x, y: np.var(np.stack([x, y])) * 4.0
        - np.ptp(np.stack([x, y])) ** 2 + x * y,
        "Matérn of |x - y|": lambda x, y: matern5(np.abs(x - y)),
        "norm of sorted": lambda x, y: norm(np.sort(np.stack([x, y]))),
        "hypot of max and min": lambda x, y: np.hypot(
            np.maximum(x, y), np.minimum(x, y)),
    }, 1.25, 1.25),
]  # fmt: skip

TRUTHS = [*KINDS, *COMPOSED]

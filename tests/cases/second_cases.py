"""Second derivatives at kinks and at zero distance: the specification, as data.

Where the second derivative exists the values are those of the smooth function that the
composition is (x², x y, cos x …); where it does not, those of the piece from the right,
of tied numbers with the first one ahead (rule S2), or NaN (rule S3).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import jitad
from tests.cases.second_case import case, nan

ONE = np.eye(2)
CROSS = np.array([[0.0, 1.0], [1.0, 0.0]])
APART = np.array([[1.0, -1.0], [-1.0, 1.0]])
FIRST = np.diag([1.0, 0.0])


def relu(x: Any) -> Any:
    return np.maximum(x, 0.0)


def huber(r: Any) -> Any:
    return np.where(r < 1.0, 0.5 * r**2, r - 0.5)


def matern(r: Any, order: int) -> Any:
    """Rasmussen and Williams, Gaussian Processes for Machine Learning, eq. 4.17."""
    scaled = math.sqrt(2 * order + 1) * r
    slow = 1.0 + scaled + (scaled**2 / 3.0 if order == 2 else 0.0)
    return slow * np.exp(-scaled)


def norm(v: Any) -> Any:
    return np.linalg.norm(v)


KINKS = [
    case("|x|", np.abs, 0.0, 0.0),
    case("|x|**2", lambda x: np.abs(x) ** 2, 0.0, 2.0),
    case("|x| |x|", lambda x: np.abs(x) * np.abs(x), 0.0, 2.0),
    case("|x| |-x|", lambda x: np.abs(x) * np.abs(-x), 0.0, 2.0),
    case("|x| at -0", lambda x: np.abs(x) ** 2, -0.0, 2.0),
    case("|x|**3", lambda x: np.abs(x) ** 3, 0.0, 0.0),
    case("|x|**4", lambda x: np.abs(x) ** 4, 0.0, 0.0),
    case("x |x|", lambda x: x * np.abs(x), 0.0, 2.0),
    case("cos |x|", lambda x: np.cos(np.abs(x)), 0.0, -1.0),
    case("cosh |x|", lambda x: np.cosh(np.abs(x)), 0.0, 1.0),
    case("exp(-|x|)", lambda x: np.exp(-np.abs(x)), 0.0, 1.0),
    case("sqrt(1 + |x|²)", lambda x: np.sqrt(1.0 + np.abs(x) ** 2), 0.0, 1.0),
    case("|x| sin |x|", lambda x: np.abs(x) * np.sin(np.abs(x)), 0.0, 2.0),
    case("|sin x|²", lambda x: np.abs(np.sin(x)) ** 2, 0.0, 2.0),
    case("|x| |x (x-1)|", lambda x: np.abs(x) * np.abs(x * (x - 1.0)), 0.0, 2.0),
    case("|x| |exp(-x)-1|", lambda x: np.abs(x) * np.abs(np.expm1(-x)), 0.0, 2.0),
    case("fabs", lambda x: np.fabs(x) ** 2, 0.0, 2.0),
    case("|x - y| |y - x|", lambda x, y: np.abs(x - y) * np.abs(y - x), (2.0, 2.0),
         2 * APART),
    case("log1p |x|²", lambda x: np.log1p(np.abs(x) ** 2), 0.0, 2.0),
    case("max(x, 0)²", lambda x: relu(x) ** 2, 0.0, 2.0),
    case("max(0, x)²", lambda x: np.maximum(0.0, x) ** 2, 0.0, 2.0),
    case("min(x, 0)²", lambda x: np.minimum(x, 0.0) ** 2, 0.0, 0.0),
    case("max(x, -x)²", lambda x: np.maximum(x, -x) ** 2, 0.0, 2.0),
    case("|x| max(-x, x)", lambda x: np.abs(x) * np.maximum(-x, x), 0.0, 2.0),
    case("max² + min²", lambda x: relu(x) ** 2 + np.minimum(x, 0.0) ** 2, 0.0, 2.0),
    case("max(0, x)² + min(0, x)²",
         lambda x: np.maximum(0.0, x) ** 2 + np.minimum(0.0, x) ** 2, 0.0, 2.0),
    case("max min of x, 0", lambda x: relu(x) * np.minimum(x, 0.0), 0.0, 0.0),
    case("(max(x, 0) - max(-x, 0))²", lambda x: (relu(x) - relu(-x)) ** 2, 0.0, 2.0),
    case("max(1 - x, 0)² and its rest",
         lambda x: relu(1 - x) ** 2 + relu(x - 1) ** 2, 1.0, 2.0),
    case("max(x, y) min(x, y)", lambda x, y: np.maximum(x, y) * np.minimum(x, y),
         (2.0, 2.0), CROSS),
    case("max(x, y) min(y, x)", lambda x, y: np.maximum(x, y) * np.minimum(y, x),
         (2.0, 2.0), CROSS),
    case("max² + min² at a tie",
         lambda x, y: np.maximum(x, y) ** 2 + np.minimum(x, y) ** 2, (2.0, 2.0),
         2 * ONE),
    case("(max - min)²", lambda x, y: (np.maximum(x, y) - np.minimum(x, y)) ** 2,
         (2.0, 2.0), 2 * APART),
    case("(max + min)²", lambda x, y: (np.maximum(x, y) + np.minimum(x, y)) ** 2,
         (2.0, 2.0), 2.0 * np.ones((2, 2))),
    case("max(x, y)²", lambda x, y: np.maximum(x, y) ** 2, (2.0, 2.0), 2 * FIRST),
    case("fmax fmin", lambda x, y: np.fmax(x, y) * np.fmin(x, y), (2.0, 2.0), CROSS),
    case("fmax(x, nan)²", lambda x: np.fmax(x, nan) ** 2, 2.0, 2.0),
    case("max min of a vector", lambda v: np.max(v) * np.min(v), [2.0, 2.0], CROSS),
    case("ptp²", lambda v: np.ptp(v) ** 2, [2.0, 2.0], 2 * APART),
    case("max² of a vector", lambda v: np.max(v) ** 2, [2.0, 2.0, 1.0],
         np.diag([2.0, 0.0, 0.0])),
    case("max(sin, cos) min(sin, cos)",
         lambda x, y: np.maximum(np.sin(x), np.sin(y)) * np.minimum(np.sin(y),
                                                                   np.sin(x)),
         (0.0, 0.0), CROSS),
    case("clip² at the lower bound", lambda x: np.clip(x, 0.0, 1.0) ** 2, 0.0, 2.0),
    case("clip² at the upper bound", lambda x: np.clip(x, 0.0, 1.0) ** 2, 1.0, 0.0),
    case("x sign x, squared", lambda x: (x * np.sign(x)) ** 2, 0.0, 2.0),
    case("x² sign² x", lambda x: (x * x) * np.sign(x) ** 2, 0.0, 2.0),
    case("sign(x) sign(-x) x²", lambda x: x * x * np.sign(x) * np.sign(-x), 0.0, -2.0),
    case("x² heaviside x", lambda x: x * x * np.heaviside(x, 0.5), 0.0, 2.0),
    case("copysign(x, 1)²", lambda x: np.copysign(x, 1.0) ** 2, 0.0, 2.0),
    case("product of sorted", lambda v: np.prod(np.sort(v)), [2.0, 2.0], CROSS),
    case("squares of sorted", lambda v: np.sum(np.sort(v) ** 2), [2.0, 2.0], 2 * ONE),
    case("sorted and min", lambda v: np.sort(v)[-1] * np.min(v), [2.0, 2.0], CROSS),
    case("sorted backwards and max", lambda v: np.sort(v[::-1])[0] * np.max(v),
         [2.0, 2.0], CROSS),
    case("median of two, squared", lambda v: np.median(v) ** 2, [2.0, 2.0],
         0.5 * np.ones((2, 2))),
    case("interp² at a knot", lambda x: np.interp(x, [0.0, 1.0, 2.0],
                                                  [0.0, 1.0, 4.0]) ** 2, 1.0, 18.0),
    case("interp² where it is straight",
         lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 2.0]) ** 2, 1.0, 2.0),
    case("norm of order 1, squared", lambda v: np.linalg.norm(v, 1) ** 2, [0.0, 3.0],
         2.0 * np.ones((2, 2))),
    case("relu network", lambda w, v: np.sum((relu(w) * v) ** 2),
         ([0.0, 1.0], [3.0, 4.0]),
         [[18, 0, 0, 0], [0, 32, 0, 16], [0, 0, 0, 0], [0, 16, 0, 2]]),
]  # fmt: skip

ROOTS = [
    case("norm", norm, [0.0, 0.0], nan * ONE),
    case("norm²", lambda v: norm(v) ** 2, [0.0, 0.0], 2 * ONE),
    case("norm norm", lambda v: norm(v) * norm(v), [0.0, 0.0], 2 * ONE),
    case("norm³", lambda v: norm(v) ** 3, [0.0, 0.0], 0 * ONE),
    case("norm⁴", lambda v: norm(v) ** 4, [0.0, 0.0], 0 * ONE),
    case("norm² + norm", lambda v: norm(v) ** 2 + norm(v), [0.0, 0.0], nan * ONE),
    case("norm² - norm⁴ / 2", lambda v: norm(v) ** 2 - norm(v) ** 4 / 2, [0.0, 0.0],
         2 * ONE),
    case("exp(-norm²)", lambda v: np.exp(-(norm(v) ** 2)), [0.0, 0.0], -2 * ONE),
    case("exp(-norm)", lambda v: np.exp(-norm(v)), [0.0, 0.0], nan * ONE),
    case("cos norm", lambda v: np.cos(norm(v)), [0.0, 0.0], -ONE),
    case("cosh norm", lambda v: np.cosh(norm(v)), [0.0, 0.0], ONE),
    case("sinc norm", lambda v: np.sinc(norm(v)), [0.0, 0.0], -math.pi**2 / 3 * ONE),
    case("log1p norm²", lambda v: np.log1p(norm(v) ** 2), [0.0, 0.0], 2 * ONE),
    case("sqrt(1 + norm²)", lambda v: np.sqrt(1 + norm(v) ** 2), [0.0, 0.0], ONE),
    case("norm² / (1 + norm²)", lambda v: norm(v) ** 2 / (1 + norm(v) ** 2),
         [0.0, 0.0], 2 * ONE),
    case("Huber of norm", lambda v: huber(norm(v)), [0.0, 0.0], ONE),
    case("Tukey of norm", lambda v: 1.0 - (1.0 - norm(v) ** 2) ** 3, [0.0, 0.0],
         6 * ONE),
    case("norm² at a perfect fit",
         lambda p: norm(np.array([[1.0, 2.0], [3.0, 4.0]]) @ p - [3.0, 7.0]) ** 2,
         [1.0, 1.0], [[20.0, 28.0], [28.0, 40.0]]),
    case("Matérn 5/2", lambda x, y: matern(norm(x - y), 2), ([1.0, 2.0], [1.0, 2.0]),
         np.kron(APART, -5 / 3 * ONE), 8),
    case("Matérn 3/2", lambda x, y: matern(norm(x - y), 1), ([1.0, 2.0], [1.0, 2.0]),
         np.kron(APART, -3 * ONE), 8),
    case("scaled norm²", lambda v, a: np.exp(a) * norm(v) ** 2, ([0.0, 0.0], 0.0),
         np.diag([2.0, 2.0, 0.0])),
    case("two norms", lambda v, w: norm(v) ** 2 + np.cos(norm(w)),
         ([0.0, 0.0], [0.0, 0.0]), np.diag([2.0, 2.0, -1.0, -1.0])),
    case("norms of two vectors", lambda v: norm(v) * norm(v + v[::-1]), [0.0, 0.0],
         nan * ONE),
    case("squared norms of two", lambda v: norm(v) ** 2 * norm(-v) ** 2 + v @ v,
         [0.0, 0.0], 2 * ONE),
    case("mixture of norms",
         lambda v: np.log(np.exp(-(norm(v) ** 2)) + np.exp(-(norm(2 * v) ** 2))),
         [0.0, 0.0], -5 * ONE),
    case("hypot", np.hypot, (0.0, 0.0), nan * ONE),
    case("hypot²", lambda x, y: np.hypot(x, y) ** 2, (0.0, 0.0), 2 * ONE),
    case("cos hypot", lambda x, y: np.cos(np.hypot(x, y)), (0.0, 0.0), -ONE),
    case("std", np.std, [2.0, 2.0], nan * ONE),
    case("std²", lambda v: np.std(v) ** 2, [2.0, 2.0], 0.5 * APART),
    case("exp(-std²)", lambda v: np.exp(-(np.std(v) ** 2)), [2.0, 2.0], -0.5 * APART),
    case("var", np.var, [2.0, 2.0], 0.5 * APART),
    case("sqrt(s)²", lambda v: np.sqrt(v @ v) ** 2, [0.0, 0.0], 2 * ONE),
    case("sqrt(s)⁴ + s", lambda v: np.sqrt(v @ v) ** 4 + v @ v, [0.0, 0.0], 2 * ONE),
]  # fmt: skip

BRANCHES = [
    case("where sin(x) / x at 0",
         lambda x: np.where(x != 0, np.sin(x) / np.where(x != 0, x, 1.0), 1.0), 0.0,
         0.0),
    case("sinc at 0", np.sinc, 0.0, -math.pi**2 / 3),
    case("where(x > 0, x**1.5, 0)", lambda x: np.where(x > 0, x**1.5, 0.0), 0.0, 0.0),
    case("if", lambda x: np.abs(x) ** 2 if x < 1 else x, 0.0, 2.0),
    case("cond", lambda x: jitad.cond(x < 1, lambda x: np.abs(x) ** 2,
                                      lambda x: 3.0 * x, x), 0.0, 2.0),
    case("where of kinks", lambda x: np.where(x < 1, relu(x) ** 2 + relu(-x) ** 2, x),
         0.0, 2.0),
]  # fmt: skip


@jitad.custom_jvp
def _signed_square(x: Any) -> Any:
    return x * np.abs(x)


@_signed_square.defjvp
def _(primals: Any, tangents: Any) -> Any:
    (x,), (x_dot,) = primals, tangents
    return _signed_square(x), 2.0 * np.abs(x) * x_dot


def _steps(x: Any) -> Any:
    return jitad.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + np.abs(x) * np.abs(c[1] * x)),
        (0, 1.0), max_steps=5,
    )[1]  # fmt: skip


_MANY = np.linspace(-1.0, 1.0, 101)

PROGRAMS = [
    case("fori_loop", lambda x: jitad.fori_loop(0, 2, lambda i, c: c * np.abs(x), 1.0),
         0.0, 2.0),
    case("scan", lambda x: jitad.scan(lambda c, z: (c + np.abs(z) * np.abs(-z), None),
                                      0.0, np.stack([x, 2.0 * x]))[0], 0.0, 10.0),
    case("scan of where",
         lambda x: jitad.scan(lambda c, z: (c + np.where(z > -1.0, z * z, 0.0), None),
                              0.0, np.stack([x, 2.0 * x]))[0], 0.0, 10.0),
    case("scan of norms",
         lambda v: jitad.scan(lambda c, k: (c + norm(k * v) ** 2, None), 0.0,
                              np.array([1.0, 2.0]))[0], [0.0, 0.0], 10 * ONE),
    case("while_loop", _steps, 0.0, 6.0),
    case("vmap", lambda v: np.sum(jitad.vmap(lambda x: np.abs(x) ** 2)(v)), [0.0, 0.0],
         2 * ONE),
    case("sum over points",
         lambda x: np.sum(jitad.vmap(lambda a: relu(a * x) ** 2 + relu(-a * x) ** 2)(
             _MANY)), 0.0, 2 * np.sum(_MANY**2), 64),
    case("norms over points",
         lambda v: np.sum(jitad.vmap(lambda a: norm(a * v) ** 2)(_MANY)), [0.0, 0.0],
         2 * np.sum(_MANY**2) * ONE, 64),
    case("checkpoint", lambda x: jitad.checkpoint(lambda x: np.abs(x) ** 2)(x), 0.0,
         2.0),
    case("custom_jvp", _signed_square, 0.0, 2.0),
    case("gradient squared", lambda x: jitad.grad(lambda z: z * np.abs(z))(x) ** 2, 0.0,
         8.0),
]  # fmt: skip

CASES = [*KINKS, *ROOTS, *BRANCHES, *PROGRAMS]

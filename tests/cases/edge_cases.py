"""Derivatives at kinks, poles, ties and NaN: the specification, as data.

Each case is a function of floating-point arguments, its arguments, its value and its
derivatives in each of them (None: not specified).  A derivative is what the Jacobian
is, shape included.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special as sp

import jitad

nan, inf = float("nan"), float("inf")


class Case(NamedTuple):
    """A function at a point, and what must come out."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    value: Any
    derivatives: tuple[Any, ...]


def case(
    name: str, function: Callable[..., Any], arguments: Any, value: Any, *d: Any
) -> Case:
    """A case; a single argument need not be in a tuple."""
    if not isinstance(arguments, tuple):
        arguments = (arguments,)
    given = tuple(np.array(a, float) if isinstance(a, list) else a for a in arguments)
    return Case(name, function, given, value, d)


def root_mean(x: Any) -> Any:
    return np.sqrt(np.sum(x * x))


def guarded(condition: Any, inside: Any, outside: float) -> Any:
    return lambda x: np.where(condition(x), inside(x), outside)


def in_a_loop(f: Any) -> Any:
    return lambda x: jitad.fori_loop(0, 3, lambda i, c: c + f(x), 0.0)


def scanned(f: Any) -> Any:
    """Σ f(p, t) over samples t, one after the other."""
    return lambda p, ts: jitad.scan(lambda c, t: (c + f(p, t), None), 0.0, ts)[0]


_log_at_zero = guarded(lambda x: x > 0, np.log, 0.0)
_sqrt_guarded = guarded(lambda x: x > 0, np.sqrt, 0.0)
_sine_ratio = guarded(lambda x: x != 0, lambda x: np.sin(x) / x, 1.0)

SCALARS = [
    case("abs at 0", np.abs, 0.0, 0.0, 0.0),
    case("abs at -0", np.abs, -0.0, 0.0, 0.0),
    case("sqrt at 0", np.sqrt, 0.0, 0.0, inf),
    case("x**0.5 at 0", lambda x: x**0.5, 0.0, 0.0, inf),
    case("sqrt(x x) at 0", lambda x: np.sqrt(x * x), 0.0, 0.0, nan),
    case("x**0 at 0", lambda x: x**0, 0.0, 1.0, 0.0),
    case("x**0. at 0", lambda x: x**0.0, 0.0, 1.0, 0.0),
    case("pow(0, 0)", np.power, (0.0, 0.0), 1.0, 0.0, 0.0),
    case("pow(0, 2)", np.power, (0.0, 2.0), 0.0, 0.0, 0.0),
    case("pow(0, -1)", np.power, (0.0, -1.0), inf, -inf, -inf),
    case("pow(0, 1)", np.power, (0.0, 1.0), 0.0, 1.0, 0.0),
    case("pow(-2, 3)", np.power, (-2.0, 3.0), -8.0, 12.0, nan),
    case("pow(-2, .5)", np.power, (-2.0, 0.5), nan, nan, nan),
    case("x**(1/3) at -8", lambda x: x ** (1 / 3), -8.0, nan, nan),
    case("log at 0", np.log, 0.0, -inf, inf),
    case("log at -1", np.log, -1.0, nan, nan),
    case("log1p at -1", np.log1p, -1.0, -inf, inf),
    case("log1p at -2", np.log1p, -2.0, nan, nan),
    case("log2 at -1", np.log2, -1.0, nan, nan),
    case("log10 at 0", np.log10, 0.0, -inf, inf),
    case("x log x at 0", lambda x: x * np.log(x), 0.0, nan, nan),
    case("xlogy(0, 0)", sp.xlogy, (0.0, 0.0), 0.0, 0.0, None),
    case("maximum at a tie", np.maximum, (2.0, 2.0), 2.0, 0.5, 0.5),
    case("minimum at a tie", np.minimum, (2.0, 2.0), 2.0, 0.5, 0.5),
    case("fmax at a tie", np.fmax, (2.0, 2.0), 2.0, 0.5, 0.5),
    case("fmin at a tie", np.fmin, (2.0, 2.0), 2.0, 0.5, 0.5),
    case("relu at 0", lambda x: np.maximum(x, 0), 0.0, 0.0, 0.5),
    case("maximum(nan, 1)", np.maximum, (nan, 1.0), nan, nan, None),
    case("fmax(nan, 1)", np.fmax, (nan, 1.0), 1.0, 0.0, 1.0),
    case("where sqrt at -1", _sqrt_guarded, -1.0, 0.0, 0.0),
    case("where sqrt at 0", _sqrt_guarded, 0.0, 0.0, 0.0),
    case("where log at 0", _log_at_zero, 0.0, 0.0, 0.0),
    case("where sin(x)/x at 0", _sine_ratio, 0.0, 1.0, 0.0),
    case("clip at a bound", lambda x: np.clip(x, 0.0, 1.0), 1.0, 1.0, 0.5),
    case("clip at the other", lambda x: np.clip(x, 0.0, 1.0), 0.0, 0.0, 0.5),
    case("clip of nan", lambda x: np.clip(x, 0.0, 1.0), nan, nan, nan),
    case("clip, lo > hi", lambda x: np.clip(x, 2.0, 1.0), 1.5, 1.0, 0.0),
    case("sign at 0", np.sign, 0.0, 0.0, 0.0),
    case("floor", np.floor, 1.0, 1.0, 0.0),
    case("ceil", np.ceil, 1.0, 1.0, 0.0),
    case("trunc", np.trunc, -1.5, -1.0, 0.0),
    case("round", np.round, 2.5, 2.0, 0.0),
    case("mod(4, 2)", np.mod, (4.0, 2.0), 0.0, 1.0, -2.0),
    case("mod(1, 0)", np.mod, (1.0, 0.0), nan, nan, nan),
    case("fmod(-3, 2)", np.fmod, (-3.0, 2.0), -1.0, 1.0, 1.0),
    case("arctan2(0, 0)", np.arctan2, (0.0, 0.0), 0.0, nan, nan),
    case(
        "arctan2, tiny",
        np.arctan2,
        (1e-200, 1e-200),
        np.arctan2(1.0, 1.0),
        5e199,
        -5e199,
    ),
    case("hypot(0, 0)", np.hypot, (0.0, 0.0), 0.0, 0.0, 0.0),
    case(
        "hypot, huge",
        np.hypot,
        (1e200, 1e200),
        None,
        0.7071067811865476,
        0.7071067811865476,
    ),
    case("hypot, uneven", np.hypot, (1e160, 2e160), None, None, 0.8944271909999159),
    case("hypot(x, 0) = |x|", lambda x: np.hypot(x, 0.0), -2.0, 2.0, -1.0),
    case("hypot(inf, 1)", np.hypot, (inf, 1.0), inf, 1.0, 0.0),
    case("hypot(1, -inf)", np.hypot, (1.0, -inf), inf, 0.0, -1.0),
    case("hypot(inf, inf)", np.hypot, (inf, inf), inf, nan, nan),
    case("hypot(inf, nan)", np.hypot, (inf, nan), inf, nan, nan),
    case("sinc at 0", np.sinc, 0.0, 1.0, 0.0),
    case("sinc near 0", np.sinc, 1e-8, 1.0, -3.2898681336964526e-8),
    case("logaddexp(inf, 0)", np.logaddexp, (inf, 0.0), inf, 1.0, 0.0),
    case("logaddexp(inf, inf)", np.logaddexp, (inf, inf), inf, 0.5, 0.5),
    case("logaddexp(-inf, -inf)", np.logaddexp, (-inf, -inf), -inf, 0.5, 0.5),
    case("logaddexp(-inf, 0)", np.logaddexp, (-inf, 0.0), 0.0, 0.0, 1.0),
    case("0/0", np.divide, (0.0, 0.0), nan, inf, nan),
    case("1/0", np.divide, (1.0, 0.0), inf, inf, -inf),
    case("x/y, tiny", np.divide, (1e-200, 1e-200), 1.0, 1e200, -1e200),
    case("arcsin at 1", np.arcsin, 1.0, np.pi / 2, inf),
    case("arcsin at -1", np.arcsin, -1.0, -np.pi / 2, inf),
    case("arctanh at 1", np.arctanh, 1.0, inf, inf),
    case("arctanh at 2", np.arctanh, 2.0, nan, nan),
    case("arccosh at 1", np.arccosh, 1.0, 0.0, inf),
    case("arccosh at -3", np.arccosh, -3.0, nan, nan),
    case("arccos at 1", np.arccos, 1.0, 0.0, -inf),
    case("arcsin at 1.5", np.arcsin, 1.5, nan, nan),
    case("arccosh, huge", np.arccosh, 1e200, None, 1e-200),
    case("arcsinh, huge", np.arcsinh, 1e200, None, 1e-200),
    case("tan at π/2", np.tan, np.pi / 2, None, 2.6670937881135714e32),
    case("tanh at 20", np.tanh, 20.0, 1.0, 1.6993417021166355e-17),
    case("expm1 at -50", np.expm1, -50.0, -1.0, 1.9287498479639178e-22),
    case("expm1 at -30", np.expm1, -30.0, None, 9.357622968840175e-14),
    case("exprel at 0", sp.exprel, 0.0, 1.0, 0.5),
    case("exprel near 0", sp.exprel, 1e-8, 1.000000005, 0.5000000033333333),
    case(
        "exprel at 710", sp.exprel, 710.0, 3.1464715016362127e305, 3.142039851633908e305
    ),
    case("exprel at inf", sp.exprel, inf, inf, inf),
    case("exprel at -inf", sp.exprel, -inf, 0.0, 0.0),
    case("exprel of nan", sp.exprel, nan, nan, nan),
    case("i0 at 0", np.i0, 0.0, 1.0, 0.0),
    case("i0 near 0", np.i0, 1e-8, 1.0, 5e-9),
    case("i1 at 0", sp.i1, 0.0, 0.0, 0.5),
    case("i0 at 800", np.i0, -800.0, inf, -inf),
    case("i1 at 800", sp.i1, -800.0, -inf, inf),
    case("i0 at inf", np.i0, inf, nan, nan),
    case("i0 of nan", np.i0, nan, nan, nan),
    case("expit at -1000", sp.expit, -1000.0, 0.0, 0.0),
    case("erf at 30", sp.erf, 30.0, 1.0, 0.0),
    case("erfinv at 1", sp.erfinv, 1.0, inf, inf),
    case("gammaln at 0", sp.gammaln, 0.0, inf, nan),
    case("gammaln at -1", sp.gammaln, -1.0, inf, nan),
    case(
        "gammaln near -1",
        sp.gammaln,
        -1 + 2.0**-47,
        32.57791748631743,
        -140737488355327.58,
    ),
    case("logaddexp(1, 1e300)", np.logaddexp, (1.0, 1e300), 1e300, 0.0, 1.0),
    case("gammaln at -.5", sp.gammaln, -0.5, 1.2655121234846454, 0.03648997397857652),
    case("sqrt at -0", np.sqrt, -0.0, 0.0, inf),
    case("log at -0", np.log, -0.0, -inf, inf),
    case("cbrt at 0", np.cbrt, 0.0, 0.0, inf),
    case("cbrt at inf", np.cbrt, inf, inf, 0.0),
    case("x**0 at nan", lambda x: x**0, nan, 1.0, 0.0),
    case("x**3 at 0", lambda x: x**3, 0.0, 0.0, 0.0),
    case("x**1.5 at 0", lambda x: x**1.5, 0.0, 0.0, 0.0),
    case("x**0.3 at 0", lambda x: x**0.3, 0.0, 0.0, inf),
    case("x**0.3 at inf", lambda x: x**0.3, inf, inf, 0.0),
    case("x**-0.5 at 0", lambda x: x**-0.5, 0.0, inf, -inf),
    case("x**-2, small", lambda x: x**-2, 1e-100, 1e200, -2e300),
    case("2**x", lambda x: 2.0**x, 3.0, 8.0, 8 * np.log(2.0)),
    case("0**x at 0", lambda x: 0.0**x, 0.0, 1.0, 0.0),
    case("exp at -inf", np.exp, -inf, 0.0, 0.0),
    case("tanh at inf", np.tanh, inf, 1.0, 0.0),
    case("arctan at -inf", np.arctan, -inf, -np.pi / 2, 0.0),
    case("arctan2(0, -1)", np.arctan2, (0.0, -1.0), np.pi, -1.0, -0.0),
    case("maximum(1, nan)", np.maximum, (1.0, nan), nan, nan, nan),
    case("minimum(-inf, -inf)", np.minimum, (-inf, -inf), -inf, 0.5, 0.5),
    case("fmin(1, nan)", np.fmin, (1.0, nan), 1.0, 1.0, 0.0),
    case("fmax(nan, nan)", np.fmax, (nan, nan), nan, nan, nan),
    case("copysign(0, 1)", np.copysign, (0.0, 1.0), 0.0, 0.0, 0.0),
    case("copysign(-2, 3)", np.copysign, (-2.0, 3.0), 2.0, -1.0, 0.0),
    case("heaviside(0, h)", np.heaviside, (0.0, 0.3), 0.3, 0.0, 1.0),
    case("mod(-5, 3)", np.mod, (-5.0, 3.0), 1.0, 1.0, 2.0),
    case("floor_divide", np.floor_divide, (4.0, 2.0), 2.0, 0.0, 0.0),
    case("modf", lambda x: np.modf(x)[0], -2.5, -0.5, 1.0),
    case("modf at -3", lambda x: np.modf(x)[0], -3.0, -0.0, 1.0),
    case("modf at -0", lambda x: np.modf(x)[0], -0.0, -0.0, 1.0),
    case("modf at -inf", lambda x: np.modf(x)[0], -inf, -0.0, 0.0),
    case("nan_to_num of nan", np.nan_to_num, nan, 0.0, 0.0),
    case("nan_to_num of inf", np.nan_to_num, inf, np.finfo(float).max, 0.0),
    case("select", lambda x: np.select([x > 0], [np.log(x)]), 0.0, 0.0, 0.0),
    case(
        "piecewise",
        lambda x: np.piecewise(x, [x > 0, x < 0], [np.sqrt, np.negative, 0.0]),
        0.0,
        0.0,
        0.0,
    ),
    case("logaddexp2(inf, inf)", np.logaddexp2, (inf, inf), inf, 0.5, 0.5),
    case("logaddexp2(0, -inf)", np.logaddexp2, (0.0, -inf), 0.0, 1.0, 0.0),
    case("log_expit at -1000", sp.log_expit, -1000.0, -1000.0, 1.0),
    case("log_expit at 1000", sp.log_expit, 1000.0, 0.0, 0.0),
    case("logit at 0", sp.logit, 0.0, -inf, inf),
    case("logit at 1", sp.logit, 1.0, inf, inf),
    case("logit at 2", sp.logit, 2.0, nan, nan),
    case("erfinv at 2", sp.erfinv, 2.0, nan, nan),
    case("ndtr at -inf", sp.ndtr, -inf, 0.0, 0.0),
    case("digamma at -1", sp.digamma, -1.0, nan, nan),
    case("digamma at 0", sp.digamma, 0.0, -inf, inf),
    case("xlogy(0, 0) in y", sp.xlogy, (0.0, 0.0), 0.0, 0.0, 0.0),
    case("xlogy(1, 0)", sp.xlogy, (1.0, 0.0), -inf, -inf, inf),
    case("xlogy(1, -1)", sp.xlogy, (1.0, -1.0), nan, nan, nan),
    case("xlog1py(0, -1)", sp.xlog1py, (0.0, -1.0), 0.0, 0.0, 0.0),
    case("entr at 0", sp.entr, 0.0, 0.0, inf),
    case("entr at -1", sp.entr, -1.0, -inf, nan),
    case("rel_entr(0, 1)", sp.rel_entr, (0.0, 1.0), 0.0, -inf, 0.0),
    case("kl_div at a tie", sp.kl_div, (2.0, 2.0), 0.0, 0.0, 0.0),
    case("kl_div(-1, 1)", sp.kl_div, (-1.0, 1.0), inf, nan, nan),
]

# Infinite slopes in what several paths lead to: the slope comes last, in every mode.
SCALARS += [
    case(name, function, 0.0, None, expected)
    for name, function, expected in [
        ("sqrt(v + v²)", lambda v: np.sqrt(v + v * v), inf),
        ("sqrt((v + |v|)/2)", lambda v: np.sqrt((v + np.abs(v)) / 2), inf),
        ("sqrt(v - v |v|)", lambda v: np.sqrt(v - v * np.abs(v)), inf),
        ("log(v + v²)", lambda v: np.log(v + v * v), inf),
        ("log2(v + v²)", lambda v: np.log2(v + v * v), inf),
        ("log1p(v + v² - 1)", lambda v: np.log1p(v + v * v - 1.0), inf),
        ("cbrt(v + v²)", lambda v: np.cbrt(v + v * v), inf),
        ("(v + v²)**.3", lambda v: (v + v * v) ** 0.3, inf),
        ("arcsin(1 + v - v²)", lambda v: np.arcsin(1.0 + v - v * v), inf),
        ("sqrt(v) exp(v)", lambda v: np.sqrt(v * np.exp(v)), inf),
        ("sqrt(sin²)", lambda v: np.sqrt(np.sin(v) * np.sin(v)), nan),
        ("sqrt in a loop", in_a_loop(lambda v: np.sqrt(v + v * v)), inf),
        # The same of what is made of such a slope.
        ("sqrt(v) exp(-sqrt(v))", lambda v: np.sqrt(v) * np.exp(-np.sqrt(v)), inf),
        ("Debye and Hückel", lambda v: -np.sqrt(v) / (1.0 + np.sqrt(v)), -inf),
        ("cbrt(v) cos(cbrt(v))", lambda v: np.cbrt(v) * np.cos(np.cbrt(v)), inf),
        ("v**.3 / (1 + v**.3)", lambda v: v**0.3 / (1.0 + v**0.3), inf),
        ("(1 - sqrt(v)) (1 + sqrt(v))", lambda v: (1.0 - np.sqrt(v)) * (
            1.0 + np.sqrt(v)), nan),
        ("both in a loop", in_a_loop(lambda v: np.sqrt(v) * np.exp(-np.sqrt(v))), inf),
    ]
]  # fmt: skip
SCALARS += [
    case("sqrt(v + v w + w)", lambda v, w: np.sqrt(v + v * w + w), (0.0, 0.0), 0.0,
         inf, inf),
    case("sqrt of twelve", lambda *v: np.sqrt(sum(x + x * x for x in v)), (0.0,) * 12,
         0.0, *[inf] * 12),
    case("log of twelve", lambda *v: np.log(sum(x + x * x for x in v)), (0.0,) * 12,
         -inf, *[inf] * 12),
    case("speed of sound at vacuum",
         lambda e, m, r: np.sqrt(1.4 * (e - m * m / (2 * r)) / r), (0.5, 1.0, 1.0), 0.0,
         inf, -inf, inf),
    case("in five variables",
         lambda e, u, v, w, r: np.sqrt((e - (u * u + v * v + w * w) / (2 * r)) / r),
         (1.5, 1.0, 1.0, 1.0, 1.0), 0.0, inf, -inf, -inf, -inf, inf),
    case("two results of one root",
         lambda v: np.stack([np.sqrt(v), np.sqrt(v) * np.exp(-np.sqrt(v))]), 0.0,
         [0.0, 0.0], [inf, inf]),
    # Exponentials and powers of what overflows: the slope is 0, not 0 ∞.
    case("exp(-exp(-x))", lambda x: np.exp(-np.exp(-x)), -1000.0, 0.0, 0.0),
    case("Gompertz", lambda x, a, b: np.exp(-a / b * np.expm1(b * x)),
         (1e4, 1.0, 2.0), 0.0, 0.0, 0.0, 0.0),
    case("Gumbel", lambda x: np.exp(-x - np.exp(-x)), -1000.0, 0.0, 0.0),
    case("exp(log(x) - exp(x))", lambda x: np.exp(np.log(x) - np.exp(x)), 0.0, 0.0,
         nan),
    case("exp(exp(x))", lambda x: np.exp(np.exp(x)), 1000.0, inf, inf),
    case("1/(1 + exp(-x))", lambda x: 1.0 / (1.0 + np.exp(-x)), -1000.0, 0.0, 0.0),
    case("x/(1 + exp(x))", lambda x: x / (1.0 + np.exp(x)), 1000.0, 0.0, 0.0),
    case("1/(exp(x) - 1)", lambda x: 1.0 / (np.exp(x) - 1.0), 1000.0, 0.0, 0.0),
    case("1/(2 - exp(x))", lambda x: 1.0 / (2.0 - np.exp(x)), 0.0, 1.0, 1.0),
    case("1/exp(x)", lambda x: 1.0 / np.exp(x), 1000.0, 0.0, 0.0),
    case("sech²", lambda x: np.cosh(x) ** -2, -1000.0, 0.0, 0.0),
    case("1/(exp(x) + exp(-x))", lambda x: 1.0 / (np.exp(x) + np.exp(-x)), 800.0, 0.0,
         nan),
    case("1/cosh(x)²", lambda x: 1.0 / np.cosh(x) ** 2, -1000.0, 0.0, 0.0),
    case("1/(x cosh(x))", lambda x: 1.0 / (x * np.cosh(x)), 1000.0, 0.0, 0.0),
    case("1/(2 + cosh(x))", lambda x: 1.0 / (2.0 + np.cosh(x)), 1000.0, 0.0, 0.0),
    case("1/(1 + exp(x)²)", lambda x: 1.0 / (1.0 + np.exp(x) ** 2), 1000.0, 0.0, 0.0),
    case("1/(1 + exp(x))²", lambda x: 1.0 / (1.0 + np.exp(x)) ** 2, 1000.0, 0.0, 0.0),
]  # fmt: skip

# Factors of zero that do not depend on the variable, and those that do.
_samples = np.array([0.0, 1.0])
SCALARS += [
    case("sqrt(0 / p)", lambda p: np.sqrt(0.0 / p), 2.0, 0.0, 0.0),
    case("sqrt(t / p)", lambda t, p: np.sqrt(t / p), (0.0, 2.0), 0.0, inf, 0.0),
    case("sqrt(p t)", lambda p, t: np.sqrt(p * t), (2.0, 0.0), 0.0, 0.0, inf),
    case("sqrt(p t) at 0, 0", lambda p, t: np.sqrt(p * t), (0.0, 0.0), 0.0, 0.0, 0.0),
    case("sqrt((p + q) t)", lambda p, q, t: np.sqrt(p * t + q * t), (2.0, 1.0, 0.0),
         0.0, 0.0, 0.0, inf),
    case("(t / p)**q", lambda t, p, q: (t / p) ** q, (0.0, 2.0, 0.5), 0.0, inf, 0.0,
         0.0),
    case("stretched", lambda t, a, p, q: a * np.exp(-((t / p) ** q)),
         (0.0, 3.0, 2.0, 0.5), 3.0, -inf, 1.0, 0.0, 0.0),
    *[
        case(f"Hill at 0, n = {n}", lambda t, a, k, n: a * t**n / (t**n + k**n),
             (0.0, 3.0, 2.0, n), 0.0, slope, 0.0, 0.0, 0.0)
        for n, slope in ((2.0, 0.0), (1.0, 1.5), (0.5, inf))
    ],
    # Limits that nothing finite is computed of.
    case("Hill, through infinity", lambda t, a, k, n: a / (1.0 + (k / t) ** n),
         (0.0, 3.0, 2.0, 2.0), 0.0, nan, 0.0, nan, nan),
    case("exp(q log(t/p))", lambda t, p, q: np.exp(q * np.log(t / p)),
         (0.0, 2.0, 2.0), 0.0, nan, nan, nan),
    case("log1p((t / p)**.5)", lambda t, p: np.log1p((t / p) ** 0.5), (0.0, 2.0), 0.0,
         inf, 0.0),
    case("arccos(1 - t p)", lambda t, p: np.arccos(1.0 - t * p), (0.0, 2.0), 0.0, inf,
         0.0),
    case("log(a exp(-sqrt(t / p)))",
         lambda t, a, p: np.log(a * np.exp(-np.sqrt(t / p))), (0.0, 3.0, 2.0), None,
         -inf, 1 / 3, 0.0),
    case("log(sqrt(t / p))", lambda t, p: np.log(np.sqrt(t / p)), (0.0, 2.0), -inf, inf,
         nan),
    case("log(t / p)", lambda t, p: np.log(t / p), (0.0, 2.0), -inf, inf, nan),
    case("sqrt(x (x + p))", lambda x, p: np.sqrt(x * (x + p)), (0.0, 0.0), 0.0, nan,
         nan),
    case("sqrt(x t) at t = x", lambda x: np.sqrt(x * np.sin(x)), 0.0, 0.0, nan),
    case("sqrt(p t), scanned", scanned(lambda p, t: np.sqrt(p * t)), (2.0, _samples),
         None, 0.3535533905932738, None),
    case("stretched, scanned", scanned(lambda p, t: np.exp(-((t / p) ** 0.5))),
         (2.0, _samples), None, 0.08716305381908777, None),
    case("the variable, scanned",
         lambda x: scanned(lambda p, t: np.sqrt(p * t))(x, np.stack([x, 1.0])), 0.0,
         0.0, nan),
    case("sqrt(p t), carried",
         lambda p, t: jitad.fori_loop(0, 2, lambda i, c: np.sqrt(p * c), t),
         (2.0, 0.0), 0.0, nan, inf),
    case("sqrt(p t), recomputed",
         lambda p, t: jitad.checkpoint(lambda p, t: np.sqrt(p * t))(p, t),
         (2.0, 0.0), 0.0, 0.0, inf),
]  # fmt: skip

_KNOTS, _VALUES = [0.0, 1.0, 3.0], [0.0, 2.0, 3.0]
SCALARS += [
    case("interp " + name, lambda x: np.interp(x, _KNOTS, _VALUES), *expected)
    for name, *expected in [
        ("at a knot", 1.0, 2.0, 1.25),
        ("at the first", 0.0, 0.0, 1.0),
        ("at the last", 3.0, 3.0, 0.25),
        ("inside", 2.0, 2.5, 0.5),
        ("outside", -1.0, 0.0, 0.0),
        ("at inf", inf, 3.0, 0.0),
        ("at nan", nan, nan, nan),
    ]
]

_A = np.array([[1.0, 2.0], [2.0, 4.0]])

ARRAYS = [
    case("sqrt(sum x²) at 0", root_mean, [0, 0], 0.0, [nan, nan]),
    case("norm at 0", np.linalg.norm, [0, 0], 0.0, [0, 0]),
    case("norm, underflowing", np.linalg.norm, [1e-200, 0], 0.0, [inf, 0]),
    case("norm 1 at [0, 2]", lambda x: np.linalg.norm(x, 1), [0, 2], 2.0, [0, 1]),
    case(
        "norm inf at a tie",
        lambda x: np.linalg.norm(x, np.inf),
        [1, 1],
        1.0,
        [0.5, 0.5],
    ),
    case("max at a tie", np.max, [2, 2, 1], 2.0, [0.5, 0.5, 0]),
    case("max of three equal", np.max, [2, 2, 2], 2.0, [1 / 3, 1 / 3, 1 / 3]),
    case("min at a tie", np.min, [1, 2, 1], 1.0, [0.5, 0, 0.5]),
    case("max, initial", lambda x: np.max(x, initial=2), [2, 1], 2.0, [0.5, 0]),
    case("max of nan", np.max, [nan, 1], nan, [nan, nan]),
    case(
        "sort at a tie",
        np.sort,
        [1, 1, 0],
        [0, 1, 1],
        [[0, 0, 1], [1, 0, 0], [0, 1, 0]],
    ),
    case("sort of -0 and 0", np.sort, [0, -0.0], [0, -0.0], [[1, 0], [0, 1]]),
    case("median of three", np.median, [3, 1, 2], 2.0, [0, 0, 1]),
    case("x[argmax]", lambda x: x[np.argmax(x)], [1, 2, 2], 2.0, [0, 1, 0]),
    case("median", np.median, [1, 1, 2, 2], 1.5, [0, 0.5, 0.5, 0]),
    case("logsumexp", lambda x: np.logaddexp.reduce(x), [-inf, 0], 0.0, [0, 1]),
    case("logsumexp(-inf, 0)", sp.logsumexp, [-inf, 0], 0.0, [0, 1]),
    case("logsumexp(inf, 0)", sp.logsumexp, [inf, 0], inf, [1, 0]),
    case("logsumexp(inf, inf)", sp.logsumexp, [inf, inf], inf, [0.5, 0.5]),
    case("logsumexp(-inf, -inf)", sp.logsumexp, [-inf, -inf], -inf, [0.5, 0.5]),
    case("logsumexp of none", sp.logsumexp, np.zeros(0), -inf, np.zeros(0)),
    case(
        "logsumexp, silenced",
        lambda x: sp.logsumexp(x, b=[0.0, 1.0]),
        [inf, 1],
        1.0,
        [0, 1],
    ),
    case("softmax(1000, 0)", sp.softmax, [1000, 0], [1, 0], [[0, 0], [0, 0]]),
    case(
        "log_softmax(-inf, 0)", sp.log_softmax, [-inf, 0], [-inf, 0], [[1, -1], [0, 0]]
    ),
    case("prod with a 0", np.prod, [0, 2, 3], 0.0, [6, 0, 0]),
    case("prod with two", np.prod, [0, 0, 3], 0.0, [0, 0, 0]),
    case("cumprod with a 0", np.cumprod, [0, 2], [0, 0], [[1, 0], [2, 0]]),
    case("var of one", np.var, [1], 0.0, [0]),
    case("std of equals", np.std, [1, 1], 0.0, [0, 0]),
    case("var, none free", lambda x: np.var(x, ddof=2), [1, 2], inf, [nan, nan]),
    case("std, none free", lambda x: np.std(x, ddof=3), [1, 2, 4], inf, [nan] * 3),
    case("std of one, none free", lambda x: np.std(x, ddof=1), [1], nan, [nan]),
    case(
        "var, masked, none free",
        lambda x: np.var(x, ddof=2, where=x > 0),
        [1, 2, -1],
        inf,
        [nan, nan, 0],
    ),
    case("mean of none", np.mean, np.zeros(0), nan, np.zeros(0)),
    case("sum of none", np.sum, np.zeros(0), 0.0, np.zeros(0)),
    case("nansum", np.nansum, [nan, 2], 2.0, [0, 1]),
    case("prod of none", np.prod, np.zeros(0), 1.0, np.zeros(0)),
    case(
        "exp of none", np.exp, np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3) * 2)
    ),
    case(
        "gather twice", lambda x: np.sum(x[np.array([0, 0])]), [3, 4, 5], 6.0, [2, 0, 0]
    ),
    case("det, singular", np.linalg.det, _A, 0.0, [[4, -2], [-2, 1]]),
    case(
        "slogdet, singular",
        lambda a: np.linalg.slogdet(a)[1],
        _A,
        -inf,
        np.full((2, 2), nan),
    ),
]

_NONE = np.full((2, 2), nan)

FACTORIZATIONS = [
    case("det at zero", np.linalg.det, np.zeros((3, 3)), 0.0, np.zeros((3, 3))),
    case("det, pivot", np.linalg.det, [[0, 1], [1, 0]], -1.0, [[0, -1], [-1, 0]]),
    case("sign of det", lambda a: np.linalg.slogdet(a)[0], _A, 0.0, np.zeros((2, 2))),
    case("inv, singular", np.linalg.inv, _A, _NONE, np.full((2, 2) * 2, nan)),
    case("inv of 0", np.linalg.inv, 0 * _A, _NONE, np.full((2, 2) * 2, nan)),
    case(
        "solve, singular",
        np.linalg.solve,
        (_A, np.ones(2)),
        [nan, nan],
        np.full((2, 2, 2), nan),
        _NONE,
    ),
    case(
        "cholesky, semidefinite",
        lambda a: np.linalg.cholesky(a)[1, 0],
        _A,
        nan,
        [[nan, 0], [nan, 0]],
    ),
    case(
        "sum of equal eigenvalues",
        lambda a: np.sum(np.linalg.eigvalsh(a)),
        np.eye(3),
        3.0,
        np.eye(3),
    ),
    case(
        "vectors of equal eigenvalues",
        lambda a: np.linalg.eigh(a)[1][0],
        np.eye(2),
        [1, 0],
        [[[nan, 0], [nan, nan]]] * 2,
    ),
]

# Where NumPy raises LinAlgError a point does too, and a batch is NaN there.
RAISING = {"inv, singular", "inv of 0", "solve, singular", "cholesky, semidefinite"}

CASES = SCALARS + ARRAYS + FACTORIZATIONS

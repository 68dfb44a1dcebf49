"""Second derivatives at the ends of domains, and where formulas overflow: S4 and S6.

Values by hand or by mpmath; limits at an end of a domain are those from inside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

import jitad
from tests.cases.second_case import Case, case, inf, nan

ZERO = np.zeros((2, 2))
# exp(-400), and logistic functions of moderate numbers.
TINY = 1.9151695967140057e-174
BELL = 0.19661193324148185


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def at_times(f: Any) -> Any:
    """Σ f(t, p …) over samples, the first at t = 0."""
    return lambda *p: np.sum(f(np.array([0.0, 1.0]), *p))


def in_a_scan(f: Any) -> Any:
    """The same, sample after sample."""

    def total(*p: Any) -> Any:
        times = np.array([0.0, 1.0])
        return jitad.scan(lambda c, t: (c + f(t, *p), None), 0.0, times)[0]

    return total


OVERFLOWING = [
    case("logaddexp(1e4, 0)", np.logaddexp, (1e4, 0.0), ZERO),
    case("logaddexp(inf, 0)", np.logaddexp, (inf, 0.0), ZERO),
    case("logaddexp(-inf, 0)", np.logaddexp, (-inf, 0.0), ZERO),
    case("logaddexp", np.logaddexp, (1.0, 2.0), [[BELL, -BELL], [-BELL, BELL]]),
    case("softplus at -800", lambda x: np.logaddexp(0.0, x), -800.0, 0.0),
    case("softplus, written out", lambda x: np.log(1.0 + np.exp(x)), -800.0, 0.0),
    case("softplus by log1p", lambda x: np.log1p(np.exp(x)), -800.0, 0.0),
    case("logsumexp", sp.logsumexp, [40.0, 0.0], np.array([[1, -1], [-1, 1]])
         * 4.248354255291589e-18),
    case("logsumexp of nine", sp.logsumexp, [0.0] * 9, np.eye(9) / 9 - 1 / 81, 8),
    case("logsumexp of nine, one infinite", sp.logsumexp, [inf] + [0.0] * 8,
         np.zeros((9, 9))),
    case("sigmoid at -1000", sigmoid, -1000.0, 0.0),
    case("sigmoid at -400", sigmoid, -400.0, TINY),
    case("sigmoid at 1000", sigmoid, 1000.0, 0.0),
    case("its square", lambda x: (1.0 + np.exp(-x)) ** -2, -1000.0, 0.0),
    case("its root", lambda x: (1.0 + 3.0 * np.exp(-x)) ** -0.5, -1000.0, 0.0),
    case("Richards", lambda x: (1.0 + np.exp(-x)) ** -0.7, -1000.0, 0.0),
    case("Fermi and Dirac", lambda x: 1.0 / (np.exp(x) + 1.0), 1000.0, 0.0),
    case("Planck", lambda x: x**3 / (np.exp(x) - 1.0), 1000.0, 0.0),
    case("Planck by expm1", lambda x: x**3 / np.expm1(x), 1000.0, 0.0),
    case("exp(-exp(-x))", lambda x: np.exp(-np.exp(-x)), -1000.0, 0.0),
    case("Gumbel", lambda x: np.exp(-x - np.exp(-x)), -1000.0, 0.0),
    case("1 / exp", lambda x: 1.0 / np.exp(x), 1000.0, 0.0),
    case("sech", lambda x: 1.0 / np.cosh(x), -1000.0, 0.0),
    case("sech²", lambda x: np.cosh(x) ** -2, -1000.0, 0.0),
    case("expit at -1000", sp.expit, -1000.0, 0.0),
    case("x / x²", lambda x: x / (x * x), 1e-90, 2e270),
    case("x / x², infinite", lambda x: x / (x * x), 1e-170, inf),
    case("arctan2, tiny", np.arctan2, (1e-200, 1e-200), [[-inf, 0.0], [0.0, inf]]),
    case("arctan2, small", np.arctan2, (1e-150, 1e-150),
         [[-5e299, 0.0], [0.0, 5e299]]),
    case("arctan2", np.arctan2, (1.0, 2.0), [[-0.16, -0.12], [-0.12, 0.16]]),
    case("arctan2(x, 1) at inf", lambda x: np.arctan2(x, 1.0), inf, 0.0),
    case("arctan2(1, x) at -inf", lambda x: np.arctan2(1.0, x), -inf, 0.0),
    case("arctan at inf", np.arctan, inf, 0.0),
    case("arctan, huge", np.arctan, 1e100, -2e-300),
    case("arccosh, huge", np.arccosh, 1e100, -1e-200, 8),
    case("arcsinh, huge", np.arcsinh, 1e100, -1e-200),
    case("hypot, huge", np.hypot, (3e200, 4e200),
         np.array([[16, -12], [-12, 9]]) / 125e200),
    case("hypot, uneven", np.hypot, (1e-30, 1.0), [[1.0, -1e-30], [-1e-30, 1e-60]]),
    case("norm, uneven", np.linalg.norm, [1e-30, 1.0],
         [[1.0, -1e-30], [-1e-30, 1e-60]]),
    case("norm of nine", np.linalg.norm, [2.0] * 9, (np.eye(9) - 1 / 9) / 6, 8),
    case("norm² of nine at 0", lambda v: np.linalg.norm(v) ** 2, [0.0] * 9,
         2 * np.eye(9)),
    case("norm of nine at 0", np.linalg.norm, [0.0] * 9, np.full((9, 9), nan)),
    case("sinc at 0", np.sinc, 0.0, -3.2898681336964526),
    case("sinc near 0", np.sinc, 1e-8, -3.2898681336964526),
    case("tanh at 20", np.tanh, 20.0, -3.398683404233271e-17),
    case("expm1 at -50", np.expm1, -50.0, 1.9287498479639178e-22),
]  # fmt: skip

ENDS = [
    case("arcsin at 1", np.arcsin, 1.0, inf),
    case("arcsin at -1", np.arcsin, -1.0, -inf),
    case("arccos at 1", np.arccos, 1.0, -inf),
    case("arccos at -1", np.arccos, -1.0, inf),
    case("arctanh at 1", np.arctanh, 1.0, inf),
    case("arctanh at -1", np.arctanh, -1.0, -inf),
    case("arccosh at 1", np.arccosh, 1.0, -inf),
    case("arcsin outside", np.arcsin, 1.5, nan),
    case("erfinv at 1", sp.erfinv, 1.0, inf),
    case("erfinv at -1", sp.erfinv, -1.0, -inf),
    case("logit at 0", sp.logit, 0.0, -inf),
    case("logit at 1", sp.logit, 1.0, inf),
    case("log at 0", np.log, 0.0, -inf),
    case("log1p at -1", np.log1p, -1.0, -inf),
    case("sqrt at 0", np.sqrt, 0.0, -inf),
    case("cbrt at 0", np.cbrt, 0.0, -inf),
    case("entr at 0", sp.entr, 0.0, -inf),
    case("x log x at 0", lambda x: x * np.log(x), 0.0, inf),
    case("x log x", lambda x: x * np.log(x), 2.0, 0.5),
    case("xlogy(x, x) at 0", lambda x: sp.xlogy(x, x), 0.0, inf),
    case("digamma at 0", sp.digamma, 0.0, -inf),
    case("gammaln, tiny", sp.gammaln, 1e-100, 1e200),
    *[
        case(f"x**{p:g} at 0", lambda x, p=p: x**p, 0.0, expected)
        for p, expected in [
            (0.3, -inf), (0.5, -inf), (1.0, 0.0), (1.3, inf), (1.5, inf), (2.0, 2.0),
            (2.3, 0.0), (2.5, 0.0), (3.0, 0.0), (-0.3, inf), (-0.5, inf), (-1.0, inf),
            (-2.0, inf), (-2.2, inf), (0.0, 0.0),
        ]
    ],
    *[
        case(f"pow(0, {p:g})", np.power, (0.0, p), expected)
        for p, expected in [
            (0.0, [[0, inf], [inf, inf]]), (0.5, [[-inf, -inf], [-inf, 0]]),
            (1.0, [[0, -inf], [-inf, 0]]), (1.5, [[inf, 0], [0, 0]]),
            (2.0, [[2, 0], [0, 0]]), (3.0, [[0, 0], [0, 0]]),
            (-1.0, [[inf, inf], [inf, inf]]),
        ]
    ],
]  # fmt: skip

# Of what is 0 at t = 0 whatever p is, so that the sample there adds nothing.
_IN_P, _IN_Q = -0.04996389375821460, -0.04906283821400725
ZERO_FACTORS = [
    case("sqrt(0 / p)", lambda p: np.sqrt(0.0 / p), 2.0, 0.0),
    case("sqrt(p t)", at_times(lambda t, p: np.sqrt(p * t)), 2.0, -0.08838834764831844),
    case("sqrt(t / p)", at_times(lambda t, p: np.sqrt(t / p)), 2.0, 0.1325825214724777),
    case("stretched", at_times(lambda t, p: np.exp(-((t / p) ** 0.5))), 2.0, _IN_P, 8),
    case("in q", at_times(lambda t, q: np.exp(-((t / 2.0) ** q))), 0.5, _IN_Q, 8),
    case("scanned", in_a_scan(lambda t, p: np.exp(-((t / p) ** 0.5))), 2.0, _IN_P, 8),
    case("scanned, in q", in_a_scan(lambda t, q: np.exp(-((t / 2.0) ** q))), 0.5,
         _IN_Q, 8),
    case("log1p of a root", at_times(lambda t, p: np.log1p((t / p) ** 0.5)), 2.0,
         0.0669417382415922, 8),
]  # fmt: skip

# The same where t is a variable, too: a zero factor that grows with it.
_DOWN, _UP = [[-inf, -inf], [-inf, 0.0]], [[-inf, inf], [inf, 0.0]]
IN_BOTH = [
    case("sqrt(t/p) in both", lambda t, p: np.sqrt(t / p), (0.0, 2.0), _DOWN),
    case("sqrt(tp) in both", lambda t, p: np.sqrt(t * p), (0.0, 2.0), _UP),
    case("sqrt(ptp) in both", lambda t, p: np.sqrt(p * t * p), (0.0, 2.0), _UP),
    case("cbrt in both", lambda t, p: np.cbrt(t * p), (0.0, 2.0), _UP),
    case("power in both", lambda t, p: (t * p) ** 0.3, (0.0, 2.0), _UP),
    case("arccos in both", lambda t, p: np.arccos(1.0 - p * t), (0.0, 2.0), _UP),
    case("log1p in both", lambda t, p: np.log1p((t / p) ** 0.5), (0.0, 2.0), _DOWN),
    case("stretched in both", lambda t, p: np.exp(-np.sqrt(t / p)), (0.0, 2.0),
         [[inf, inf], [inf, 0.0]]),
    case("roots of roots", lambda t, p: np.sqrt(np.sqrt(t * p) * p), (0.0, 2.0), _UP),
    case("power of all", lambda p, t, q: (t / p) ** q, (2.0, 0.0, 0.5),
         [[0.0, -inf, 0.0], [-inf, -inf, -inf], [0.0, -inf, 0.0]]),
    case("first power of all", lambda t, p, q: (t / p) ** q, (0.0, 2.0, 1.0),
         [[0.0, -0.25, -inf], [-0.25, 0.0, 0.0], [-inf, 0.0, 0.0]]),
    case("third halves of all", lambda t, p, q: (t / p) ** q, (0.0, 2.0, 1.5),
         [[inf, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
    case("exponential of all", lambda t, p, q: np.exp(-((t / p) ** q)),
         (0.0, 2.0, 1.0), [[0.25, 0.25, inf], [0.25, 0.0, 0.0], [inf, 0.0, 0.0]]),
]  # fmt: skip

# Infinite slopes that others are multiplied with, on paths that meet.
_SIGNS = np.array([1.0, -1.0, 1.0])
MADE_OF_SLOPES = [
    case("sqrt(x) exp(-sqrt(x))", lambda x: np.sqrt(x) * np.exp(-np.sqrt(x)), 0.0,
         -inf),
    case("Debye and Hückel", lambda x: -0.5 * np.sqrt(x) / (1.0 + np.sqrt(x)), 0.0,
         inf),
    case("x**.3 / (1 + x**.3)", lambda x: x**0.3 / (1.0 + x**0.3), 0.0, -inf),
    case("speed of sound at vacuum",
         lambda e, m, r: np.sqrt(1.4 * (e - m * m / (2 * r)) / r), (0.5, 1.0, 1.0),
         -inf * np.outer(_SIGNS, _SIGNS)),
]  # fmt: skip

# Of many variables, where entries on the diagonal are ∞ - ∞ term by term: what is
# infinite itself, as a logarithm, keeps their NaN.
_DOWNWARDS = np.full((12, 12), -inf)
_APART = np.where(np.eye(12), nan, -inf)
MADE_OF_SLOPES += [
    case("sqrt of twelve", lambda v: np.sqrt(np.sum(v + v * v)), [0.0] * 12,
         _DOWNWARDS),
    case("log of twelve", lambda v: np.log(np.sum(v + v * v)), [0.0] * 12, _APART),
    case("log2 of three", lambda v: np.log2(np.sum(v + v * v)), [0.0] * 3,
         _APART[:3, :3]),
]  # fmt: skip

# A norm times what is 0 at this point, and times what is 0 to second order.
_NOWHERE = np.full((2, 2), nan)
TIMES_A_NORM = [
    case("x norm", lambda v: np.linalg.norm(v) * v[0], [0.0, 0.0], _NOWHERE),
    case("x sqrt(x² + y²)", lambda v: np.sqrt(v[0] ** 2 + v[1] ** 2) * v[0], [0.0, 0.0],
         _NOWHERE),
    case("sin(x) tanh(hypot)", lambda v: np.tanh(np.hypot(v[0], v[1])) * np.sin(v[0]),
         [0.0, 0.0], _NOWHERE),
    case("x y norm", lambda v: np.linalg.norm(v) * v[0] * v[1], [0.0, 0.0], ZERO),
    case("x cos(norm) + norm²", lambda v: np.cos(np.linalg.norm(v)) * v[0]
         + np.linalg.norm(v) ** 2, [0.0, 0.0], 2 * np.eye(2)),
]  # fmt: skip

EYE = np.eye(2)
SPECTRA = [
    case("sum of equal eigenvalues", lambda a: np.sum(np.linalg.eigvalsh(a)), EYE,
         np.zeros((4, 4))),
    case("their mean, and more",
         lambda a: a[0, 0] ** 2 - np.mean(np.linalg.eigh(a).eigenvalues), EYE,
         np.diag([2.0, 0.0, 0.0, 0.0])),
    case("sum of squares of equal ones", lambda a: np.sum(np.linalg.eigvalsh(a) ** 2),
         EYE, np.diag([2.0, 0.0, 4.0, 2.0])),
    case("their mean square and mean, among others",
         lambda a: np.mean(np.linalg.eigvalsh(a) ** 2 - 3.0 * np.linalg.eigvalsh(a))
         + a[0, 1] ** 3, np.diag([1.0, 1.0, 2.0]),
         np.diag([2.0, 0.0, 0.0, 4.0, 2.0, 0.0, 4.0, 4.0, 2.0]) / 3.0),
    case("a symmetric function of equal ones",
         lambda a: np.sum(np.exp(np.linalg.eigvalsh(a))), EYE,
         np.where(np.outer([1, 0, 1, 1], [1, 0, 1, 1]), nan, 0.0)),
]  # fmt: skip

LIMITS: list[Case] = [
    *OVERFLOWING,
    *ENDS,
    *ZERO_FACTORS,
    *IN_BOTH,
    *MADE_OF_SLOPES,
    *TIMES_A_NORM,
    *SPECTRA,
]

"""Values of scalar functions against mpmath: within 4 ulp, on every back end.

Points are the primitive's own and numbers of all sizes, near zeros, poles and ±1.
Results below the smallest normal number may be off by that number; results within
4 ulp of the largest number, or beyond it, may be infinite.  Where no real value is
right, the value and every partial are NaN.  `DEVIATIONS` and `RANGES` hold what is less
accurate, why, and the bound that it keeps.  Partials are tested in `test_accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import mpmath
import numpy as np
import pytest
import scipy.special

import jitad
from jitad.ir.bind import bind
from jitad.ir.primitive import registry

DTYPES = tuple(np.dtype(t) for t in ("f8", "f4"))
BACKENDS = ("cpu", "numpy")
ULPS = 4.0

# Enough for 1 + 1e-300; for remainders of 1e300 by 1e-300; for sums of series.
M, LONG, SHORT = (mpmath.mp.clone() for _ in range(3))
M.prec, LONG.prec, SHORT.prec = 1150, 2200, 320

Formula = Callable[..., Any]

# -- exact values --------------------------------------------------------------


def _root(x: Any) -> Any:
    return M.nan if x < 0 else M.sqrt(x)


def _log(x: Any) -> Any:
    return M.nan if x < 0 else M.log(x)


def _log1p(x: Any) -> Any:
    return M.nan if x < -1 else M.log1p(x)


def _power(x: Any, p: Any) -> Any:
    return M.nan if x < 0 and not M.isint(p) else M.power(x, p)


def _to_the(p: float) -> Formula:
    return lambda x: _power(x, M.mpf(p))


def _truncated(x: Any) -> Any:
    return LONG.floor(x) if x > 0 else LONG.ceil(x)


def _remainder(whole: Formula) -> Formula:
    def formula(a: Any, b: Any) -> Any:
        a, b = LONG.mpf(a), LONG.mpf(b)
        return M.nan if b == 0 else a - b * whole(a / b)

    return formula


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + M.exp(-x))


# Of the gamma function, by reflection: mpmath takes many steps at negative numbers.


def _loggamma(x: Any) -> Any:
    if x > 0:
        return SHORT.loggamma(SHORT.mpf(x))
    return M.log(M.pi / abs(M.sinpi(x))) - SHORT.loggamma(SHORT.mpf(1 - x))


def _digamma(x: Any) -> Any:
    if x > 0:
        return SHORT.digamma(SHORT.mpf(x))
    return SHORT.digamma(SHORT.mpf(1 - x)) - M.pi * M.cospi(x) / M.sinpi(x)


def _relative(x: Any, y: Any, rest: Any) -> Any:
    return x * M.log(x / y) + rest if x > 0 and y > 0 else None


EXACT: dict[str, Formula] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "gap": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: LONG.mpf(a) * b + c,
    "abs": abs,
    "sqrt": _root,
    "cbrt": lambda x: M.sign(x) * M.cbrt(abs(x)),
    "pow": _power,
    **{f"pow{p:g}": _to_the(p) for p in (3, 4, 5, 6, 1.5, 2.5, -0.5, -1.5, -2, -3, -4)},
    "exp": M.exp,
    "exp2": lambda x: M.power(2, x),
    "expm1": M.expm1,
    "log": _log,
    "log2": lambda x: _log(x) / M.ln2,
    "log10": lambda x: _log(x) / M.ln10,
    "log1p": _log1p,
    "sin": M.sin,
    "cos": M.cos,
    "tan": M.tan,
    "arcsin": M.asin,
    "arccos": M.acos,
    "arctan": M.atan,
    "arctan2": M.atan2,
    "hypot": lambda a, b: M.sqrt(a * a + b * b),
    "norm_of": lambda *xs: M.sqrt(sum(x * x for x in xs)),
    "sinh": M.sinh,
    "cosh": M.cosh,
    "tanh": M.tanh,
    "arcsinh": M.asinh,
    "arccosh": lambda x: M.nan if x < 1 else M.acosh(x),
    "arctanh": lambda x: M.nan if abs(x) > 1 else M.atanh(x),
    "sinc": lambda x: M.sinpi(x) / (M.pi * x) if x else M.mpf(1),
    "deg2rad": lambda x: x * M.pi / 180,
    "rad2deg": lambda x: x * 180 / M.pi,
    "floor": M.floor,
    "ceil": M.ceil,
    "trunc": _truncated,
    "rint": M.nint,
    "sign": M.sign,
    "copysign": lambda a, b: abs(a) if b >= 0 else -abs(a),
    "heaviside": lambda x, h: M.mpf(x > 0) if x else h,
    "fmod": _remainder(_truncated),
    "mod": _remainder(LONG.floor),
    "floor_divide": lambda a, b: M.floor(a / b),
    "maximum": max,
    "minimum": min,
    "fmax": max,
    "fmin": min,
    "max_of": max,
    "min_of": min,
    "logaddexp": lambda a, b: max(a, b) + M.log1p(M.exp(-abs(a - b))),
    "logaddexp2": lambda a, b: max(a, b) + M.log1p(M.power(2, -abs(a - b))) / M.ln2,
    "logsumexp_of": lambda *xs: M.log(sum(M.exp(x - max(xs)) for x in xs)) + max(xs),
    "erf": lambda x: SHORT.erf(SHORT.mpf(x)),
    "erfc": lambda x: SHORT.erfc(SHORT.mpf(x)),
    "erfinv": lambda x: M.nan if abs(x) > 1 else SHORT.erfinv(SHORT.mpf(x)),
    "exprel": lambda x: M.expm1(x) / x if x else M.mpf(1),
    "i0": lambda x: SHORT.besseli(0, SHORT.mpf(x)) if abs(x) < 2000 else None,
    "i1": lambda x: SHORT.besseli(1, SHORT.mpf(x)) if abs(x) < 2000 else None,
    "ndtr": lambda x: SHORT.erfc(-SHORT.mpf(x) / SHORT.sqrt(2)) / 2,
    "gammaln": _loggamma,
    "digamma": _digamma,
    "zeta": lambda s, x: SHORT.zeta(SHORT.mpf(s), SHORT.mpf(x)),
    "expit": _sigmoid,
    "log_expit": lambda x: -M.log1p(M.exp(-x)),
    "logit": lambda x: M.nan if x < 0 or x > 1 else M.log(x) - M.log(1 - x),
    "bell": lambda x: 1 / (M.exp(x / 2) + M.exp(-x / 2)) ** 2,
    "gauss": lambda x: M.exp(-x * x),
    "gauss_half": lambda x: M.exp(-x * x / 2),
    "xlogy": lambda x, y: x * _log(y) if x else M.mpf(0),
    "xlog1py": lambda x, y: x * _log1p(y) if x else M.mpf(0),
    "entr": lambda x: -x * M.log(x) if x > 0 else (None if x else M.mpf(0)),
    "log_ratio": lambda x, y: M.log(x / y),
    "rel_entr": lambda x, y: _relative(x, y, 0),
    "kl_div": lambda x, y: _relative(x, y, y - x),
}

# Functions made of primitives, of one operand.
MADE = {
    "digamma": scipy.special.digamma,
    "deg2rad": np.deg2rad,
    "rad2deg": np.rad2deg,
}
# mpmath takes its time for these.
SLOW = {"erf", "erfc", "erfinv", "ndtr", "gammaln", "digamma", "zeta"}
# The value is an operand, a condition, or a matter of bits: NumPy's, exactly.
ELSEWHERE = {
    "cast", "neg", "select", "gate", "stop_gradient", "undefined_where", "line",
    "gap_error", "spacing", "nextafter", "signbit", "isfinite", "isnan", "isinf",
    "and", "or", "xor", "not", "lt", "le", "gt", "ge", "eq", "ne",
    "left_shift", "right_shift", "argmax_of", "argmin_of",
    "integer_mod", "integer_floor_divide", "ahead", "either", "settled", "nonzero",
    "line_or_corner", "factor_gate", "factor_mul", "squares",
}  # fmt: skip


class Deviation(NamedTuple):
    """An absolute error that is allowed beside 4 ulp: bound(eps, exact, *operands)."""

    bound: Callable[..., float]
    reason: str
    backends: tuple[str, ...] = BACKENDS


_NEAR_ONE = Deviation(
    lambda eps, y, *x: 4 * eps * max(1, *map(abs, x)),
    "the largest operand and the logarithm cancel where the sum is near 1",
)
_TAIL = Deviation(
    lambda eps, y, x: eps * y * (4 + x * x),
    "SciPy's own far in the tail, which the interpreter calls",
    ("numpy",),
)
DEVIATIONS = {
    "logaddexp": _NEAR_ONE,
    "logaddexp2": _NEAR_ONE,
    "logsumexp_of": _NEAR_ONE,
    "sinc": Deviation(lambda eps, y, x: 2 * eps, "NumPy's sine of a rounded πx"),
    "digamma": Deviation(
        lambda eps, y, x: 16 * eps * (x < 0),
        "SciPy's own near its negative zeros, but the first",
    ),
    "kl_div": Deviation(
        lambda eps, y, a, b: 4 * eps * max(a, b) * (1 + abs(np.log(a / b))),
        "as SciPy's, a sum of terms that cancel where the operands are close",
    ),
    "i1": Deviation(lambda eps, y, x: 4 * eps * abs(y), "SciPy's own below 8"),
    "erfc": _TAIL,
    "ndtr": _TAIL,
    "gammaln": Deviation(
        lambda eps, y, x: 4 * eps,
        "SciPy's own near its zeros, which the interpreter calls",
        ("numpy",),
    ),
}

# Where the bound holds at all.
RANGES: dict[str, Callable[..., Any]] = {
    # As NumPy's, it squares: beyond, it is infinite or zero.
    "norm_of": lambda info, *x: (
        (np.max(np.abs(x), 0) < np.sqrt(float(info.max)) / 2)
        & (np.max(np.abs(x), 0) > np.sqrt(float(info.tiny) / float(info.eps)))
    ),
    # Dekker's product, the interpreter's, overflows beyond and loses digits below.
    "fma": lambda info, *x: np.all(
        (np.abs(x) < float(info.max) ** 0.4) & (np.abs(x) > float(info.tiny) ** 0.4), 0
    ),
    "log_ratio": lambda info, x, y: (x > 0) & (y > 0),
    # SciPy's divides, even where the quotient overflows.
    "kl_div": lambda info, x, y: np.abs(x) < np.abs(y) * float(info.max),
    "zeta": lambda info, s, x: (s > 1) & (s < 40) & (x > 1e-3) & (x < 1e3),
}

# -- points --------------------------------------------------------------------


def points(name: str, dtype: np.dtype) -> np.ndarray:
    """Operands to test at, a row for each operand."""
    arity = _arity(name)
    own = () if name in MADE else registry.primitives[name].points
    given = np.array([p for p in own if len(p) == arity], float).reshape(-1, arity).T
    made = _singles(dtype, name in SLOW)
    more = made[None] if arity == 1 else _tuples(made, arity)
    with np.errstate(all="ignore"):
        rows = np.concatenate([given, more], axis=1).astype(dtype)
        kept = np.isfinite(rows).all(0)
        if name in RANGES:
            kept &= RANGES[name](np.finfo(dtype), *rows.astype(float))
    return rows[:, kept]


def _arity(name: str) -> int:
    return 1 if name in MADE else len(registry.primitives[name].points[0])


@cache
def _singles(dtype: np.dtype, few: bool) -> np.ndarray:
    """Zero, and positive and negative numbers of many kinds."""
    rng = np.random.default_rng(3)
    largest = 300 if dtype == np.float64 else 37
    count = 16 if few else 32
    sizes = 10.0 ** np.linspace(-largest, largest, count) * rng.uniform(1, 2, count)
    middle = np.exp(rng.uniform(-6, 6.5, count))
    near = 2.0 ** -np.arange(2.0, 50 if dtype == np.float64 else 22, 9 if few else 4)
    ones = np.concatenate([1 + near, 1 - near])
    whole = np.arange(0.5, 12, 2.5 if few else 0.5)
    quarters = np.pi / 2 * np.arange(1, 9, 3 if few else 1)
    # The zero of digamma, and where entr is largest.
    zeros = np.array([1.4616321449683623, 0.36787944117144233])
    positive = np.concatenate([sizes, middle, ones, whole, quarters, zeros])
    return np.concatenate([[0.0], positive, -positive])


def _tuples(made: np.ndarray, arity: int) -> np.ndarray:
    """Unrelated numbers, equal ones, nearly equal ones, and those of middle size."""
    rng = np.random.default_rng(4)
    unrelated = np.stack([rng.permutation(made) for _ in range(arity)])
    equal = np.stack([made[:20]] * arity)
    close = equal * (1 + rng.normal(size=equal.shape) * 2.0**-20)
    middle = np.exp(rng.uniform(-3, 3, (arity, 60))) * rng.choice([-1, 1], (arity, 60))
    shifted = rng.uniform(-800, 800, 40) + rng.normal(size=(arity, 40)) * 9
    return np.concatenate([unrelated, equal, close, middle, shifted], axis=1)


# -- comparison ----------------------------------------------------------------


def evaluate(formula: Formula, operands: Sequence[float]) -> Any:
    """A number, NaN where no real number is right, None at a pole."""
    try:
        value = formula(*[M.mpf(x) for x in operands])
    except (ZeroDivisionError, ValueError, OverflowError):
        return None
    if isinstance(value, M.mpc | SHORT.mpc):
        return M.nan
    if value is None or M.isinf(value):
        return None
    return M.mpf(value)


@cache
def exact_values(name: str, dtype: np.dtype) -> list[Any]:
    columns = points(name, dtype).astype(float).T.tolist()
    return [evaluate(EXACT[name], x) for x in columns]


def computed(name: str, dtype: np.dtype, backend: Any) -> list[np.ndarray]:
    """The value and every partial at all points at once."""
    arity = _arity(name)

    def f(*x: Any) -> Any:
        if name in MADE:
            return MADE[name](*x)
        return bind(registry.primitives[name], x, [None] * arity, dtype)

    unknown = () if name in MADE else registry.primitives[name].unknown
    every = tuple([k for k in range(arity) if k not in unknown])

    def both(*x: Any) -> Any:
        return f(*x), *jitad.jacobian(f, argnums=every)(*x)

    return list(jitad.vmap(both, backend=backend)(*points(name, dtype)))


def within(got: float, exact: Any, dtype: np.dtype, allowed: float = 0.0) -> bool:
    """Whether a result is right by the rules of this module."""
    info = np.finfo(dtype)
    largest, tiny, eps = (float(v) for v in (info.max, info.tiny, info.eps))
    if M.isnan(exact):
        return bool(np.isnan(got))
    if abs(exact) > largest * (1 - ULPS * eps):
        beyond = abs(got) >= largest * (1 - 2 * ULPS * eps)
        return bool(beyond and (got > 0) == (exact > 0))
    if not np.isfinite(got):
        return False
    bound = tiny
    if abs(exact) >= tiny:
        bound = ULPS * M.ldexp(1, M.frexp(exact)[1] - 1 - info.nmant)
    return bool(abs(M.mpf(got) - exact) <= max(bound, allowed))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_values(name: str, dtype: np.dtype, backend: Any) -> None:
    columns = points(name, dtype).astype(float).T
    eps = float(np.finfo(dtype).eps)
    deviation = DEVIATIONS.get(name)
    value, *partials = computed(name, dtype, backend)
    assert value.dtype == dtype
    seen, wrong = 0, []
    for k, exact in enumerate(exact_values(name, dtype)):
        if exact is None:
            continue
        x, allowed = columns[k], 0.0
        if deviation is not None and backend in deviation.backends:
            with np.errstate(all="ignore"):
                allowed = float(deviation.bound(eps, float(exact), *x))
        right = within(float(value[k]), exact, dtype, allowed)
        if M.isnan(exact):
            right &= all(np.isnan(p[k]) for p in partials)
        if not right:
            got = [value[k], *(p[k] for p in partials)] if M.isnan(exact) else value[k]
            wrong.append(f"at {x}: got {got!r}, expected {M.nstr(exact, 20)}")
        seen += bool(M.isfinite(exact))
    assert not wrong, f"{name}, {len(wrong)} points: {wrong[:5]}"
    assert seen >= 5, f"{name}: nothing was tested"


def test_every_primitive_is_here() -> None:
    """A new scalar function needs points, and its formula in the table above."""
    names = {p.name for p in registry.primitives.values() if p.kind == "elementwise"}
    assert names == (EXACT.keys() - MADE.keys() | {"digamma"}) | ELSEWHERE
    assert all(registry.primitives[n].points for n in names - ELSEWHERE)


def test_the_check_catches_errors() -> None:
    f8, third = DTYPES[0], M.mpf(1) / 3
    assert within(1 / 3, third, f8)
    assert not within(1 / 3 * (1 + 2**-49), third, f8)
    assert not within(np.nan, third, f8)
    assert not within(np.inf, third, f8)
    assert within(0.0, M.mpf("1e-320"), f8)
    assert not within(0.0, M.mpf("1e-300"), f8)
    assert within(np.inf, M.mpf("1e309"), f8)
    assert not within(-np.inf, M.mpf("1e309"), f8)
    assert not within(0.0, M.nan, f8)

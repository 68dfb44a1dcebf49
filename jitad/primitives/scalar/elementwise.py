"""Selection, arithmetic, comparisons and logic.

Every entry is the whole of a primitive.  Partials are written once, in plain NumPy;
`gate` marks a factor that is exactly zero on the untaken side of a branch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.bind import bind, cast, promote, representative
from jitad.ir.dispatch import operand
from jitad.ir.primitive import Steep, registry
from jitad.ir.resolve import loop_dtypes
from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer, as_tracer, innermost, renewed, traced
from jitad.primitives.define import derived, elementwise

# -- selection -----------------------------------------------------------------

elementwise(
    "cast",
    evaluate=lambda x: x,
    word="cast",
    partials=lambda y, x: [1.0],
    points=((1.5,),),
)
select = elementwise(
    "select",
    evaluate=lambda c, a, b: np.where(c, a, b),
    word="select",
    partials=lambda y, c, a, b: [None, gate(c, 1.0), gate(~c, 1.0)],
)
_gate = elementwise(
    "gate",
    evaluate=lambda c, t: np.where(c, t, np.zeros((), np.asarray(t).dtype)),
    expand=lambda c, t: np.where(c, t, 0.0),
    partials=lambda y, c, t: [None, gate(c, 1.0)],
)


# A product x b of factors that are zero where c and d do not hold, though the other one
# may be infinite: it counts as 0 there, and grows at the rate b with x.  The first says
# so of a term, as `gate` does; the second, of a product inside one.
_factor_gate = elementwise(
    "factor_gate",
    evaluate=_gate.evaluate,
    expand=_gate.expand,
    partials=lambda y, c, x: [None, 1.0],
)
elementwise(
    "factor_mul",
    evaluate=lambda c, x, d, b: x * b,
    expand=lambda c, x, d, b: x * b,
    partials=lambda y, c, x, d, b: [
        None,
        bind(_factor_gate, [d, b], [None, None], b.dtype),
        None,
        bind(_factor_gate, [c, x], [None, None], x.dtype),
    ],
    steep=Steep(operand=1),
)
# What hides a term by itself, where products and sums find it.
GATES = frozenset({"gate", "factor_gate"})

# A derivative at a kink: its value is the first operand, the average of R2; what is
# derived from it is derived from the second, which is one-sided.
either = elementwise(
    "either",
    evaluate=lambda average, side: average,
    expand=lambda average, side: average,
    partials=lambda y, average, side: [None, 1.0],
    cost=0,
)

# A derivative, by its limit, an infinity or NaN, where it is NaN (`derivatives.ends`).
# What is derived from it is derived from the first operand.
settled = elementwise(
    "settled",
    evaluate=lambda x, limit: np.where(np.isnan(x), limit, x),
    expand=lambda x, limit: np.where(np.isnan(x), limit, x),
    partials=lambda y, x, limit: [1.0, None],
    cost=2,
)


def gate(condition: Any, factor: Any) -> Any:
    """factor where condition holds, else a zero that even infinity cannot revive."""
    if not traced((condition, factor)):
        return np.where(condition, factor, 0.0)[()]
    if isinstance(condition, Tracer) and condition.dtype != bool:
        condition = condition != 0
    dtype = promote([factor])
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    return bind(_gate, [condition, factor], [np.dtype(bool), dtype], dtype)


@derived(np.where)
def where(condition: Any, *branches: Any) -> Any:
    """np.where with three arguments."""
    if len(branches) != 2:
        raise UnsupportedError(
            f"np.where with one argument has no fixed shape while tracing "
            f"({source_line()}); give both branches: np.where(c, a, b)"
        )
    dtype = promote(branches)
    if isinstance(condition, Tracer) and condition.dtype != bool:
        condition = condition != 0
    boolean = np.dtype(bool)
    result = bind(select, [condition, *branches], [boolean, dtype, dtype], dtype)
    return result if result.shape else renewed(result, np.empty(()))


# -- arithmetic ----------------------------------------------------------------

_PAIRS = ((1.5, -0.4), (1e-200, 1e-200), (3.0, 1e150))

elementwise(
    "add", np.add, word="add", partials=lambda y, a, b: [1.0, 1.0], points=_PAIRS
)
elementwise(
    "sub", np.subtract, word="sub", partials=lambda y, a, b: [1.0, -1.0], points=_PAIRS
)
elementwise(
    "mul", np.multiply, word="mul", partials=lambda y, a, b: [b, a], points=_PAIRS
)
elementwise(
    "div",
    np.true_divide,
    word="div",
    cost=6,
    partials=lambda y, a, b: _div_partials(y, b),
    points=_PAIRS,
)
elementwise(
    "neg", np.negative, word="neg", partials=lambda y, x: [-1.0], points=((1.5,),)
)


def _div_partials(y: Any, b: Any) -> list[Any]:
    reciprocal = 1.0 / b
    return [reciprocal, -(y * reciprocal)]


# -- comparisons and logic -----------------------------------------------------


_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
_LAST = 2**63 - 1  # the largest int64


def _comparison(name: str, ufunc: np.ufunc) -> None:
    primitive = elementwise(name, ufunc, word=name)

    def handler(a: Any, b: Any) -> Any:
        """Exact, as NumPy's: also where no dtype holds the numbers of both."""
        if _beyond(a, b) or _beyond(b, a):
            # All that the traced value may be is on the same side of the number.
            first = type(a) is int
            side, x = (a > 0, b) if first else (b > 0, a)
            side = 1 if side else -1
            return np.full_like(x, ufunc(side, 0) if first else ufunc(0, side), bool)
        kinds = [representative(a), representative(b)]
        for k, x in enumerate((a, b)):
            if isinstance(x, Tracer) and kinds[k] is int and _whole(kinds[1 - k]):
                # A Python int that is not known yet may be none of the other's.
                kinds[k] = x.dtype
        *dtypes, truth = loop_dtypes(ufunc, tuple(kinds))
        signs = [d.kind for d in dtypes]
        if sorted(signs) != ["i", "u"]:
            return bind(primitive, (a, b), dtypes, truth)
        # Of an unsigned number that is no int64 it is known which is larger.
        pair, unsigned = [a, b], signs.index("u")
        pair[unsigned] = own = as_tracer(innermost(pair), pair[unsigned], _UINT64)
        compared = bind(primitive, pair, [_INT64, _INT64], truth)
        larger = (1, 0) if unsigned == 0 else (0, 1)
        return np.where(own > np.uint64(_LAST), ufunc(*larger), compared)

    registry.ufuncs[ufunc] = handler


def _whole(kind: Any) -> bool:
    return isinstance(kind, np.dtype) and kind.kind in "iu"


def _beyond(number: Any, value: Any) -> bool:
    """Whether a Python int is beyond all integers of a value's dtype."""
    if type(number) is not int:
        return False
    dtype = np.dtype(representative(value))
    if not _whole(dtype):
        return False
    limits = np.iinfo(dtype)
    return not limits.min <= number <= limits.max


for _name, _ufunc in (
    ("lt", np.less), ("le", np.less_equal), ("gt", np.greater),
    ("ge", np.greater_equal), ("eq", np.equal), ("ne", np.not_equal),
):  # fmt: skip
    _comparison(_name, _ufunc)

# a >= b; of equal numbers in a derivative of a derivative whether a is ahead where the
# arguments have begun to grow (see `derivatives.pieces`).
_ahead = elementwise(
    "ahead",
    evaluate=np.greater_equal,
    expand=lambda a, b: a >= b,
    partials=lambda y, a, b: [None, None],
)


def ahead(a: Any, b: Any) -> Any:
    """Whether a >= b: the condition of a kink."""
    if not traced((a, b)):
        return np.greater_equal(a, b)
    dtype = promote([a, b])
    return bind(_ahead, [a, b], [dtype] * 2, np.dtype(bool))


# x != 0 for a derivative that is 0 where no branch let it through; in a derivative of a
# derivative whether it is still 0 where the arguments have begun to grow.
elementwise(
    "nonzero",
    evaluate=lambda x: np.not_equal(x, 0),
    expand=lambda x: x != 0,
    partials=lambda y, x: [None],
)
# x, which is a sum of squares that was computed elsewhere: roots of it are even.
elementwise(
    "squares",
    evaluate=lambda x: x,
    expand=lambda x: x,
    partials=lambda y, x: [1.0],
    cost=0,
)
elementwise("and", np.bitwise_and, word="and")
elementwise("or", np.bitwise_or, word="or")
elementwise("xor", np.bitwise_xor, word="xor")
elementwise("not", np.invert, word="not")
elementwise("left_shift", np.left_shift, word="left_shift")
elementwise("right_shift", np.right_shift, word="right_shift")


def _logical(ufunc: np.ufunc, bitwise: np.ufunc) -> None:
    @derived(ufunc)
    def logical(*args: Any) -> Any:
        return bitwise(*[_truth(a) for a in args])


def _truth(value: Any) -> Any:
    return value if promote([value]).kind == "b" else value != 0


for _ufunc, _bitwise in (
    (np.logical_and, np.bitwise_and),
    (np.logical_or, np.bitwise_or),
    (np.logical_xor, np.bitwise_xor),
    (np.logical_not, np.invert),
):
    _logical(_ufunc, _bitwise)


def _classify(ufunc: np.ufunc) -> None:
    primitive = elementwise(ufunc.__name__, ufunc, word=ufunc.__name__)
    boolean = np.dtype(bool)

    @derived(ufunc)
    def classify(x: Any) -> Any:
        dtype = promote([x])
        dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
        return bind(primitive, [x], [dtype], boolean)


for _ufunc in (np.isfinite, np.isnan, np.isinf):
    _classify(_ufunc)


@derived(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Any:
    """Whether x is +inf."""
    return operand(x) == np.inf


@derived(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Any:
    """Whether x is -inf."""
    return operand(x) == -np.inf


@derived(np.isclose)
def isclose(
    a: Any, b: Any, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether |a - b| ≤ atol + rtol |b|, or a is b."""
    a, b = operand(a), operand(b)
    if promote([b]).kind != "f":
        b = cast(b, np.float64) if isinstance(b, Tracer) else np.asarray(b, float)
    near = (np.abs(a - b) <= atol + rtol * np.abs(b)) & np.isfinite(b)
    close = near | (a == b)
    return close | (np.isnan(a) & np.isnan(b)) if equal_nan else close


@derived(np.positive)
def positive(x: Any) -> Any:
    """+x."""
    return x


@derived(np.conjugate)
def conjugate(x: Any) -> Any:
    """x, being real."""
    return x


def fresh(x: Tracer) -> Tracer:
    """A new array with x's value, as a ufunc makes it; a scalar if x has no axes."""
    return renewed(x, np.isnan(x.stand_in()))


@derived(np.select)
def select_first(
    condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0
) -> Any:
    """np.select: the choice of the first condition that holds."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(
            f"np.select needs as many choices as conditions, and some, got "
            f"{len(condlist)} conditions and {len(choicelist)} choices; pair them"
        )
    for k, condition in enumerate(condlist):
        if promote([condition]).kind != "b":
            raise TypeError(
                f"np.select: condition {k} is of dtype {promote([condition])} "
                f"({source_line()}); expected bools: compare, as in x != 0"
            )
    dtype = promote([*choicelist, default])
    trace = innermost((*condlist, *choicelist, default))
    result: Any = as_tracer(trace, default, dtype)
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        picked: Any = np.where(condition, choice, result)
        result = cast(picked, dtype)
    return renewed(result, np.empty(result.shape))


@derived(np.piecewise)
def piecewise(
    x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any
) -> Any:
    """np.piecewise: each function is applied everywhere and selected where it holds.

    As in NumPy, later conditions overrule earlier ones and the result has x's dtype.
    """
    x = as_tracer(innermost([x, condlist]), x)
    conditions = _conditions(condlist, x)
    if not conditions or len(funclist) - len(conditions) not in (0, 1):
        raise ValueError(
            f"np.piecewise with {len(conditions)} conditions needs as many functions, "
            f"or one more as the default, got {len(funclist)}"
        )
    branches: list[Any] = [f(x, *args, **kw) if callable(f) else f for f in funclist]
    result: Any = branches.pop() if len(branches) > len(conditions) else 0
    for condition, branch in zip(conditions, branches, strict=True):
        result = np.where(condition, branch, result)
    whole = as_tracer(innermost([x]), result)
    return renewed(cast(whole, x.dtype), x.unfilled())


def _conditions(condlist: Any, x: Tracer) -> list[Any]:
    """A list of conditions on x, which np.piecewise takes one alone for, too."""
    if np.ndim(condlist) == 0 or (np.ndim(condlist[0]) == 0 and x.ndim):
        condlist = [condlist]
    found = []
    for condition in map(operand, condlist):
        rank = np.ndim(condition)
        if np.shape(condition) != x.shape[:rank]:
            raise IndexError(
                f"np.piecewise: a condition of shape {np.shape(condition)} for {x!r} "
                f"({source_line()}); expected {x.shape}"
            )
        found.append(np.reshape(condition, x.shape[:rank] + (1,) * (x.ndim - rank)))
    return found


stop = elementwise(
    "stop_gradient",
    evaluate=lambda x: x,
    expand=lambda x: x,
    partials=lambda y, x: [None],
    cost=0,
    points=((1.5,), (-2.0,)),
)


def stop_gradient(x: Any) -> Any:
    """x, taken as a constant by every derivative."""
    if not isinstance(x, Tracer):
        return x
    held = bind(stop, [x], [None], x.dtype)
    held.weak = x.weak
    return held

"""Arithmetic, rounding, comparisons, selection and the elementary functions.

Every entry is the whole of a primitive.  Partials are written once, in plain NumPy;
`gate` marks a factor that is exactly zero on the untaken side of a branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad.ir.primitive import registry
from jitad.ir.tracer import Tracer, bind, promote, traced
from jitad.primitives.define import derived, elementwise

LN2 = float(np.log(2.0))
LN10 = float(np.log(10.0))

# -- selection -----------------------------------------------------------------

elementwise("cast", evaluate=lambda x: x, word="cast", partials=lambda y, x: [1.0])
select = elementwise(
    "select",
    evaluate=lambda c, a, b: np.where(c, a, b),
    word="select",
    partials=lambda y, c, a, b: [None, gate(c, 1.0), gate(~c, 1.0)],
)
_gate = elementwise(
    "gate",
    evaluate=lambda c, t: np.where(c, t, np.zeros((), np.asarray(t).dtype)),
    word="gate",
    partials=lambda y, c, t: [None, gate(c, 1.0)],
)


def gate(condition: Any, factor: Any) -> Any:
    """factor where condition holds, else a zero that even infinity cannot revive."""
    if not traced((condition, factor)):
        return np.where(condition, factor, 0.0)[()]
    dtype = promote([factor])
    if dtype.kind != "f":
        dtype = np.dtype(np.float64)
    return bind(_gate, [condition, factor], [np.dtype(bool), dtype], dtype)


@derived(np.where)
def where(condition: Any, *branches: Any) -> Any:
    """np.where with three arguments."""
    if len(branches) != 2:
        raise TypeError("np.where(c) of a traced value has no fixed shape; give both "
                        "branches: np.where(c, a, b)")  # fmt: skip
    dtype = promote(branches)
    if isinstance(condition, Tracer) and condition.dtype != bool:
        condition = condition != 0
    return bind(select, [condition, *branches], [np.dtype(bool), dtype, dtype], dtype)


# -- arithmetic ----------------------------------------------------------------

elementwise("add", np.add, word="add", partials=lambda y, a, b: [1.0, 1.0])
elementwise("sub", np.subtract, word="sub", partials=lambda y, a, b: [1.0, -1.0])
elementwise("mul", np.multiply, word="mul", partials=lambda y, a, b: [b, a])
elementwise(
    "div",
    np.true_divide,
    word="div",
    cost=6,
    partials=lambda y, a, b: _div_partials(y, b),
)
elementwise("neg", np.negative, word="neg", partials=lambda y, x: [-1.0])


def _div_partials(y: Any, b: Any) -> list[Any]:
    reciprocal = 1.0 / b
    return [reciprocal, -(y * reciprocal)]


elementwise("abs", np.absolute, word="abs", partials=lambda y, x: [np.sign(x)])
elementwise("sqrt", np.sqrt, word="sqrt", cost=8, partials=lambda y, x: [0.5 / y])

# -- comparisons and logic -----------------------------------------------------

elementwise("lt", np.less, word="lt")
elementwise("le", np.less_equal, word="le")
elementwise("gt", np.greater, word="gt")
elementwise("ge", np.greater_equal, word="ge")
elementwise("eq", np.equal, word="eq")
elementwise("ne", np.not_equal, word="ne")
elementwise("and", np.bitwise_and, word="and")
elementwise("or", np.bitwise_or, word="or")
elementwise("xor", np.bitwise_xor, word="xor")
elementwise("not", np.invert, word="not")
elementwise(
    "sign",
    np.sign,
    expand=lambda x: np.where(x > 0, 1.0, np.where(x < 0, -1.0, np.where(x == 0, 0.0, x))),
)  # fmt: skip

# -- elementary functions ------------------------------------------------------

elementwise("sin", np.sin, word="sin", cost=20, partials=lambda y, x: [np.cos(x)])
elementwise("cos", np.cos, word="cos", cost=20, partials=lambda y, x: [-np.sin(x)])
elementwise("exp", np.exp, word="exp", cost=15, partials=lambda y, x: [y])
elementwise("log", np.log, word="log", cost=15, partials=lambda y, x: [1.0 / x])

assert "select" in registry.primitives

"""What each scalar word means, as a NumPy or SciPy function.

`kernel.execute` runs kernels by this table, and the machine is tested against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from jitad.late import late

special = late("scipy.special")

Meaning = Callable[..., Any]


def _fma(a: Any, b: Any, c: Any) -> Any:
    """Add c to a * b; the machine rounds once, this rounds twice."""
    return a * b + c


def _special(name: str) -> Meaning:
    return lambda *operands: getattr(special, name)(*operands)


def _identity(a: Any) -> Any:
    return a


def _bitwise(logical: np.ufunc, integer: np.ufunc) -> Meaning:
    def meaning(*operands: Any) -> Any:
        bools = all(np.asarray(a).dtype == np.bool_ for a in operands)
        return logical(*operands) if bools else integer(*operands)

    return meaning


MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": np.divide,
        "neg": np.negative,
        "abs": np.absolute,
        "sqrt": np.sqrt,
        "fma": _fma,
        "floor": np.floor,
        "ceil": np.ceil,
        "trunc": np.trunc,
        "rint": np.rint,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
        "eq": np.equal,
        "ne": np.not_equal,
        "and": _bitwise(np.logical_and, np.bitwise_and),
        "or": _bitwise(np.logical_or, np.bitwise_or),
        "xor": _bitwise(np.logical_xor, np.bitwise_xor),
        "not": _bitwise(np.logical_not, np.invert),
        "left_shift": np.left_shift,
        "right_shift": np.right_shift,
        "select": np.where,
        "cast": _identity,
        "copysign": np.copysign,
        "isnan": np.isnan,
        "isinf": np.isinf,
        "isfinite": np.isfinite,
        "signbit": np.signbit,
        "nextafter": np.nextafter,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "fmax": np.fmax,
        "fmin": np.fmin,
        "fmod": np.fmod,
        "floor_divide": np.floor_divide,
        "mod": np.remainder,
        "pow": np.power,
        "exp": np.exp,
        "exp2": np.exp2,
        "expm1": np.expm1,
        "log": np.log,
        "log2": np.log2,
        "log10": np.log10,
        "log1p": np.log1p,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "atan2": np.arctan2,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "cbrt": np.cbrt,
        "hypot": np.hypot,
        "erf": _special("erf"),
        "erfc": _special("erfc"),
        "lgamma": _special("gammaln"),
        "erfinv": _special("erfinv"),
        "digamma": _special("digamma"),
        "zeta": _special("zeta"),
    }
)


def meaning(word: str) -> Meaning:
    """The NumPy meaning of a word."""
    return MEANINGS[word]

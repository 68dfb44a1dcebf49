"""Functions that are composed of such with an infinite slope, at the end of a domain.

Their second derivatives are infinite, of the sign that differences from inside tell.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp

from tests.cases.second_truths import Truth, every


def root(x: Any) -> Any:
    return np.sqrt(x)


ONE = [
    *every({
        "exp √": lambda x: np.exp(root(x)),
        "exp -√": lambda x: np.exp(-root(x)),
        "sin √": lambda x: np.sin(root(x)),
        "tanh √": lambda x: np.tanh(root(x)),
        "log1p √": lambda x: np.log1p(root(x)),
        "√(x + x²)": lambda x: root(x + x * x),
        "√ sin": lambda x: root(np.sin(x)),
        "√ expm1": lambda x: root(np.expm1(x)),
        "√ cos": lambda x: root(x) * np.cos(x),
        "√ exp": lambda x: root(x) * np.exp(x),
        "√ (1 - x)": lambda x: root(x) * (1.0 - x),
        "√(x (1 - x))": lambda x: root(x * (1.0 - x)),
        "√x / (1 + x)": lambda x: root(x) / (1.0 + x),
        "x^0.3 and more": lambda x: x**0.3 + np.sin(x) * x,
        "exp x^0.3": lambda x: np.exp(x**0.3),
        "x^0.7 cos": lambda x: x**0.7 * np.cos(x),
        "√√ exp": lambda x: root(root(x)) * np.exp(x),
        "-2√ and √": lambda x: root(x) - 2.0 * root(x) * np.exp(x),
        "√ and x√": lambda x: root(x) * (1.0 + 3.0 * x) * np.cosh(x),
        "arcsin(1 - x - x²)": lambda x: np.arcsin(1.0 - x - x * x),
        "arccos(1 - x) exp": lambda x: np.arccos(1.0 - x) * np.exp(x),
        "arccosh(1 + x + x²)": lambda x: np.arccosh(1.0 + x + x * x),
        "arctanh(1 - x - x²)": lambda x: np.arctanh(1.0 - x - x * x),
        "entr and √": lambda x: sp.entr(x) + root(x) * np.exp(x),
    }, 0.0, sides=1),
    *every({
        "√-x exp": lambda x: root(-x) * np.exp(x),
        "exp √-x": lambda x: np.exp(root(-x)),
    }, 0.0, sides=-1),
    *every({
        "arccosh(x²)": lambda x: np.arccosh(x * x),
        "exp arccosh": lambda x: np.exp(np.arccosh(x)),
        "x arccosh": lambda x: x * np.arccosh(x) * np.exp(x),
        "√ log": lambda x: root(np.log(x)),
    }, 1.0, sides=1),
    *every({
        "exp arcsin": lambda x: np.exp(np.arcsin(x)),
        "arcsin(x²) exp": lambda x: np.arcsin(x * x) * np.exp(x),
        "exp arccos": lambda x: np.exp(np.arccos(x)),
        "√(1 - x²) sin": lambda x: root(1.0 - x * x) * np.sin(x),
        "x arctanh": lambda x: x * np.arctanh(x * x * x),
        "√ -log": lambda x: root(-np.log(x)),
    }, 1.0, sides=-1),
]  # fmt: skip

TWO = [
    *every({
        "exp y√x": lambda x, y: np.exp(root(x) * y),
        "sin y√x": lambda x, y: np.sin(root(x) * y),
        "cos x √x y": lambda x, y: np.cos(x) * root(x) * y,
        "√x sin y": lambda x, y: root(x) * np.sin(y),
        "√(x y + x²)": lambda x, y: root(x * y + x * x),
        "√(x exp y)": lambda x, y: root(x * np.exp(y)),
        "y^√x": lambda x, y: y ** root(x),
        "(1 + √x)^y": lambda x, y: (1.0 + root(x)) ** y,
    }, 0.0, 2.0, sides=(1, 0)),
    *every({
        "exp √(x + y - 2)": lambda x, y: np.exp(root(x + y - 2.0)),
        "√(y - 2 + sin x) exp x": lambda x, y: root(y - 2.0 + np.sin(x)) * np.exp(x),
    }, 0.0, 2.0, sides=(1, 1)),
    *every({
        "exp √(y - x - 2)": lambda x, y: np.exp(root(y - x - 2.0)),
    }, 0.0, 2.0, sides=(-1, 1)),
    *every({
        "exp arccosh xy": lambda x, y: np.exp(np.arccosh(x * y)),
    }, 0.5, 2.0, sides=(1, 1)),
]  # fmt: skip

AT_ENDS: list[Truth] = [*ONE, *TWO]

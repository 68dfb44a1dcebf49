"""Certified problems of nonlinear regression, and their fit with exact Jacobians.

`problems` gives eight of NIST's StRD collection, `fit` solves one from a start, and a
Fit tells how many digits agree with the certified values.  A model is a plain NumPy
function of the parameters b and one observation's x.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from jitad.api import jacobian, vmap

Model = Callable[[Any, Any], Any]

# NIST certifies eleven digits.
MOST_DIGITS = 11.0
_TOLERANCE = float(np.finfo(float).eps)
# The least that MINPACK still heeds: fits end where rounding ends them.
_EVALUATIONS = 10_000


@dataclass(frozen=True, eq=False)
class Problem:
    """A regression with known answers.

    starts     two starting points, the second nearer than the first
    certified  the parameters; deviations are their standard deviations
    residual   the sum of squares of the residuals
    """

    name: str
    formula: str
    model: Model
    starts: tuple[np.ndarray, ...]
    certified: np.ndarray
    deviations: np.ndarray
    residual: float
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Fit:
    """What least squares found from one start.

    mode     how the Jacobian is accumulated
    compile  seconds until model and Jacobian could be called
    seconds  of the fit itself
    """

    problem: Problem
    parameters: np.ndarray
    deviations: np.ndarray
    residual: float
    evaluations: int
    mode: str
    compile: float
    seconds: float

    @property
    def parameter_digits(self) -> float:
        """Digits that agree with the certified parameters, in the worst of them."""
        return digits(self.parameters, self.problem.certified)

    @property
    def deviation_digits(self) -> float:
        """Digits that agree with the certified standard deviations, likewise."""
        return digits(self.deviations, self.problem.deviations)


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """-log10 of the largest relative error, between 0 and the digits certified."""
    with np.errstate(all="ignore"):
        agreeing = -np.log10(np.abs(found - certified) / np.abs(certified))
    worst = float(np.min(np.nan_to_num(agreeing, nan=0.0, posinf=MOST_DIGITS)))
    return min(max(worst, 0.0), MOST_DIGITS)


def fit(problem: Problem, start: np.ndarray) -> Fit:
    """Least squares by Levenberg and Marquardt (MINPACK), with exact Jacobians."""
    x, y = problem.x, problem.y
    model = vmap(problem.model, in_axes=(None, 0))
    slopes = vmap(jacobian(problem.model), in_axes=(None, 0))
    begun = time.perf_counter()
    mode = slopes.prepare(start, x).derived.mode
    for function in (model, slopes):
        function(start, x)
    compiled = time.perf_counter()
    found = least_squares(
        lambda b: model(b, x) - y,
        start,
        lambda b: slopes(b, x),  # type: ignore[arg-type]
        method="lm",
        x_scale="jac",
        ftol=_TOLERANCE,
        xtol=_TOLERANCE,
        gtol=_TOLERANCE,
        max_nfev=_EVALUATIONS,
    )
    done = time.perf_counter()
    residual = float(np.sum((model(found.x, x) - y) ** 2))
    return Fit(
        problem=problem,
        parameters=found.x,
        deviations=standard_deviations(slopes(found.x, x), residual),
        residual=residual,
        evaluations=found.nfev,
        mode=mode,
        compile=compiled - begun,
        seconds=done - compiled,
    )


def standard_deviations(jacobian: np.ndarray, residual: float) -> np.ndarray:
    """√diag(s² (JᵀJ)⁻¹) with s² = residual / (m - p), for J of shape (m, p).

    By the singular values of J with columns of length one, so that JᵀJ, whose
    condition is the square of J's, is never formed.
    """
    m, p = jacobian.shape
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(jacobian, axis=0)
        scaled = np.nan_to_num(jacobian / lengths)
        _, singular, right = np.linalg.svd(scaled, full_matrices=False)
        spread = np.linalg.norm(right / singular[:, None], axis=0)
        return np.sqrt(residual / (m - p)) * spread / lengths


# -- the eight -----------------------------------------------------------------


def saturation(b: Any, x: Any) -> Any:
    """Misra1a, BoxBOD."""
    return b[0] * (1 - np.exp(-b[1] * x))


def power(b: Any, x: Any) -> Any:
    """DanWood."""
    return b[0] * x ** b[1]


def quadratic_ratio(b: Any, x: Any) -> Any:
    """MGH09."""
    return b[0] * (x**2 + b[1] * x) / (x**2 + b[2] * x + b[3])


def cubic_ratio(b: Any, x: Any) -> Any:
    """Thurber, Hahn1."""
    above = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
    return above / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def sigmoid(b: Any, x: Any) -> Any:
    """Rat43."""
    return b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3])


def bell(b: Any, x: Any) -> Any:
    """Eckerle4."""
    return b[0] / b[1] * np.exp(-(((x - b[2]) / b[1]) ** 2) / 2)


def reciprocal_exponential(b: Any, x: Any) -> Any:
    """MGH10."""
    return b[0] * np.exp(b[1] / (x + b[2]))


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "Misra1a": saturation,
        "DanWood": power,
        "MGH09": quadratic_ratio,
        "Thurber": cubic_ratio,
        "Rat43": sigmoid,
        "BoxBOD": saturation,
        "Eckerle4": bell,
        "MGH10": reciprocal_exponential,
    }
)


@cache
def problems() -> tuple[Problem, ...]:
    """Eight problems, of all three levels of difficulty that NIST names."""
    text = resources.files("jitad").joinpath("nist.txt").read_text("utf-8")
    return tuple(read(text))


def read(text: str) -> Iterable[Problem]:
    """The problems of a text such as nist.txt, which describes the format."""
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    joined = "\n".join(lines).replace("\n ", " ")
    for block in ("\n" + joined).split("\nproblem ")[1:]:
        head, *rest = block.splitlines()
        name, formula = head.split(maxsplit=1)
        fields: dict[str, list[np.ndarray]] = {}
        for line in rest:
            key, *numbers = line.split()
            fields.setdefault(key, []).append(np.array(numbers, float))
        yield Problem(
            name=name,
            formula=formula,
            model=MODELS[name],
            starts=tuple(fields["start"]),
            certified=fields["certified"][0],
            deviations=fields["deviation"][0],
            residual=float(fields["residual"][0][0]),
            x=fields["x"][0],
            y=fields["y"][0],
        )

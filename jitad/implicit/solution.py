"""root and fixed_point: iterated inside the kernel, differentiated by their equations.

At a solution F(x, θ) = 0, and so ẋ = -(∂F/∂x)⁻¹ (∂F/∂θ) θ̇, whatever led there.  The
rule is stated in terms of the solution as a function again, so that it serves both
modes and derivatives of any order.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from jitad.api import jacobian
from jitad.directions import jvp
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.ir.trace import current
from jitad.primitives.control.rules import CustomJVP, custom_jvp
from jitad.primitives.scalar.barrier import undefined_where
from jitad.process.locks import cached_property

from .anderson import Anderson
from .closed import Closed, close, evaluate
from .linear import solve
from .newton import Newton


def root(
    f: Callable[[Any], Any],
    x0: Any,
    *,
    max_steps: int = 50,
    tol: float | None = None,
    scale: float = 0.0,
    status: bool = False,
) -> Any:
    """The x near x0 where f(x) = 0, by Newton's method with the exact Jacobian.

    x may be any nested containers of arrays, of at most 32 numbers together; f returns
    the same structure, shapes and dtypes, and may use any traced values.  Steps are
    shortened where |f| would not decrease.  In a batch every point takes its own
    number of steps.  Outside of jitad.jit, jitad.vmap and the like it is interpreted.

    x0         where to begin; the derivative with respect to it is zero
    max_steps  the most steps
    tol        converged is a point whose last step was |dx| ≤ tol · |x|, |·| being the
               largest of all numbers of x; that step is taken, so that the error is
               about its square.  By default ε^(2/3): 4e-11 in double, 2e-5 in single
               precision.  Near x = 0 a step is small, too, that is a rounding error
               of the largest step and does not decrease |f|
    scale      where |x| is less, dx is compared with this
    status     whether to return (x, converged)

    A point that does not converge, or comes to a singular Jacobian, is NaN, and so is
    its derivative: also at multiple roots, unless f by rounding is exactly zero beside
    one.  Derivatives are those of the implicit function theorem, to any order.
    Raises InputError, ShapeError where f(x) is not like x.
    """
    if current() is None:
        options = {
            "max_steps": max_steps, "tol": tol, "scale": scale, "status": status,
        }  # fmt: skip
        return evaluate("root", lambda x: root(f, x, **options), x0)
    steps, scale = _steps("root", max_steps), _scale("root", scale)
    says = "as many equations as unknowns"
    closed, start, parameters = close("root", f, x0, says)
    method = Newton(steps, _tolerance("root", tol, closed, 2 / 3), scale)
    return _solved("root", closed, method, start, parameters, status)


def fixed_point(
    f: Callable[[Any], Any],
    x0: Any,
    *,
    max_steps: int = 200,
    tol: float | None = None,
    scale: float = 0.0,
    memory: int = 5,
    status: bool = False,
) -> Any:
    """The x near x0 where x = f(x), by Anderson's acceleration of x = f(x).

    x may be any nested containers of arrays, of at most 32 numbers together; f returns
    the same structure, shapes and dtypes, and may use any traced values.

    x0         where to begin; the derivative with respect to it is zero
    max_steps  the most iterations
    tol        converged is a point where |f(x) - x| ≤ tol · |x|, |·| being the largest
               of all numbers of x; f(x) is returned.  By default ε^(3/4): 2e-12 in
               double, 6e-6 in single precision.  The error may be (1 - L)⁻¹ times
               that where f contracts by L
    scale      where |x| is less, f(x) - x is compared with this: a solution that may
               be zero needs it
    memory     how many earlier differences an iteration uses; 0 is plain iteration
    status     whether to return (x, converged)

    A point that does not converge is NaN, and so is its derivative.  Derivatives are
    those of the implicit function theorem, ẋ = (1 - ∂f/∂x)⁻¹ (∂f/∂θ) θ̇, to any order.
    Raises InputError, ShapeError where f(x) is not like x.
    """
    if current() is None:
        options = {
            "max_steps": max_steps, "tol": tol, "scale": scale, "memory": memory,
            "status": status,
        }  # fmt: skip
        return evaluate("fixed_point", lambda x: fixed_point(f, x, **options), x0)
    steps, scale = _steps("fixed_point", max_steps), _scale("fixed_point", scale)
    if operator.index(memory) < 0:
        raise InputError(
            f"fixed_point: memory={memory} ({source_line()}); expected how many "
            "differences to keep, 0 or more"
        )
    closed, start, parameters = close("fixed_point", f, x0, "the next x")
    method = Anderson(
        steps, _tolerance("fixed_point", tol, closed, 3 / 4), scale, memory
    )
    return _solved("fixed_point", closed, method, start, parameters, status)


def _steps(name: str, max_steps: int) -> int:
    steps = operator.index(max_steps)
    if steps < 1:
        raise InputError(
            f"{name}: max_steps={max_steps} ({source_line()}); expected 1 or more"
        )
    return steps


def _tolerance(name: str, tol: float | None, closed: Closed, power: float) -> float:
    """The tolerance given, or a power of the precision."""
    if tol is None:
        # The least precise of several dtypes decides.
        return max(float(np.finfo(t.dtype).eps) for t in closed.unknown.types) ** power
    if not 0 <= tol < 1:
        raise InputError(
            f"{name}: tol={tol} ({source_line()}); expected a number from 0 to 1: the "
            "change of x relative to x"
        )
    return float(tol)


def _scale(name: str, scale: float) -> float:
    if not 0 <= scale < np.inf:
        raise InputError(
            f"{name}: scale={scale} ({source_line()}); expected a number, 0 or more: "
            "how large x is at least taken to be"
        )
    return float(scale)


# -- the derivative ------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Solver:
    """An equation and the method that solves it."""

    name: str
    closed: Closed
    method: Newton | Anderson

    @cached_property
    def text(self) -> str:
        """Text that tells it from others."""
        types = ", ".join(map(str, self.closed.unknown.types))
        return f"{self.name} {self.method} ({types}) {self.closed.graph.text}"

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Solver) and self.text == other.text


def _solved(
    name: str,
    closed: Closed,
    method: Newton | Anderson,
    start: Any,
    parameters: Sequence[Any],
    status: bool,
) -> Any:
    vector, found = _ruled(_Solver(name, closed, method))(start, *parameters)
    x = closed.unknown.whole(vector)
    return (x, found) if status else x


@lru_cache(maxsize=512)
def _ruled(solver: _Solver) -> CustomJVP:
    """(x0, θ …) -> (x, converged), with its rule; the same one for equal equations.

    A function that is traced again, for another path, must find the same one.
    """
    closed, method = solver.closed, solver.method

    def solution(x0: Any, *parameters: Any) -> tuple[Any, Any]:
        x, found = method.solve(closed, x0, *parameters)
        found = found & (np.max(np.abs(x)) < np.inf)
        return np.where(found, x, np.nan), found

    def residual(x: Any, *parameters: Any) -> Any:
        return method.residual(closed, x, *parameters)

    slope = jacobian(residual)
    solution.__name__ = solver.name
    ruled = custom_jvp(solution)

    def rule(primals: Any, tangents: Any) -> tuple[Any, Any]:
        x, found = ruled(*primals)
        parameters = primals[1:]
        smooth = [k for k, p in enumerate(parameters) if p.dtype.kind == "f"]
        if not smooth:
            return (x, found), (np.zeros_like(x), found)

        def moved(*values: Any) -> Any:
            own = list(parameters)
            for k, value in zip(smooth, values, strict=True):
                own[k] = value
            return residual(x, *own)

        dots = [tangents[1 + k] for k in smooth]
        _, y_dot = jvp(moved, [parameters[k] for k in smooth], dots)
        x_dot = -solve(slope(x, *parameters), y_dot)
        # A linear equation has a derivative even where its solution is NaN.
        return (x, found), (undefined_where(~found, np.nan, x_dot), found)

    ruled.defjvp(rule)
    return ruled

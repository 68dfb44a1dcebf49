"""NLopt: objectives and constraints that fill the gradient that NLopt hands over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.api import jit, value_and_grad

from .adapting import fitting, name_of, scalar, with_slopes


def nlopt_objective(f: Callable[..., Any]) -> Callable[[np.ndarray, np.ndarray], float]:
    """(x -> y)  ->  (x, grad -> y) as an objective or a constraint of NLopt.

        opt.set_min_objective(jitad.interop.nlopt_objective(f))
        opt.add_inequality_constraint(jitad.interop.nlopt_objective(g), 1e-8)

    f takes x of shape (n,) and returns a number.  Where NLopt hands over an empty grad,
    as algorithms without derivatives do, the value alone is computed.  x is a view of
    NLopt's own memory that its next step changes: nothing keeps it.
    Raises InputError where f does not return a single number.
    (S. G. Johnson, The NLopt nonlinear-optimization package, Python reference.)

    >>> def rosenbrock(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> grad = np.empty(2)
    >>> jitad.interop.nlopt_objective(rosenbrock)(np.zeros(2), grad), grad
    (1.0, array([-2.,  0.]))
    """
    f = scalar("nlopt_objective", f)
    value, both = jit(f), value_and_grad(f)

    def objective(x: np.ndarray, grad: np.ndarray) -> float:
        if not grad.size:
            return float(value(x))
        y, grad[:] = both(x)
        return float(y)

    return objective


def nlopt_mconstraint(
    g: Callable[..., Any],
) -> Callable[[np.ndarray, np.ndarray, np.ndarray], None]:
    """(x -> y)  ->  (result, x, grad), which NLopt's vector constraints call.

        opt.add_inequality_mconstraint(jitad.interop.nlopt_mconstraint(g), np.zeros(m))

    g takes x of shape (n,) and returns y of shape (m,), m as many as there are
    tolerances; result becomes y and grad, of shape (m, n), its Jacobian.
    Raises InputError where y is not of result's shape, which NumPy would broadcast.
    (S. G. Johnson, The NLopt nonlinear-optimization package, Python reference.)

    >>> def g(x):
    ...     return np.array([x[0] + x[1] - 1, x[0] * x[1]])
    >>> result, grad = np.empty(2), np.empty((2, 2))
    >>> jitad.interop.nlopt_mconstraint(g)(result, np.array([1.0, 2.0]), grad)
    >>> result, grad.tolist()
    (array([2., 2.]), [[1.0, 1.0], [2.0, 1.0]])
    """
    value, both = jit(g), with_slopes(g)

    def constraint(result: np.ndarray, x: np.ndarray, grad: np.ndarray) -> None:
        y, slope = both(x) if grad.size else (value(x), None)
        remedy = "one number for every tolerance that NLopt was given"
        what = f"nlopt_mconstraint: what {name_of(g)} returns"
        result[:] = fitting(what, y, result.shape, remedy)
        if slope is not None:
            grad[:] = slope

    return constraint

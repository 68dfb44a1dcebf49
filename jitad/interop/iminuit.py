"""iminuit: gradients of models, for its cost functions, and of costs, for Minuit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.api import grad, jacobian

from .adapting import fitting, name_of, scalar
from .rows import Rows


def iminuit_model_grad(model: Callable[..., Any]) -> Callable[..., Any]:
    """((x, *p) -> y)  ->  ((x, *p) -> ∂y/∂p) as grad= of iminuit's cost functions.

        cost = LeastSquares(x, y, yerror, model, grad=iminuit_model_grad(model))
        Minuit(cost, a=1, b=2).migrad()

    model is what LeastSquares, UnbinnedNLL, BinnedNLL and the Extended ones take: x of
    shape (N,), or (D, N) of several variables, and parameters one by one.  The gradient
    has a row for every parameter and a column for every point, (parameters, N): its
    transpose would pass unnoticed where both are equal.  Of a model of
    ExtendedUnbinnedNLL, which returns an integral and densities, it is that of both,
    (parameters,) and (parameters, N).
    A model that computes each point of x from that point alone is differentiated as a
    batch of points, others as a whole, which takes long to compile for many points.
    Raises InputError where the model does not return a number for every point.
    (H. Dembinski and others, iminuit, iminuit.typing.ModelGradient.)

    >>> def line(x, a, b):
    ...     return a + b * x
    >>> jitad.interop.iminuit_model_grad(line)(np.array([1.0, 2.0, 4.0]), 0.5, 2.0)
    array([[1., 1., 1.],
           [1., 2., 4.]])
    """
    rows = Rows(lambda p, x: _density(model(x, *_each(p))), axis=-1)
    slope = jacobian(lambda p, x: model(x, *_each(p))[0])

    def gradient(x: np.ndarray, *args: float) -> Any:
        p = np.array(args, np.float64)
        y = model(x, *args)
        value = np.asarray(_density(y))
        what = f"iminuit_model_grad: what {name_of(model)} returns"
        remedy = "one number for every point of x"
        fitting(what, value, np.shape(x)[-1:], remedy)
        columns = np.ascontiguousarray(rows(p, x, value).T)
        if not isinstance(y, tuple):
            return columns
        first = x[..., :1]
        shared = model(first, *args)[0] == y[0]  # as an integral over all x is
        return slope(p, first if shared else x), columns

    return gradient


def iminuit_cost_grad(cost: Callable[..., Any]) -> Callable[..., Any]:
    """((*p) -> y)  ->  ((*p) -> ∂y/∂p) as grad= of Minuit.

        Minuit(cost, a=1, b=2, grad=iminuit_cost_grad(cost))
        Minuit(cost, np.ones(2), grad=iminuit_cost_grad(cost))

    Cost takes its parameters one by one or as one array, and so does the gradient, an
    array of shape (parameters,) in both.
    Raises InputError where the cost does not return a number.
    (H. Dembinski and others, iminuit, iminuit.typing.CostGradient.)

    >>> def cost(a, b):
    ...     return (a - 1) ** 2 + a * b
    >>> jitad.interop.iminuit_cost_grad(cost)(2.0, 3.0)
    array([5., 2.])
    """
    cost = scalar("iminuit_cost_grad", cost)
    of_array, of_numbers = grad(cost), grad(lambda p: cost(*p))

    def gradient(*args: Any) -> np.ndarray:
        if len(args) == 1 and np.ndim(args[0]):
            return of_array(np.asarray(args[0], np.float64))
        return of_numbers(np.asarray(args, np.float64))

    return gradient


def _each(p: Any) -> Any:
    return tuple([p[k] for k in range(len(p))])


def _density(y: Any) -> Any:
    """What a model gives for every point: all, or what follows its integral."""
    return y[1] if isinstance(y, tuple) else y

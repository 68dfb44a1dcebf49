"""lmfit: the Jacobian of what a fit makes small, in the parameters that it varies."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np

from jitad.errors import InputError, TracingError, UnsupportedError
from jitad.ir.source import source_line
from jitad.process.late import late

from .adapting import name_of
from .rows import Rows

lmfit = late("lmfit")


def lmfit_dfun(model: Any) -> Callable[..., np.ndarray]:
    """(params, …) -> J, the Jacobian of a fit's residuals, as Dfun= of lmfit.

        model.fit(y, params, x=x, fit_kws={"Dfun": jitad.interop.lmfit_dfun(model)})
        minimize(residual, params, args=(x, y), Dfun=jitad.interop.lmfit_dfun(residual))

    model  a Model, also one of several by +, * and others, or an objective function of
           Parameters that returns an array of residuals
    For method="leastsq", the default, and "least_squares", without col_deriv: of other
    methods, which want a gradient, lbfgsb takes J for one and returns its start.
    J has a row for every residual and a column for every parameter that varies, in
    their order; fixed ones are left out and those with an expr are followed to the ones
    that they depend on.  Of a Model it is that of (data − model) · weights.  It is
    with respect to values as the user sees them, a new array at each call: lmfit
    multiplies it in place by the slopes of its bounds.
    A model that computes each point of its data from that point alone is differentiated
    as a batch of points, others as a whole, which takes long to compile: a minute for a
    convolution of 60 points.
    Raises InputError where an expr cannot be differentiated, or where a Model does not
    return a number for every point of its data; UnsupportedError for models of complex
    numbers, of the gamma function, and of places that they look for, as lmfit's own
    voigt, pearson4, thermal_distribution, students_t, pearson7, lognormal and dho.
    (M. Newville and others, LMFIT: Non-Linear Least-Square Minimization, Minimizer.)

    >>> def residual(params, x, y):
    ...     return params["a"] * np.exp(-params["b"] * x) - y
    >>> params = lmfit.create_params(a=2.0, b={"value": 1.0, "vary": False})
    >>> x = np.array([0.0, 1.0])
    >>> jitad.interop.lmfit_dfun(residual)(params, x, np.ones(2))
    array([[1.        ],
           [0.36787944]])
    """
    of_a_model = isinstance(model, lmfit.Model)
    value = partial(_model, model) if of_a_model else model
    made: dict[Any, Any] = {}

    def dfun(params: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        data, weights, args = (
            (*args[:2], args[2:]) if of_a_model else (None, None, args)
        )
        arrays = {k: np.asarray(v) for k, v in _named(args, kwargs) if _numeric(v)}
        others = {k: v for k, v in _named(args, kwargs) if k not in arrays}
        varied = [k for k, par in params.items() if par.vary]
        key = _structure(params), _identity(others)
        if key not in made:
            made[key] = Rows(_function(value, params, others)), others
        given = {k: float(par.value) for k, par in params.items() if not par.expr}
        fixed = {k: v for k, v in given.items() if k not in varied}
        p = np.array([given[k] for k in varied])
        found = np.asarray(value(params, *args, **kwargs))
        rows = made[key][0](p, (fixed, arrays), found).reshape(found.size, len(p))
        if not of_a_model:
            return rows
        _need_alike(found, data, name_of(model))
        scale = np.broadcast_to(1.0 if weights is None else weights, found.shape)
        return rows * -scale.reshape(-1, 1)

    return dfun


def _model(model: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
    """The values of a model: `Model.eval` would make arrays of traced ones."""
    if hasattr(model, "op"):
        left, right = [_model(m, params, **kwargs) for m in (model.left, model.right)]
        return model.op(left, right)
    try:
        return _traceable(model.func)(**model.make_funcargs(params, kwargs))
    except (TracingError, UnsupportedError) as error:
        raise UnsupportedError(
            f"lmfit_dfun: {name_of(model.func)} cannot be differentiated: {error}; if "
            "it is lmfit's own, leave out Dfun= for lmfit's differences, or fit a "
            "function of yours that does without"
        ) from error


def _traceable(function: Any) -> Any:
    """A line shape of lmfit's own with a not_zero that traced values can go through."""
    if getattr(function, "__module__", "") != "lmfit.lineshapes":
        return function
    names = {**function.__globals__, "not_zero": _not_zero}
    name, defaults = function.__name__, function.__defaults__
    return FunctionType(function.__code__, names, name, defaults)


def _not_zero(value: Any) -> Any:
    tiny = lmfit.lineshapes.tiny
    return np.where(value < 0, np.minimum(value, -tiny), np.maximum(value, tiny))


def _need_alike(found: np.ndarray, data: Any, name: str) -> None:
    if found.shape != np.shape(data):
        raise InputError(
            f"lmfit_dfun: {name} has shape {found.shape} ({source_line()}); expected "
            f"{np.shape(data)}, as the data: return one number for every point"
        )


def _function(value: Callable[..., Any], params: Any, others: Any) -> Any:
    """(p, (fixed, arrays)) -> residuals, for parameters like these."""
    params = deepcopy(params)
    varied = [k for k, par in params.items() if par.vary]

    def function(p: Any, given: Any) -> Any:
        fixed, arrays = given
        known = {**fixed, **dict(zip(varied, p, strict=True))}
        named = {**others, **arrays}
        args = [named[k] for k in sorted(k for k in named if isinstance(k, int))]
        kwargs = {k: v for k, v in named.items() if isinstance(k, str)}
        return value(_traced(params, known), *args, **kwargs)

    return function


def _traced(params: Any, known: dict[str, Any]) -> Any:
    """Parameters as the user's function sees them, with traced values."""

    class Parameter(lmfit.Parameter):
        def _getval(self) -> Any:
            return _value(params, known, self.name)

    class Parameters(lmfit.Parameters):
        def valuesdict(self) -> dict[str, Any]:
            return {k: par.value for k, par in self.items()}

    seen = Parameters()
    for name in params:
        dict.__setitem__(seen, name, Parameter(name))
    return seen


def _value(params: Any, known: dict[str, Any], name: str) -> Any:
    """A parameter's value, that of its expr where it has one."""
    if name in known:
        return known[name]
    par = params[name]
    read = {n.id for n in ast.walk(ast.parse(par.expr)) if isinstance(n, ast.Name)}
    symbols = {k: _value(params, known, k) for k in read if k in params}
    interpreter = deepcopy(params)._asteval
    interpreter.symtable.update(symbols)
    try:
        found = interpreter(par.expr, raise_errors=True)
    except Exception as error:
        raise InputError(
            f"lmfit_dfun: parameter {name} is {par.expr!r}, and {error} "
            f"({source_line()}); expected an expression of NumPy's functions and the "
            "names of parameters: compute it within the model"
        ) from error
    low, high = par.min, par.max
    if np.isfinite(low) or np.isfinite(high):
        found = np.clip(found, low, high)
    known[name] = found
    return found


def _named(args: Any, kwargs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return [*enumerate(args), *kwargs.items()]


def _numeric(x: Any) -> bool:
    """Whether an argument is data: what is not decides how the model is traced."""
    if isinstance(x, bool | int | str) or x is None or callable(x):
        return False
    return np.asarray(x).dtype.kind in "fiu"


def _structure(params: Any) -> Any:
    return tuple(
        [(k, p.vary, p.expr, p.expr and (p.min, p.max)) for k, p in params.items()]
    )


def _identity(others: Mapping[Any, Any]) -> Any:
    return tuple(
        [
            (k, v if isinstance(v, str | int | None) else id(v))
            for k, v in others.items()
        ]
    )

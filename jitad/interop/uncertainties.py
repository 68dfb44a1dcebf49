"""uncertainties: functions of arrays of numbers with uncertainties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.process.late import late

from .adapting import with_slopes

uncertainties = late("uncertainties")


def uncertainties_wrap(f: Callable[..., Any]) -> Callable[..., Any]:
    """((*x) -> y)  ->  the same for numbers of uncertainties, to first order.

        p = np.array(uncertainties.correlated_values(best, covariance))
        y = jitad.interop.uncertainties_wrap(f)(p)

    f takes arrays or numbers and returns an array or a number of any shape; so does
    what is returned, of plain numbers, of those of uncertainties, or of both.  y = f(x)
    + J (x − x̄), so that y is correlated with x, and with all that was computed of x, as
    its covariance J C Jᵀ and uncertainties.covariance_matrix say.
    Raises InputError as jitad.jacobian does.
    (JCGM 102:2011, Supplement 2 to the Guide to the expression of uncertainty in
    measurement, section 6.2.)

    >>> x = np.array(uncertainties.correlated_values([1.0, 2.0], [[4, 1], [1, 9]]))
    >>> y = jitad.interop.uncertainties_wrap(lambda x: np.stack([x[0] + x[1], x[0]]))(x)
    >>> np.array(uncertainties.covariance_matrix(y)).round(12)
    array([[15.,  5.],
           [ 5.,  4.]])
    """
    made: dict[int, Any] = {}

    def wrapped(*args: Any) -> Any:
        nominal = uncertainties.nominal_value
        objects = [np.asarray(x, object) for x in args]
        at = [
            np.array([nominal(v) for v in x.flat], np.float64).reshape(x.shape)
            for x in objects
        ]
        if len(args) not in made:
            made[len(args)] = with_slopes(f, tuple(range(len(args))))
        y, slopes = made[len(args)](*at)
        flat = np.ravel(y).astype(object)
        for x, middle, slope in zip(objects, at, slopes, strict=True):
            off = np.ravel(x) - np.ravel(middle)
            inexact = [k for k, d in enumerate(off) if not isinstance(d, float)]
            flat = flat + np.reshape(slope, (len(flat), -1))[:, inexact] @ off[inexact]
        return flat.reshape(np.shape(y)) if np.ndim(y) else flat[0]

    return wrapped

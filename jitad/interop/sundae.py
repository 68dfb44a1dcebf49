"""scikit-sundae: right-hand sides, residuals and Jacobians for CVODE and IDA."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from jitad.api import jacobian, jit
from jitad.errors import InputError
from jitad.ir.source import source_line

from .adapting import fitting, name_of

Filling = Callable[..., None]


def cvode_rhsfn(f: Callable[..., Any]) -> Filling:
    """((t, y) -> y')  ->  (t, y, yp), which fills yp, as rhsfn of CVODE.

    f may take CVODE's userdata as a third argument.  Raises InputError where y' is not
    of y's shape.  See `cvode_jacfn`.
    """
    run = jit(f)

    def rhsfn(t: float, y: np.ndarray, yp: np.ndarray, *userdata: Any) -> None:
        what = f"cvode_rhsfn: what {name_of(f)} returns"
        yp[:] = fitting(what, run(t, y, *userdata), y.shape, "one slope for every y")

    return _with_arguments(rhsfn, "t y yp", f, 2)


def cvode_jacfn(f: Callable[..., Any], sparsity: Any = None) -> Filling:
    """((t, y) -> y')  ->  (t, y, yp, JJ), which fills JJ with ∂y'/∂y, for CVODE.

        CVODE(cvode_rhsfn(f), jacfn=cvode_jacfn(f))
        CVODE(cvode_rhsfn(f), jacfn=cvode_jacfn(f, S), linsolver="sparse", sparsity=S)

    f         takes y of shape (n,) and returns y' of that shape; CVODE's userdata, if
              there is any, as a third argument
    sparsity  as given to CVODE: JJ is then filled with the entries that it has, column
              after column (CSC)
    Raises InputError where y' is of another shape, and where an entry of the Jacobian
    is not 0 that sparsity leaves out.
    (A. C. Hindmarsh and others, SUNDIALS, ACM TOMS 31, 2005, section 2.1.)

    >>> def f(t, y):
    ...     return np.stack([-y[0], y[0] * y[1]])
    >>> JJ, y = np.zeros((2, 2)), np.array([2.0, 3.0])
    >>> jitad.interop.cvode_jacfn(f)(0.0, y, f(0.0, y), JJ)
    >>> JJ
    array([[-1.,  0.],
           [ 3.,  2.]])
    """
    slope, fill = jacobian(f, 1), _filling("cvode_jacfn", f, sparsity)

    def jacfn(
        t: float, y: np.ndarray, yp: np.ndarray, JJ: np.ndarray, *data: Any
    ) -> None:
        fill(JJ, slope(t, y, *data), len(y))

    return _with_arguments(jacfn, "t y yp JJ", f, 2)


def ida_resfn(F: Callable[..., Any]) -> Filling:
    """((t, y, yp) -> r)  ->  (t, y, yp, res), which fills res, as resfn of IDA.

    F may take IDA's userdata as a fourth argument.  Raises InputError where r is not of
    y's shape.  See `ida_jacfn`.
    """
    run = jit(F)

    def resfn(t: float, y: Any, yp: Any, res: np.ndarray, *userdata: Any) -> None:
        what = f"ida_resfn: what {name_of(F)} returns"
        r = run(t, y, yp, *userdata)
        res[:] = fitting(what, r, y.shape, "one residual for every y")

    return _with_arguments(resfn, "t y yp res", F, 3)


def ida_jacfn(F: Callable[..., Any], sparsity: Any = None) -> Filling:
    """((t, y, yp) -> r)  ->  (t, y, yp, res, cj, JJ), which fills JJ, for IDA.

        IDA(ida_resfn(F), jacfn=ida_jacfn(F), algebraic_idx=[2])

    F takes y and yp of shape (n,) and returns r of that shape, 0 on a solution; IDA's
    userdata, if there is any, as a fourth argument.  JJ becomes ∂r/∂y + cj ∂r/∂yp.
    sparsity and errors are those of `cvode_jacfn`.
    (A. C. Hindmarsh and others, SUNDIALS, ACM TOMS 31, 2005, section 2.3.)

    >>> def F(t, y, yp):
    ...     return np.stack([yp[0] + y[0], y[0] + y[1] - 1])
    >>> JJ, y, yp = np.zeros((2, 2)), np.array([1.0, 0.0]), np.array([-1.0, 1.0])
    >>> jitad.interop.ida_jacfn(F)(0.0, y, yp, F(0.0, y, yp), 10.0, JJ)
    >>> JJ
    array([[11.,  0.],
           [ 1.,  1.]])
    """
    slopes, fill = jacobian(F, (1, 2)), _filling("ida_jacfn", F, sparsity)

    def jacfn(
        t: float, y: Any, yp: Any, res: Any, cj: float, JJ: np.ndarray, *data: Any
    ) -> None:
        of_y, of_yp = slopes(t, y, yp, *data)
        fill(JJ, of_y + cj * of_yp, len(y))

    return _with_arguments(jacfn, "t y yp res cj JJ", F, 3)


def _filling(adapter: str, f: Callable[..., Any], sparsity: Any) -> Callable[..., None]:
    """(JJ, J, n): write a dense Jacobian into SUNDIALS' memory."""
    pattern = None if sparsity is None else csc_array(sparsity)
    what = f"{adapter}: the Jacobian of {name_of(f)}"

    def fill(JJ: np.ndarray, J: np.ndarray, n: int) -> None:
        fitting(what, J, (n, n), "as many results as y has entries")
        if pattern is None:
            JJ[:] = fitting(f"{adapter}: JJ", J, JJ.shape, "give sparsity here as well")
            return
        columns = np.repeat(np.arange(n), np.diff(pattern.indptr))
        entries = J[pattern.indices, columns]
        fitting(
            f"{adapter}: sparsity", entries, JJ.shape, "give the solver the same one"
        )
        if np.count_nonzero(entries) != np.count_nonzero(J):
            outside = J.copy()
            outside[pattern.indices, columns] = 0.0
            i, j = np.argwhere(outside)[0]
            raise InputError(
                f"{what} is {J[i, j]:g} in row {i}, column {j}, which sparsity leaves "
                f"out ({source_line()}); expected 0 there: add that entry to sparsity"
            )
        JJ[:] = entries

    return fill


def _with_arguments(
    callback: Callable[..., Any], names: str, f: Callable[..., Any], own: int
) -> Filling:
    """The callback with the signature that sksundae counts: userdata if f takes it."""
    userdata = ["userdata"] if len(inspect.signature(f).parameters) > own else []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(n, kind) for n in (*names.split(), *userdata)]
    callback.__signature__ = inspect.Signature(parameters)  # pyright: ignore
    return callback

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
    fill = _filling("cvode_jacfn", f, jacobian(f, 1), sparsity)

    def jacfn(t: float, y: np.ndarray, yp: Any, JJ: np.ndarray, *data: Any) -> None:
        fill(JJ, len(y), t, y, *data)

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
    slopes = jacobian(F, (1, 2))

    def matrix(cj: Any, *args: Any) -> Any:
        of_y, of_yp = slopes(*args)
        return of_y + cj * of_yp

    fill = _filling("ida_jacfn", F, matrix, sparsity)

    def jacfn(
        t: float, y: Any, yp: Any, res: Any, cj: float, JJ: np.ndarray, *data: Any
    ) -> None:
        fill(JJ, len(y), cj, t, y, yp, *data)

    return _with_arguments(jacfn, "t y yp res cj JJ", F, 3)


def _filling(
    adapter: str, f: Callable[..., Any], matrix: Callable[..., Any], sparsity: Any
) -> Callable[..., None]:
    """(JJ, n, *args): write matrix(*args), of n rows and columns, where SUNDIALS reads.

    Of a sparse one its entries alone are computed, and whether others are not 0.
    """
    what, dense = f"{adapter}: the Jacobian of {name_of(f)}", jit(matrix)
    if sparsity is None:

        def fill(JJ: np.ndarray, n: int, *args: Any) -> None:
            J = fitting(what, dense(*args), (n, n), "as many results as y has entries")
            remedy = "give sparsity here as well"
            JJ[:] = fitting(f"{adapter}: JJ", J, JJ.shape, remedy)

        return fill
    pattern: Any = csc_array(sparsity)
    inside = (
        pattern.indices,
        np.repeat(np.arange(pattern.shape[1]), np.diff(pattern.indptr)),
    )
    left_out = np.ones(pattern.shape, bool)
    left_out[inside] = False

    def parts(*args: Any) -> Any:
        J = fitting(what, matrix(*args), pattern.shape, "as many rows as sparsity has")
        return J[inside], np.sum(np.abs(J[np.nonzero(left_out)]))

    entries = jit(parts)

    def fill_columns(JJ: np.ndarray, n: int, *args: Any) -> None:
        found, outside = entries(*args)
        if outside != 0:
            J = np.where(left_out, dense(*args), 0.0)
            i, j = np.argwhere(J)[0]
            raise InputError(
                f"{what} is {J[i, j]:g} in row {i}, column {j}, which sparsity leaves "
                f"out ({source_line()}); expected 0 there: add that entry to sparsity"
            )
        remedy = "give the solver the same one"
        JJ[:] = fitting(f"{adapter}: sparsity", found, JJ.shape, remedy)

    return fill_columns


def _with_arguments(
    callback: Callable[..., Any], names: str, f: Callable[..., Any], own: int
) -> Filling:
    """The callback with the signature that sksundae counts: userdata if f takes it."""
    userdata = ["userdata"] if len(inspect.signature(f).parameters) > own else []
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(n, kind) for n in (*names.split(), *userdata)]
    callback.__signature__ = inspect.Signature(parameters)  # pyright: ignore
    return callback

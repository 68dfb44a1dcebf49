"""linear_solve: A x = b for a small matrix, or a linear function, that is traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jacobian
from jitad.errors import InputError, ShapeError
from jitad.ir.graph import Type, reach
from jitad.ir.source import source_line
from jitad.ir.trace import Input, current
from jitad.ir.tracer import Tracer, as_tracer
from jitad.primitives.control.rules import custom_vjp

from .closed import UNKNOWNS, Closed, close, evaluate


@custom_vjp
def solve(a: Any, b: Any) -> Any:
    """The x of A x = b for a traced matrix and a vector or matrix b.

    Stated for reverse mode, b̄ = A⁻ᵀ x̄ and Ā = -b̄ xᵀ, it is transposed for forward
    mode, and transposed back wherever the rule is differentiated: equal matrices are
    eliminated once.
    """
    return np.linalg.solve(a, b)


def _forward(a: Any, b: Any) -> Any:
    x = solve(a, b)
    return x, (a, x)


def _backward(residuals: Any, x_bar: Any) -> tuple[Any, Any]:
    a, x = residuals
    b_bar = solve(np.transpose(a), x_bar)
    if x.ndim == 1:
        return -np.outer(b_bar, x), b_bar
    return -(b_bar @ np.transpose(x)), b_bar


solve.defvjp(_forward, _backward)


def linear_solve(a: Any | Callable[[Any], Any], b: Any) -> Any:
    """The x of A x = b, by elimination with partial pivoting.

    a  a matrix, or a function x -> A x, whose matrix is made of its derivatives; its
       result has x's structure, shapes and dtypes, and it may use any traced values
    b  a vector, or a matrix for as many solutions as it has columns; for a function
       any nested containers of arrays, x being alike

    ẋ = A⁻¹ (ḃ - Ȧ x), with the elimination of the solution itself, in both modes.  NaN
    where A is singular.  At most 32 unknowns: eliminations are unrolled.
    Raises InputError, ShapeError where a does not fit b, or is no linear function.
    """
    if current() is None:
        if callable(a):
            return evaluate("linear_solve", lambda b: linear_solve(a, b), b)
        return evaluate("linear_solve", linear_solve, a, b)
    return _solve_function(a, b) if callable(a) else _solve_matrix(a, b)


def _solve_matrix(a: Any, b: Any) -> Any:
    running = current()
    assert running is not None
    a, b = as_tracer(running, a), as_tracer(running, b)
    rows, columns = a.shape, b.shape
    if len(rows) != 2 or rows[0] != rows[1] or columns[:1] != rows[:1]:
        raise ShapeError(
            f"linear_solve: a of shape {rows}, b of shape {columns} ({source_line()}); "
            "expected (n, n) and (n,) or (n, k); use jitad.vmap for stacks of matrices"
        )
    if rows[0] > UNKNOWNS:
        raise ShapeError(
            f"linear_solve: {rows[0]} unknowns ({source_line()}); expected at most "
            f"{UNKNOWNS}, as the elimination is unrolled; use np.linalg.solve or "
            "scipy.sparse.linalg outside of the kernel"
        )
    dtype = np.result_type(a.dtype, b.dtype, np.float32)
    return solve(a.astype(dtype), b.astype(dtype))


def _solve_function(matvec: Callable[[Any], Any], b: Any) -> Any:
    says = "A x, with as many results as unknowns"
    closed, vector, parameters = close("linear_solve", matvec, b, says)
    zero = np.zeros_like(vector)
    matrix = jacobian(closed)
    _check_linear(closed, matrix, parameters)
    # A function that is linear but for a constant is solved, too: A x + c = b.
    right = vector - closed(zero, *parameters)
    x = solve(matrix(zero, *parameters), right)
    return closed.unknown.whole(x)


def _check_linear(closed: Closed, matrix: Any, parameters: tuple[Tracer, ...]) -> None:
    """Raise InputError where the derivative of the function depends on its argument."""
    unknown = closed.unknown
    inputs = [Input(Type(unknown.dtype, (unknown.size,)))]
    inputs += [Input(p.type) for p in parameters]
    arguments = tuple(range(len(inputs)))
    graph = matrix.derived(tree.flatten((arguments, {}))[1], tuple(inputs)).graph
    if graph.inputs[0] in reach(graph.nodes, graph.outputs):
        raise InputError(
            f"linear_solve: the derivative of the function depends on x "
            f"({source_line()}); expected a linear function; jitad.root solves "
            "f(x) - b = 0"
        )

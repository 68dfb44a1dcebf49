"""pyceres: cost functions that write residuals and Jacobians where Ceres wants them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.api import jit
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.process.late import late

from .adapting import name_of, result_shape, with_slopes

pyceres = late("pyceres")


def pyceres_cost(residual: Callable[..., Any], *sizes: int) -> Any:
    """((*blocks) -> r)  ->  a CostFunction of pyceres with exact Jacobians.

        cost = jitad.interop.pyceres_cost(residual, 6, 3)
        problem.add_residual_block(cost, None, [camera, point])

    sizes  of the parameter blocks, which residual takes as arrays of shape (size,)
    residual returns r of shape (m,); blocks that are constant get no Jacobian.  Every
    entry of Ceres' arrays, which lie there full of 1e302, is written.
    Raises InputError where residual returns anything else than one vector.
    (S. Agarwal, K. Mierle and others, Ceres Solver, section CostFunction.)

    >>> def residual(a, b):
    ...     return np.stack([a[0] - b[0], a[1] * b[1], b[2]])
    >>> cost = jitad.interop.pyceres_cost(residual, 2, 3)
    >>> cost.num_residuals(), cost.parameter_block_sizes()
    (3, [2, 3])
    """
    shape = result_shape("pyceres_cost", residual, *[np.ones(n) for n in sizes])
    if len(shape) != 1:
        raise InputError(
            f"pyceres_cost: what {name_of(residual)} returns has shape {shape} "
            f"({source_line()}); expected one axis, of residuals: flatten it with "
            "np.ravel"
        )
    value = jit(residual)
    both = with_slopes(residual, tuple(range(len(sizes))))

    class Cost(pyceres.CostFunction):
        def __init__(self) -> None:
            super().__init__()
            self.set_num_residuals(shape[0])
            self.set_parameter_block_sizes(list(sizes))

        def Evaluate(self, parameters: Any, residuals: Any, jacobians: Any) -> bool:  # noqa: N802
            if jacobians is None:
                residuals[:] = value(*parameters)
                return True
            residuals[:], found = both(*parameters)
            for flat, slope in zip(jacobians, found, strict=True):
                if flat is not None:
                    flat[:] = slope.ravel()
            return True

    return Cost()

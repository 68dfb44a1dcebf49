"""Plain NumPy functions to compiled, batched derivatives at the machine's limit."""

from jitad import primitives
from jitad.api import (
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)
from jitad.errors import (
    InputError,
    JitadError,
    ShapeError,
    TracingError,
    UnsupportedError,
)
from jitad.explain import explain
from jitad.picture import graph

__all__ = [
    "InputError",
    "JitadError",
    "ShapeError",
    "TracingError",
    "UnsupportedError",
    "explain",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "linearize",
    "primitives",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]

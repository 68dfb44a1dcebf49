"""Plain NumPy functions to compiled, batched derivatives at the machine's limit."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from jitad import primitives, random
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
from jitad.backends.cpu.threads import get_threads, set_threads, threads
from jitad.errors import (
    InputError,
    JitadError,
    ShapeError,
    TracingError,
    UnsupportedError,
)
from jitad.primitives.arrays.creation import array, empty, full, ones, zeros
from jitad.primitives.control.branch import cond, switch
from jitad.primitives.control.loops import checkpoint, fori_loop, scan, while_loop
from jitad.primitives.control.rules import custom_jvp, custom_vjp
from jitad.primitives.scalar.sums import log_softmax, logsumexp, softmax
from jitad.show.explain import explain
from jitad.show.info import Info, cache_clear, info

if TYPE_CHECKING:
    from jitad import interop as interop
    from jitad import testing as testing
    from jitad.calls.device import device_put
    from jitad.custom import primitive
    from jitad.implicit import fixed_point, linear_solve, root
    from jitad.interop.cuda_device import cuda_device
    from jitad.interop.njit import njit
    from jitad.residuals import gauss_newton
    from jitad.show.picture import graph
    from jitad.testing import CheckError, check

# What most programs do without, by the module that it is imported from when needed.
_LATE = {
    "CheckError": "jitad.testing",
    "check": "jitad.testing",
    "cuda_device": "jitad.interop.cuda_device",
    "device_put": "jitad.calls.device",
    "fixed_point": "jitad.implicit",
    "gauss_newton": "jitad.residuals",
    "graph": "jitad.show.picture",
    "linear_solve": "jitad.implicit",
    "njit": "jitad.interop.njit",
    "primitive": "jitad.custom",
    "root": "jitad.implicit",
}

__all__ = [
    "CheckError",
    "Info",
    "InputError",
    "JitadError",
    "ShapeError",
    "TracingError",
    "UnsupportedError",
    "array",
    "cache_clear",
    "check",
    "checkpoint",
    "cond",
    "cuda_device",
    "custom_jvp",
    "custom_vjp",
    "device_put",
    "empty",
    "explain",
    "fixed_point",
    "fori_loop",
    "full",
    "gauss_newton",
    "get_threads",
    "grad",
    "graph",
    "hessian",
    "hvp",
    "info",
    "interop",
    "jacobian",
    "jit",
    "jvp",
    "linear_solve",
    "linearize",
    "log_softmax",
    "logsumexp",
    "njit",
    "ones",
    "primitive",
    "primitives",
    "random",
    "root",
    "scan",
    "set_threads",
    "softmax",
    "stop_gradient",
    "switch",
    "threads",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
    "zeros",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name == "__version__":
        found = import_module("importlib.metadata").version("jitad")
    elif name in ("interop", "testing"):
        found = import_module(f"jitad.{name}")
    elif name in _LATE:
        found = getattr(import_module(_LATE[name]), name)
    else:
        raise AttributeError(f"module 'jitad' has no attribute {name!r}")
    globals()[name] = found
    return found

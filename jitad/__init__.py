"""Plain NumPy functions to compiled, batched derivatives at the machine's limit.

The house, from the door down; a module knows only what is below it, and
`tests/project/test_floors.py` holds it to that.

    cli, __main__      the command `jitad`; `demo` has the problems that it fits
    api, directions    what users call, a sentence each: jit, grad, jacobian, vmap …;
                       and jvp, vjp, linearize
    implicit, interop, testing, show, custom, residuals
                       root and fixed_point; other libraries; check; explain and graph
    deriving, asking   from a function to the graph that one call computes, and to what
                       is asked of large arrays
    calls              the Function that every transform returns, and its calls
    elements           large arrays at one point, whose elements are the lanes
    plan               from a derived graph and arrays to a kernel that runs on them
    backends           exchange: arrays of other libraries; cuda: cards; cpu: the host
    transforms         derivatives of scalar graphs; rewrite: cheaper graphs of the same
                       values; scalars: from array graphs to scalar graphs
    lowering           scalar graphs to kernels; llvm and cuda print them
    primitives         what can be computed, a module per family
    reading            Numba functions: their blocks, run on traced values
    kept               what is kept on disk
    ir                 graphs, tracing and interpreting
    tree, errors, process

What happens to a function at its first call, and by which verb:

    trace       a NumPy function run on tracers    -> array graph    ir.trace
    scalarize   every array taken apart            -> scalar graph   scalars
    jacobian    local partials accumulated         -> scalar graph   derivatives
    lower       expand, sink, schedule, validate   -> Kernel         plan.pipeline
    compile     a Machine prints and compiles it   -> executable     backends
    fitted      for arrays that lie like these     -> Fitted         plan.choose
    run         a Place holds arrays and launches  -> results        calls

Words that mean one thing here:

    accumulate   make a Jacobian of local partials: forward, reverse or cross-country
    cell         a box of an array that is not stored, and what its elements are
    derived      the scalar graph that one point of a call computes, and how it came
    flow         what is computed of whole arrays, statement by statement
    graph        a flat tuple of nodes that name their operands by number
    kernel       a loop nest over points, of statements on scalar words
    lane         one point among those that a vector, or a warp, computes at once
    layout       how the elements of an array lie for a kernel: rows, streams, fixed …
    leaf         an array or number in the tree of a call's arguments or results
    level        one vmap around a function: a batch axis, with an extent
    machine      what kernels are compiled for
    place        what holds arrays and runs kernels, for one call
    plan         a compiled kernel with the choices behind it
    point        one set of arguments of a batch
    primitive    what can stand in a graph: its value, its shape, its partials
    signature    what is known of a call before its arrays are looked at
    structure    a primitive that only moves elements
    target       the machine whose code is being written
    trace        one run of a function on tracers, and the graph that grows by it
    tracer       what stands for an array in the meantime
    variant      one of several kernels that compute the same
    word         a scalar operation that every machine has
"""

from typing import TYPE_CHECKING, Any

from jitad import primitives, random
from jitad.api import (
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    stop_gradient,
    value_and_grad,
    vmap,
)
from jitad.backends.cpu.threads import get_threads, set_threads, threads
from jitad.directions import jvp, linearize, vjp
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
from jitad.process.late import bring
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
        found = bring("importlib.metadata").version("jitad")
    elif name in ("interop", "testing"):
        found = bring(f"jitad.{name}")
    elif name in _LATE:
        found = getattr(bring(_LATE[name]), name)
    else:
        raise AttributeError(f"module 'jitad' has no attribute {name!r}")
    globals()[name] = found
    return found

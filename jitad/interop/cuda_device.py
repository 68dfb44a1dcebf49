"""`cuda_device`: a value or a derivative, for the user's own CUDA kernels in Numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitad.process.late import late

from . import examples

backend = late("jitad.backends.cuda.for_numba")
device_routine = late("jitad.interop.device_routine")


def cuda_device(function: Callable[..., Any], *args: Any) -> Any:
    """(*args) -> results as a device function, for arguments like those of args.

        slope = jitad.cuda_device(jitad.grad(f), np.zeros(3))

        @cuda.jit(link=slope.link)
        def slopes(X, result):
            i = cuda.grid(1)
            if i < len(X):
                slope(X[i], result[i])

    Results that are arrays are written into arrays that are given after the arguments,
    in their order, and must not overlap what is read; numbers are returned: one, or a
    tuple.  Numbers must be of the example's dtype, arrays of its dtype and shape, with
    any strides: parts of arrays on the card, shared or local ones.  Anything else is
    Numba's TypingError; another shape a ValueError, which Numba tells of in kernels
    with debug=True, and which otherwise ends the thread.  Where NumPy would raise
    LinAlgError results are NaN.

    link is what the kernel is linked with: files for the CUDA target that comes with
    Numba; nothing for numba-cuda, which is told by the function itself.

    Raises InputError for containers and for batches, DeviceError where Numba's CUDA is
    missing, CompilerError where NVRTC is, and UnsupportedError for what has no CUDA.
    """
    example = examples.prepared("cuda_device", function, args)
    return backend.compile(device_routine.routine(example))

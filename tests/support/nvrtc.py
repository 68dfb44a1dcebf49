"""Whether NVIDIA's compiler is there, and for which cards kernels are compiled."""

from __future__ import annotations

import pytest

from jitad.backends.cuda import nvrtc
from jitad.backends.cuda.nvrtc import CompilerError


def missing() -> str:
    try:
        nvrtc.version()
    except CompilerError as error:
        return str(error)
    return ""


needs_compiler = pytest.mark.skipif(bool(missing()), reason=missing())
CAPABILITIES = ((7, 5), (8, 0), (9, 0), (10, 0))

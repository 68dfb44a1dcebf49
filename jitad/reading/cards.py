"""Calls of CUDA device functions with traced values: they are read, too.

`jitad` imports this module when the part of Numba that knows them has been imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jitad.ir.primitive import registry

from . import door, frontend


def _called(function: Any, *args: Any, **keywords: Any) -> Any:
    read: Callable[..., Any] = door.called(function, *args, **keywords)
    return read()


registry.redirects[frontend.card_dispatchers.CUDADispatcher.__call__] = _called

"""Floor 2: everything jitad knows how to compute, a file per family."""

from jitad.primitives import (
    creation,
    elementwise,
    gather,
    index,
    methods,
    query,
    shape,
    ufunc,
)

__all__ = [
    "creation",
    "elementwise",
    "gather",
    "index",
    "methods",
    "query",
    "shape",
    "ufunc",
]

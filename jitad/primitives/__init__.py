"""Floor 2: everything jitad knows how to compute, a file per family."""

from jitad.primitives import elementwise, shape

__all__ = ["elementwise", "shape"]

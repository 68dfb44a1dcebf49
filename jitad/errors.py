"""The errors that jitad raises: what was expected, what came, and a remedy."""

from __future__ import annotations


class JitadError(Exception):
    """Base class of jitad's own errors."""


class TracingError(JitadError, TypeError):
    """A traced value was used where only a concrete number can be."""


class UnsupportedError(JitadError, TypeError):
    """A NumPy function, argument or dtype that jitad refuses rather than guess."""


class InputError(JitadError, TypeError):
    """An argument of a wrong type, shape or dtype at the call."""


class ShapeError(JitadError, ValueError):
    """Shapes or batch axes that do not fit together."""

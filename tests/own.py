"""The names of jitad's own primitives, read before a test file can register others."""

from jitad import primitives
from jitad.ir.primitive import registry

assert primitives
registry.complete()

OWN = tuple(registry.primitives)

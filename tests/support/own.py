"""The names of jitad's own primitives, read before a test file can register others."""

from jitad import primitives
from jitad.ir.primitive import registry

assert primitives
registry.complete()

# Random programs are drawn by place.  Families that are imported late come before
# sums, so that what is drawn does not depend on when they are imported.
_SUMS = ("logaddexp", "logsumexp", "softmax", "log_softmax")
OWN = tuple(sorted(registry.primitives, key=lambda name: name.startswith(_SUMS)))

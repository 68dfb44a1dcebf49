"""Everything jitad knows how to compute, a module per family.

`special` and `polynomials` wait until somebody has imported what they know the
functions of (see `Registry.families`).
"""

from jitad.ir.primitive import registry

from .arrays import (
    contraction,
    creation,
    einsum,
    gather,
    index,
    moment,
    norm,
    order,
    picking,
    reduction,
    sequence,
    shape,
)
from .control import branch, rules
from .control import loops as control
from .matrices import determinant, eigen, linalg
from .protocol import methods, query, ufunc
from .scalar import bessel, elementary, elementwise, exact, nary, power, rounding, sums

registry.families["numpy.polynomial"] = "jitad.primitives.arrays.polynomials"
registry.families["scipy.special"] = "jitad.primitives.scalar.special"

__all__ = [
    "bessel",
    "branch",
    "contraction",
    "control",
    "creation",
    "determinant",
    "eigen",
    "einsum",
    "elementary",
    "elementwise",
    "exact",
    "gather",
    "index",
    "linalg",
    "methods",
    "moment",
    "nary",
    "norm",
    "order",
    "picking",
    "power",
    "query",
    "reduction",
    "rounding",
    "rules",
    "sequence",
    "shape",
    "sums",
    "ufunc",
]

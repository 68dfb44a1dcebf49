"""Floor 2: everything jitad knows how to compute, a file per family.

`special` and `polynomials` wait until somebody has imported what they know the
functions of (see `Registry.families`).
"""

from jitad.ir.primitive import registry
from jitad.primitives import (
    branch,
    contraction,
    control,
    creation,
    determinant,
    eigen,
    einsum,
    elementary,
    elementwise,
    exact,
    gather,
    index,
    linalg,
    methods,
    moment,
    nary,
    norm,
    order,
    picking,
    power,
    query,
    reduction,
    rounding,
    rules,
    sequence,
    shape,
    sums,
    ufunc,
)

registry.families["numpy.polynomial"] = "jitad.primitives.polynomials"
registry.families["scipy.special"] = "jitad.primitives.special"

__all__ = [
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

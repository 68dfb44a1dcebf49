"""Every scalar rule against mpmath: at most 4 units in the last place, anywhere.

The reference is the textbook formula of each partial, evaluated in so many bits that
it may be as naive as in the textbook.  Points are those declared with the primitive and
numbers of all sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir.primitive import registry
from tests.cases.partials import MP, PARTIALS, applied, references, ulps

ULP = 4
DTYPES = tuple(np.dtype(t) for t in ("f8", "f4"))
BACKENDS = ("cpu", "numpy")


# Functions of conditions, and those whose derivative is zero or a convention.
ELSEWHERE = {
    "select", "gate", "stop_gradient", "undefined_where", "line", "gap_error",
    "sign", "spacing", "floor_divide", "ahead", "either", "nonzero", "line_or_corner",
    "settled", "factor_gate", "factor_mul", "squares",
}  # fmt: skip


# -- points --------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(PARTIALS))
def test_partials(name: str, dtype: np.dtype, backend: Any) -> None:
    columns, exact = references(name, dtype)
    unknown = registry.primitives[name].unknown
    every = tuple(k for k in range(len(columns)) if k not in unknown)
    jacobian = jitad.jacobian(applied(name), argnums=every, backend=backend)
    assert columns.size
    for k, column in zip(every, jitad.vmap(jacobian)(*columns), strict=True):
        errors = ulps(column, [e[k] for e in exact], dtype)
        worst = int(np.argmax(errors))
        assert column.dtype == dtype
        assert errors[worst] <= ULP, (
            f"∂{name}/∂x{k} at {columns[:, worst]} is {errors[worst]:.1f} ulp off: "
            f"{column[worst]!r} and not {MP.nstr(exact[worst][k], 17)}"
        )


def test_every_primitive_is_here() -> None:
    """A new scalar function needs points, and its formula in the table above."""
    for primitive in registry.primitives.values():
        if primitive.kind == "elementwise" and primitive.partials:
            assert (primitive.name in PARTIALS) != (primitive.name in ELSEWHERE)
            assert primitive.points or primitive.name in ELSEWHERE

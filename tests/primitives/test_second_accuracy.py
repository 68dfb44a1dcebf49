"""Second derivatives of smooth scalar rules against mpmath, in all pairs of modes.

The reference is a difference quotient of the textbook partial in so many bits that it
may count as exact.  Points are some of those of `test_accuracy`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir.primitive import registry
from tests.cases.partials import MP, PARTIALS, applied, references, ulps

MODES = ("forward", "reverse", "cross")
PAIRS = [*product(MODES, MODES)]
DTYPE = np.dtype(float)
ULP = 6

NAMES = """
    arccos arccosh arcsin arcsinh arctan arctan2 arctanh bell cbrt cos cosh div entr
    erf erfc exp exp2 expit expm1 exprel fma gauss gauss_half hypot i0 i1 kl_div log
    log10 log1p log2 log_expit log_ratio logaddexp logaddexp2 logit logsumexp_of mul
    ndtr norm_of pow pow-0.5 pow-1.5 pow-2 pow-3 pow-4 pow1.5 pow2.5 pow3 pow4 pow5 pow6
    rel_entr sin sinc sinh sqrt tan tanh xlog1py xlogy
""".split()  # noqa: SIM905 -- a table of words

# Away from where the second derivative passes through zero: there no relative accuracy
# can be asked for.
AWAY: dict[str, Callable[..., bool]] = {
    "arctan2": lambda y, x: abs(abs(y) - abs(x)) > 0.1 * abs(x),
    "bell": lambda x: abs(abs(x) - 1.317) > 0.2,
    "gauss": lambda x: abs(abs(x) - 0.707) > 0.1,
    "gauss_half": lambda x: abs(abs(x) - 1) > 0.1,
    "sinc": lambda x: abs(x) < 0.5 or x == np.rint(x),
    "pow": lambda x, p: abs(1 + p * np.log(x)) > 0.1,
}


def hessians(name: str) -> tuple[np.ndarray, list[list[list[Any]]]]:
    """Points of a primitive, a row for each operand, and its exact Hessians there."""
    columns, _ = references(name, DTYPE)
    own, apart = len(registry.primitives[name].points), AWAY.get(name, lambda *xs: True)
    points, found = [], []
    for point in [*columns[:, :own].T.tolist(), *columns[:, own::9].T.tolist()]:
        if not apart(*point):
            continue
        exact = [MP.mpf(x) for x in point]
        rows = []
        for k, x in enumerate(exact):
            step = MP.ldexp(min(abs(x), 1) or MP.mpf(1), -180)
            after, before = list(exact), list(exact)
            after[k], before[k] = x + step, x - step
            pairs = zip(PARTIALS[name](*after), PARTIALS[name](*before), strict=True)
            rows.append([(MP.mpf(a) - b) / (2 * step) for a, b in pairs])
        points.append(point)
        found.append(rows)
    return np.array(points, DTYPE).T, found


@pytest.mark.parametrize("name", NAMES)
def test_second_partials(name: str) -> None:
    columns, exact = hessians(name)
    every = tuple(range(len(columns)))
    assert columns.shape[1] >= 3
    for first, second in PAIRS:
        options: Any = {"argnums": every, "backend": "numpy"}
        jacobian = jitad.jacobian(applied(name), mode=first, **options)
        hessian = jitad.vmap(jitad.jacobian(jacobian, mode=second, **options))(*columns)
        for i, j in product(every, every):
            column = np.asarray(hessian[i][j])
            errors = ulps(column, [e[i][j] for e in exact], DTYPE)
            worst = int(np.argmax(errors))
            assert errors[worst] <= ULP, (
                f"∂²{name}/∂x{i}∂x{j}, {first} over {second}, at {columns[:, worst]} "
                f"is {errors[worst]:.1f} ulp off: {column[worst]!r} and not "
                f"{MP.nstr(exact[worst][i][j], 17)}"
            )
            np.testing.assert_array_equal(column, hessian[j][i], strict=True)

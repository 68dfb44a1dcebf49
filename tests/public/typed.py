"""What type checkers know of a user's code: pyright reads this file, nothing runs it.

What has to be an error is marked, and would be one more if it were none.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from typing import Any, assert_type

import numpy as np

import jitad

Array = np.ndarray
x = np.ones(3)


def energy(x: Array, stiffness: float = 1.0) -> Array:
    return stiffness * np.sum(x * x, keepdims=True)


compiled = jitad.jit(energy)
assert_type(compiled(x), Array)
assert_type(compiled(x, stiffness=2.0), Array)
assert_type(compiled(x, out=np.empty(1)), Array)
compiled(x, stifness=2.0)  # type: ignore[call-overload]
compiled("x")  # type: ignore[arg-type]


@jitad.jit
def decorated(x: Array) -> tuple[Array, Array]:
    return x, np.sin(x)


assert_type(decorated(x), tuple[Array, Array])
assert_type(jitad.vmap(decorated)(x), tuple[Array, Array])
assert_type(jitad.vmap(energy, in_axes=(0, None))(x, 2.0), Array)
assert_type(jitad.jit(energy, backend="numpy", cache=False)(x), Array)
jitad.jit(energy, backend="gpu")  # type: ignore[arg-type]

assert_type(jitad.grad(energy)(x, 2.0), Any)
assert_type(jitad.jacobian(decorated, mode="reverse")(x), Any)
assert_type(jitad.vmap(jitad.hessian(energy))(x), Any)
assert_type(jitad.value_and_grad(energy)(x), tuple[Array, Any])
jitad.grad(energy)(x, 2.0, 3.0)  # type: ignore[call-arg]

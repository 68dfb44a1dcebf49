"""JAX: jit(vmap(…)) in double precision, reverse and forward mode, waited for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.harness import Participant, Runner
from benchmarks.work import Setting, Work


def participants(work: Work, setting: Setting) -> list[Participant]:
    """One for each mode; the fastest is to be compared with."""
    jax.config.update("jax_enable_x64", True)

    def prepare(derived: Callable[..., Any]) -> Runner:
        if work.batched:
            derived = jax.vmap(derived, work.in_axes, work.out_axis)
        compiled = jax.jit(derived)
        inputs = [jnp.asarray(x) for x in work.inputs]
        return Runner(lambda: jax.block_until_ready(compiled(*inputs)), flat)

    return [
        Participant(name, partial(prepare, derived))
        for name, derived in transformed(work).items()
    ]


def transformed(work: Work) -> dict[str, Callable[..., Any]]:
    """x -> value and derivatives, one for each mode worth trying.

    The value comes as auxiliary output of the derivative, so that it is not computed
    a second time.
    """
    f = partial(work.function, jnp)
    if work.derivative == "hessian":
        return {
            "JAX hessian": jax.hessian(f),
            "JAX jacfwd(jacfwd)": jax.jacfwd(jax.jacfwd(f)),
        }
    if work.derivative == "gradient":
        return {"JAX value_and_grad": jax.value_and_grad(f, argnums=work.argnums)}

    def with_value(*arguments: Any) -> tuple[Any, Any]:
        value = f(*arguments)
        return value, value

    return {
        "JAX jacrev": jax.jacrev(with_value, argnums=work.argnums, has_aux=True),
        "JAX jacfwd": jax.jacfwd(with_value, argnums=work.argnums, has_aux=True),
    }


def flat(result: Any) -> tuple[np.ndarray, ...]:
    """Value first, then derivatives, as NumPy arrays."""
    if isinstance(result, tuple) and isinstance(result[0], tuple):
        result = (result[1], *result[0])  # (Jacobians, value)
    return tuple(np.asarray(x) for x in jax.tree.leaves(result))

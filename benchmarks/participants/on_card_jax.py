"""JAX on a card: jit(vmap(…)) in double precision, reverse and forward mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax

from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.participants.with_jax import flat, transformed
from benchmarks.work import Setting, Work


def device() -> Any:
    """The card; raises UnavailableError where JAX has none."""
    try:
        return jax.devices("gpu")[0]
    except RuntimeError as error:
        raise UnavailableError("JAX without a card") from error


def participants(work: Work, setting: Setting) -> list[Participant]:
    """One for each mode; the fastest is to be compared with."""
    jax.config.update("jax_enable_x64", True)
    card = device()
    given = cache(lambda: jax.device_put(work.inputs, card))

    def prepare(derived: Callable[..., Any]) -> Runner:
        compiled = jax.jit(jax.vmap(derived, work.in_axes, work.out_axis))
        inputs = given()
        return Runner(lambda: compiled(*inputs), flat, jax.block_until_ready)

    return [
        Participant(name, partial(prepare, derived))
        for name, derived in transformed(work).items()
    ]

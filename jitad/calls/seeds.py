"""Tangents and cotangents as users give them: checked against what they belong to."""

from __future__ import annotations

from typing import Any

import numpy as np

from jitad import tree
from jitad.backends.exchange.foreign import Foreign
from jitad.errors import InputError, ShapeError
from jitad.ir.plain import plain_array
from jitad.ir.tracer import Tracer

from .arrays import plain


def seeds_like(name: str, like: Any, seeds: Any) -> tuple[Any, int | None]:
    """Seeds in the dtypes of what they are like, and their common leading axis K."""
    wanted, spec = tree.flatten(like)
    given, found = tree.flatten(seeds)
    wanted, given = [plain(x) for x in wanted], [plain(x) for x in given]
    if found != spec:
        raise InputError(f"{name}: expected seeds of structure {spec}, got {found}")
    counts, made = set(), []
    for w, s in zip(wanted, given, strict=True):
        shape, got = np.shape(w), np.shape(s)
        if got == shape:
            counts.add(None)
        elif got[1:] == shape and len(got) == len(shape) + 1:
            counts.add(got[0])
        else:
            raise ShapeError(
                f"{name}: expected a seed of shape {shape}, or (K, *{shape}), got {got}"
            )
        made.append(_cast(name, s, getattr(w, "dtype", None) or np.asarray(w).dtype))
    if len(counts) > 1:
        raise ShapeError(
            f"{name}: expected all seeds with the same leading axis K, or none; got "
            f"{sorted(map(str, counts))}"
        )
    return tree.unflatten(spec, made), next(iter(counts), None)


def _cast(name: str, seed: Any, dtype: np.dtype) -> Any:
    """A seed in a dtype; one on a card has to have it."""
    if isinstance(seed, Tracer):
        return seed.astype(dtype)
    if not isinstance(seed, Foreign):
        return plain_array(seed).astype(dtype, copy=False)
    if seed.dtype != dtype:
        raise InputError(
            f"{name}: expected a seed of {dtype}, got one of {seed.dtype} on "
            f"cuda:{seed.card}; convert it there, as by x.astype({dtype})"
        )
    return seed.owner

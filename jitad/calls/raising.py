"""What a call raises before or after it ran, as NumPy and the function itself do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from jitad import tree

from . import arrays

_TRIED = 200  # points of a batch that are NaN


def check_ints(
    name: str,
    narrowed: Iterable[tuple[int, np.dtype]],
    spec: tree.PyTreeSpec,
    leaves: Sequence[Any],
) -> None:
    """Raise OverflowError, as NumPy does, for Python ints that a dtype has not."""
    for k, dtype in narrowed:
        value, limits = leaves[k], np.iinfo(dtype)
        if type(value) is int and not limits.min <= value <= limits.max:
            raise OverflowError(
                f"{name}: argument {tree.argument_names(spec)[k]} is {value}, "
                f"out of bounds for {dtype}, in which NumPy computes a Python int "
                f"with {dtype}; pass np.int64({value}) to compute in int64"
            )


def raise_as_numpy(
    value: Callable[..., Any], spec: tree.PyTreeSpec, leaves: Sequence[Any], result: Any
) -> None:
    """Let NumPy raise LinAlgError where a kernel could only give NaN."""
    if any(np.isnan(x).any() for x in tree.flatten(result)[0]):
        _evaluated(value, spec, leaves)


def raise_at_a_point(
    name: str,
    value: Callable[..., Any],
    spec: tree.PyTreeSpec,
    views: Sequence[np.ndarray],
    result: Any,
    axes: Sequence[Sequence[int]],
) -> None:
    """Let the function raise at the first point where it does, and say at which.

    views  arguments, batch axes first, of length 1 where they are the same
    axes   of every result those of the batch
    Of the points whose results are NaN some hundreds are tried.
    """
    failed = np.False_
    for x, own in zip(tree.flatten(result)[0], axes, strict=True):
        nan = np.isnan(arrays.batch_first(x, own))
        failed = failed | nan.any(axis=tuple(range(len(own), nan.ndim)))
    for place in np.argwhere(failed)[:_TRIED]:
        point = [
            x[tuple(p if n > 1 else 0 for p, n in zip(place, x.shape, strict=False))]
            for x in views
        ]
        try:
            _evaluated(value, spec, point)
        except Exception as error:
            where = ", ".join(map(str, place))
            error.add_note(f"{name}: at point {where} of the batch.")
            raise


def _evaluated(
    value: Callable[..., Any], spec: tree.PyTreeSpec, leaves: Sequence[Any]
) -> None:
    """Call the function with copies, for it may write to its arguments."""
    args, kwargs = tree.unflatten(spec, list(map(arrays.copied, leaves)))
    with np.errstate(all="ignore"):
        value(*args, **kwargs)

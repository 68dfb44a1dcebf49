"""The dtypes in which a NumPy ufunc computes, as NumPy itself resolves them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from jitad.errors import UnsupportedError

from .graph import COMPUTED, DTYPES
from .source import source_line


@lru_cache(maxsize=4096)
def loop_dtypes(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...]:
    """The dtypes that NumPy's ufunc computes in, for operand dtypes or number types."""
    if all(isinstance(k, type) for k in kinds):
        # NumPy compares Python's whole numbers as objects.
        kinds = tuple([np.dtype(k) for k in kinds])
    try:
        resolved = ufunc.resolve_dtypes((*kinds, *(None,) * ufunc.nout))
    except TypeError:
        # Some ufuncs (scipy.special's) resolve no weak numbers.
        dtypes = tuple(np.dtype(k) for k in kinds)
        resolved = ufunc.resolve_dtypes((*dtypes, *(None,) * ufunc.nout))
    for dtype in resolved:
        if dtype not in DTYPES:
            found = ", ".join(map(str, kinds))
            raise UnsupportedError(
                f"np.{ufunc.__name__} of {found} computes in {dtype} "
                f"({source_line()}); jitad computes in {COMPUTED}: convert with "
                "astype"
            )
    return resolved

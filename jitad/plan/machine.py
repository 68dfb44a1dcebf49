"""What a back end must be: a Machine compiles, a Place holds arrays and launches.

Of the host `HOST` is both; of a card a `Builder` is the Machine, and a `Work` the Place
that one call has there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jitad.backends.cpu.tiers import Effort
from jitad.lowering.kernel import Argument, Kernels
from jitad.lowering.schedule import Variant


class Machine(Protocol):
    """What kernels are compiled for."""

    @property
    def variants(self) -> Sequence[Variant]:
        """The kernels among which it chooses, in the order in which it wants them."""
        ...

    def at(self, effort: Effort) -> Machine:
        """The same machine, which does as much for the speed of code."""
        ...

    @property
    def shown(self) -> bool:
        """Whether NumPy can read and write its arrays."""
        ...

    def exceeds_cache(self, written: int) -> bool:
        """Whether results of this size in bytes had better go around its cache."""
        ...

    def compile(
        self, kernels: Kernels, name: bytes | None, extents: Sequence[int]
    ) -> Any:
        """An executable of one of the kernels of a graph, one for each variant.

        kernels  makes them; they are not made where the code is kept on disk
        name     what only equal kernels have; None: nothing may be kept of them
        extents  points along the axes of a first launch, the lanes first
        """
        ...


class Place(Protocol):
    """What holds arrays and runs kernels on them, for one call."""

    def empty(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An uninitialised array."""
        ...

    def zeros(self, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
        """An array of zeros."""
        ...

    def copy(self, array: np.ndarray) -> np.ndarray:
        """A new array of the same elements."""
        ...

    def contiguous(self, array: np.ndarray) -> np.ndarray:
        """The array, or a copy of it that is contiguous."""
        ...

    def launch(
        self, executable: Any, extents: Sequence[int], arguments: Sequence[Argument]
    ) -> None:
        """Run a kernel on all points."""
        ...

    def total(
        self, executable: Any, count: int, arguments: Sequence[Argument | None]
    ) -> list[np.ndarray]:
        """Run a kernel that sums over count points: an array for each of its sums.

        arguments  None for the buffers that take sums
        """
        ...

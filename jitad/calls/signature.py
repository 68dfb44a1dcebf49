"""What is known of a call before its arrays are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad import tree
from jitad.ir.graph import Type
from jitad.plan.derived import Derived
from jitad.process.locks import cached_property

from . import arrays


@dataclass(frozen=True, eq=False)
class Signature:
    """What is to be computed, and where the batch axes of arguments and results are.

    name     of the function, for errors
    derived  the graph of one point
    spec     the structure of the arguments
    in_axes, out_axes  for every leaf its batch axes, outermost level first
    extents  of the batch levels
    """

    name: str
    derived: Derived
    spec: tree.PyTreeSpec
    in_axes: Sequence[Sequence[int | None]]
    out_axes: Sequence[Sequence[int]]
    extents: tuple[int, ...]

    @cached_property
    def results(self) -> list[tuple[tuple[int, ...], Type]]:
        """For every result its shape, and the type of one point's."""
        types = self.derived.graph.output_types
        return [
            (arrays.result_shape(t.shape, self.extents, a), t)
            for t, a in zip(types, self.out_axes, strict=True)
        ]

    def shared(self, array: np.ndarray) -> np.ndarray:
        """A view of an array that all points share, batch levels in front."""
        return arrays.batch_first(array, [None] * len(self.extents))

    def seen(self, leaves: Sequence[Any]) -> list[Any]:
        """Views of arguments, batch levels in front."""
        pairs = zip(leaves, self.in_axes, strict=True)
        return [arrays.batch_first(x, a) for x, a in pairs]

    def seen_results(self, results: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Views of results, batch levels in front."""
        pairs = zip(results, self.out_axes, strict=True)
        return [arrays.batch_first(y, a) for y, a in pairs]

    def targets(self, out: Any) -> list[np.ndarray]:
        """The arrays of out=, or an error that says what is wrong with them."""
        return arrays.targets(out, self.derived.result, self.results, self.name)

    def unflattened(self, results: list[Any] | tuple[Any, ...]) -> Any:
        """Results in the structure in which the function returns them."""
        return tree.unflatten(self.derived.result, results)

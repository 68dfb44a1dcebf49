"""What is computed: one function of one point, its inputs, the derivative wanted.

A workload module makes ``Work`` values; the modules of ``participants`` turn a ``Work``
into something that can be called. Nothing here knows a tool or a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

Arrays = tuple[np.ndarray, ...]
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Setting:
    """What the command line chose for all rows."""

    quick: bool = False
    threads: int = 2
    device: str = "cpu"
    tools: tuple[str, ...] = ()  # empty: all

    def takes(self, tool: str) -> bool:
        """Whether ``tool`` was asked for."""
        return not self.tools or tool in self.tools


@dataclass(frozen=True)
class Target:
    """A stated bound on time of ``over`` / time of ``under``, or on seconds.

    Each names participants by the start of their names; the fastest of them counts.
    Without ``under`` the bound is on the time of ``over`` itself, in seconds.
    """

    over: str
    under: str | None
    least: float | None = None
    most: float | None = None


@dataclass(frozen=True)
class Work:
    """One function of one point, at many points (or at one), and what is wanted of it.

    ``function(xp, *arguments)`` is written once over an array namespace ``xp``; every
    tool differentiates this same text. Its arguments also may carry the batch as
    *trailing* axis, which is how the reference evaluates it.

    ``derivative`` is ``"jacobian"`` (value and Jacobians in ``argnums``),
    ``"gradient"`` (scalar value and gradients) or ``"hessian"`` (in argument 0 alone).
    ``in_axes`` are the batch axes of the inputs, None for a shared one; ``out_axis``
    is that of all outputs; a Work that is not ``batched`` is one point.
    """

    name: str
    title: str
    function: Callable[..., Any]
    inputs: Arrays
    derivative: Literal["jacobian", "gradient", "hessian"]
    reference: Callable[[Work], Arrays]
    argnums: tuple[int, ...] = (0,)
    batched: bool = True
    in_axes: tuple[int | None, ...] = ()
    out_axis: int = 0
    native: str | None = None  # "file.c:symbol" of the C written by hand
    native_size: int | None = None  # its first argument, where not the points
    copies: bool = True  # compare with copying the same bytes
    tolerance: float = TOLERANCE  # of the outputs, relative (see `harness.compare`)
    checked: int | None = None  # compared are so many points; None: all
    without: dict[str, str] = field(default_factory=dict)  # tool -> why it is left out
    targets: tuple[Target, ...] = ()

    @property
    def points(self) -> int:
        """The number of points."""
        if not self.batched:
            return 1
        return next(
            x.shape[axis]
            for x, axis in zip(self.inputs, self.in_axes, strict=True)
            if axis is not None
        )

    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs, in order: value if wanted, then derivatives."""
        shapes = [self.point_shape(i) for i in self.argnums]
        if self.derivative == "hessian":
            point = [shapes[0] * 2]
        else:
            value = np.shape(self.function(np, *map(self.point_input, self.counted())))
            point = [value, *(value + s for s in shapes)]
        if not self.batched:
            return point
        if self.out_axis == 0:
            return [(self.points, *s) for s in point]
        return [(*s, self.points) for s in point]

    def counted(self) -> range:
        """The positions of the inputs."""
        return range(len(self.inputs))

    def point_input(self, i: int) -> np.ndarray:
        """Input ``i`` at the first point."""
        axis = self.in_axes[i] if self.batched else None
        return self.inputs[i] if axis is None else np.take(self.inputs[i], 0, axis)

    def point_shape(self, i: int) -> tuple[int, ...]:
        """The shape of input ``i`` at one point."""
        return self.point_input(i).shape

    def trailing_input(self, i: int) -> np.ndarray:
        """Input ``i`` with the batch as trailing axis, of length 1 if it has none."""
        axis = self.in_axes[i] if self.batched else None
        if axis is None:
            return self.inputs[i][..., None]
        return np.ascontiguousarray(np.moveaxis(self.inputs[i], axis, -1))

    def from_trailing(self, output: np.ndarray) -> np.ndarray:
        """An output computed with a trailing batch axis, in the layout asked for."""
        if not self.batched:
            return output[..., 0]
        return np.moveaxis(output, -1, 0) if self.out_axis == 0 else output

    def some(self) -> Work:
        """The same at the points that are compared."""
        if self.checked is None:
            return self
        chosen = self._chosen()
        pairs = zip(self.inputs, self.in_axes, strict=True)
        few = [x if a is None else np.take(x, chosen, a) for x, a in pairs]
        return replace(self, inputs=tuple(few), checked=None)

    def sample(self, outputs: Arrays) -> Arrays:
        """Its outputs at these points."""
        if self.checked is None:
            return outputs
        return tuple([np.take(y, self._chosen(), self.out_axis) for y in outputs])

    def _chosen(self) -> np.ndarray:
        """The first point, the last, and others between; the same ones always."""
        between = np.random.default_rng(1).integers(self.points, size=self.checked)
        return np.unique([0, *between, self.points - 1])

    def new_outputs(self) -> Arrays:
        """Output arrays whose pages have been touched."""
        return tuple(np.full(s, np.nan) for s in self.output_shapes())

    @property
    def nbytes(self) -> int:
        """Bytes of all inputs and outputs, each counted once."""
        outputs = sum(8 * int(np.prod(s)) for s in self.output_shapes())
        return outputs + sum(x.nbytes for x in self.inputs)


def complex_step(work: Work) -> Arrays:
    """Value and derivatives by the complex step, exact to rounding.

    Im f(x + ih) / h with h = 1e-150 has no subtraction to lose digits in (Squire and
    Trapp 1998), and shares nothing with any participant.
    """
    inputs = [work.trailing_input(i) for i in work.counted()]
    value = np.asarray(work.function(np, *inputs))
    partials = [step_along(work.function, inputs, i) for i in work.argnums]
    return tuple(work.from_trailing(x) for x in [value, *partials])


def step_along(function: Callable, inputs: list[np.ndarray], i: int) -> np.ndarray:
    """∂f/∂(argument i) at a trailing batch, by complex steps along each entry."""
    point_shape = inputs[i].shape[:-1]
    h = 1e-150
    partials = []
    for index in np.ndindex(point_shape):
        moved = inputs[i].astype(complex)
        moved[index] += 1j * h
        arguments = [moved if k == i else x for k, x in enumerate(inputs)]
        partials.append(np.imag(function(np, *arguments)) / h)
    result = np.stack(partials, axis=-2)
    return result.reshape(*partials[0].shape[:-1], *point_shape, result.shape[-1])

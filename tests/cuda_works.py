"""What is compiled for GPUs to see what it takes: the benchmarks' functions, an arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import jitad
from benchmarks import bundle_adjustment, gaussians, hessian, trajectories
from benchmarks.participants.with_jitad import transformed
from benchmarks.work import Setting
from jitad.lowering.kernel import Kernel, Layout
from jitad.lowering.order import ORDERS, Ordering, order
from jitad.lowering.schedule import schedule
from jitad.transforms.branches import sink
from jitad.transforms.expand import expand

SOURCES = {
    "bundle adjustment": bundle_adjustment.rows_work,
    "trajectories": trajectories.fixed_work,
    "adaptive trajectories": trajectories.adaptive_work,
    "Gaussians": gaussians.gaussians_work,
    "sines": gaussians.sines_work,
    "Hessian": hessian.hessian_work,
}
# Angle between the axes of joints in right angles, offset along them, distance: of the
# arm with six joints in J. Craig, Introduction to Robotics (1989), section 3.7.
LINKS = (
    *((-1, 0.0, 0.0), (0, 0.0, 0.4318), (-1, 0.1491, 0.0203)),
    *((1, 0.4331, 0.0), (-1, 0.0, 0.0), (0, 0.1, 0.0)),
)


def arm(q: Any) -> Any:
    """Where the hand is, and where it points: 6 angles to 6 numbers."""
    position, axes = [0.0, 0.0, 0.0], [[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]
    for k, (turn, along, out) in enumerate(LINKS):
        c, s = np.cos(q[k]), np.sin(q[k])
        x, y, z = axes
        u = [c * a + s * b for a, b in zip(x, y, strict=True)]
        v = [c * b - s * a for a, b in zip(x, y, strict=True)]
        moved = zip(position, z, u, strict=True)
        position = [p + along * a + out * b for p, a, b in moved]
        if turn:
            v, z = [turn * a for a in z], [-turn * a for a in v]
        axes = [u, v, z]
    return np.stack([*position, *axes[2]])


@dataclass(frozen=True)
class Case:
    """A kernel in double precision, others of the same, its function and inputs."""

    kernel: Kernel
    again: Callable[[Ordering, tuple[Layout, ...]], Kernel]
    function: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]

    def orders(self, layout: Layout | None = None) -> list[Kernel]:
        """The kernel in every order of statements, each array that varies as said."""
        layouts = tuple(
            [layout if layout and b.axes else b.layout for b in self.kernel.buffers]
        )
        return [self.again(ordering, layouts) for ordering in ORDERS]


@cache
def case(name: str) -> Case:
    """The value and Jacobian of an arm, or a benchmark's work in rows."""
    if name == "arm":
        inputs: Any = (np.random.default_rng(0).normal(size=(64, 6)),)
        J = jitad.jacobian(arm)
        function: Any = jitad.vmap(lambda q: (arm(q), J(q)))
    else:
        work = SOURCES[name](Setting(quick=True))
        function, inputs = transformed(replace(work, out_axis=0)), work.inputs
    call = function.prepare(*inputs)
    kernel, graph = call.plan.kernel, sink(expand(call.graph))
    varying = tuple([b.axes for b in kernel.buffers if not b.output])

    def again(ordering: Ordering, layouts: tuple[Layout, ...]) -> Kernel:
        return schedule(graph, kernel.axes, varying, layouts, ordering)

    assert again(order, tuple([b.layout for b in kernel.buffers])) == kernel
    return Case(kernel, again, function, inputs)


NAMES = (*SOURCES, "arm")

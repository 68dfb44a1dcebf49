"""Bundle adjustment: residual of an observation and its 2×15 Jacobian.

In rows, as structure of arrays, and at one point. The definition is ADBench's and
GradBench's; see Triggs et al., Bundle Adjustment: A Modern Synthesis (2000).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.speed import speed_row
from benchmarks.work import Arrays, Setting, Target, Work, complex_step


def residual(xp: Any, camera: Any, point: Any, weight: Any, observed: Any) -> Any:
    """weight · (projection of point by camera - observed).

    camera: rotation vector 3, centre 3, focal length, principal point 2, radial
    distortion 2. Where the rotation is zero, the angle is replaced before the root and
    the rotation by identity plus cross product, so that derivatives are finite there.
    """
    R = camera[:3]
    Y = point - camera[3:6]
    square = xp.sum(R * R, axis=0)
    turns = square > 0
    theta = xp.sqrt(xp.where(turns, square, 1.0))
    v = R / theta
    turned = Y * xp.cos(theta) + cross(xp, v, Y) * xp.sin(theta)
    turned = turned + v * (xp.sum(v * Y, axis=0) * (1 - xp.cos(theta)))
    P = xp.where(turns, turned, Y + cross(xp, R, Y))
    p = P[:2] / P[2]
    r2 = xp.sum(p * p, axis=0)
    distortion = 1 + camera[9] * r2 + camera[10] * (r2 * r2)
    return weight * (p * distortion * camera[6] + camera[7:9] - observed)


def cross(xp: Any, a: Any, b: Any) -> Any:
    """a × b."""
    return xp.stack(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )


def observations(points: int) -> Arrays:
    """Varied cameras, points, weights and features, as rows.

    Of every 64 rotations one is zero and one is as small as 1e-4. Points lie in front.
    """
    rng = np.random.default_rng(0)
    camera = rng.normal(size=(points, 11))
    camera[:, :3] *= 0.3
    camera[::64, :3] = 0.0
    camera[1::64, :3] *= 1e-4
    camera[:, 3:6] *= 0.2
    camera[:, 6] = 500 + 50 * camera[:, 6]
    camera[:, 9] *= 0.05
    camera[:, 10] *= 0.005
    point = rng.normal(size=(points, 3)) + np.array([0, 0, 8])
    weight = rng.uniform(0.5, 1.5, size=points)
    observed = 50 * rng.normal(size=(points, 2))
    return camera, point, weight, observed


def rows_work(setting: Setting) -> Work:
    """2^18 observations in NumPy rows."""
    return Work(
        name="ba",
        title="bundle adjustment, value + 2×15 Jacobian, rows",
        function=residual,
        inputs=observations(1 << (10 if setting.quick else 18)),
        derivative="jacobian",
        argnums=(0, 1, 2),
        in_axes=(0, 0, 0, 0),
        reference=complex_step,
        native="bundle_adjustment.c:ba_rows",
        targets=(
            Target("JAX", "jitad", least=30),
            Target("jitad", "NumPy copy", most=1.7),
        ),
    )


def streams_work(setting: Setting) -> Work:
    """The same observations, one array per component."""
    rows = rows_work(setting)
    return replace(
        rows,
        name="ba-soa",
        title="bundle adjustment, value + 2×15 Jacobian, structure of arrays",
        inputs=tuple(np.ascontiguousarray(np.moveaxis(x, 0, -1)) for x in rows.inputs),
        in_axes=(-1, -1, -1, -1),
        out_axis=-1,
        native="bundle_adjustment.c:ba_streams",
        targets=(
            Target("jitad", "Dr.Jit", most=1),
            Target("jitad", "NumPy copy", most=1.3),
        ),
    )


def point_work(setting: Setting) -> Work:
    """One observation, through each tool's ordinary call."""
    return replace(
        rows_work(setting),
        name="ba-point",
        title="bundle adjustment, value + 2×15 Jacobian, one point by an ordinary call",
        inputs=tuple(x[5] for x in observations(64)),
        batched=False,
        copies=False,
        targets=(Target("jitad", None, most=4e-6),),
    )


ROWS = (
    speed_row("ba", rows_work),
    speed_row("ba-soa", streams_work),
    speed_row("ba-point", point_work),
)

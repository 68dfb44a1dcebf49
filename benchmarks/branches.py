"""A branch that few points take: what the others pay for it.

Kepler's equation E - e sin E = M: the anomaly E of a comet on its ellipse. For small
eccentricities e three corrections are enough; of a hundred points one has an e near 1
and takes thirty steps of Newton. In one row these are scattered among the others, in
the other they lie together, as in a sorted catalogue. Lines for either branch alone, at
all points, show what a branch costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.harness import (
    Participant,
    Result,
    Runner,
    UnavailableError,
    compare,
    measure,
)
from benchmarks.lockstep import control, lockstep
from benchmarks.participants import with_jitad
from benchmarks.speed import Row, speed_table
from benchmarks.table import Table
from benchmarks.work import Arrays, Setting, Target, Work, complex_step

LIMIT = 0.9


def improved(xp: Any, E: Any, M: Any, e: Any) -> Any:
    """One step of Newton."""
    return E - (E - e * xp.sin(E) - M) / (1 - e * xp.cos(E))


def nearly_round(xp: Any, M: Any, e: Any) -> Any:
    """The cheap branch: three steps from a start that is good for small e."""
    E = M + e * xp.sin(M)
    for _ in range(3):
        E = improved(xp, E, M, e)
    return E


def long_ellipse(xp: Any, loops: Any, M: Any, e: Any) -> Any:
    """The costly branch: thirty steps, from π, whence Newton converges for all e."""

    def step(E: Any, _: Any) -> tuple[Any, None]:
        return improved(xp, E, M, e), None

    return loops.scan(step, 0 * M + np.pi, None, length=30)[0]


def anomaly(xp: Any, loops: Any, orbit: Any) -> Any:
    """E of (M, e)."""
    return loops.cond(
        orbit[1] > LIMIT,
        lambda M, e: long_ellipse(xp, loops, M, e),
        lambda M, e: nearly_round(xp, M, e),
        orbit[0],
        orbit[1],
    )


def kepler(xp: Any, orbit: Any) -> Any:
    """The anomaly, with the tool's own branch."""
    return anomaly(xp, control(xp), orbit)


def cheap(xp: Any, orbit: Any) -> Any:
    """The cheap branch at every point."""
    return nearly_round(xp, orbit[0], orbit[1])


def costly(xp: Any, orbit: Any) -> Any:
    """The costly branch at every point."""
    return long_ellipse(xp, control(xp), orbit[0], orbit[1])


def reference(work: Work) -> Arrays:
    """By complex steps through both branches, and the one that applies."""
    return complex_step(
        replace(work, function=lambda xp, orbit: anomaly(xp, lockstep, orbit))
    )


def scattered_work(setting: Setting) -> Work:
    """a costly branch that 1 % of the points take, scattered"""
    rng = np.random.default_rng(0)
    points = 1 << (10 if setting.quick else 20)
    M, e = rng.uniform(0.1, 3, points), rng.uniform(0, 0.3, points)
    few = rng.permutation(points)[: points // 100]
    e[few] = rng.uniform(0.95, 0.99, few.size)
    left_out = "no branch was written for it"
    return Work(
        name="branch-scattered",
        title="a costly branch that 1 % of the points take, scattered",
        function=kepler,
        inputs=(np.stack([M, e], axis=1),),
        derivative="gradient",
        in_axes=(0,),
        reference=reference,
        copies=False,
        without=dict.fromkeys(("torch", "drjit", "casadi", "autograd"), left_out),
        targets=(Target("jitad", "cheap branch", most=1.3),),
    )


def together_work(setting: Setting) -> Work:
    """a costly branch that 1 % of the points take, side by side"""
    work = scattered_work(setting)
    (orbits,) = work.inputs
    order = np.argsort(orbits[:, 1] > LIMIT, kind="stable")
    return replace(
        work,
        name="branch-together",
        title="a costly branch that 1 % of the points take, side by side",
        inputs=(orbits[order],),
    )


def alone(
    work: Work,
    setting: Setting,
    name: str,
    branch: Callable[..., Any],
    expected: Arrays,
) -> Iterator[Participant]:
    """One branch at every point, by jitad; checked where it is the one that applies."""
    single = replace(work, function=branch)
    taken = (work.inputs[0][:, 1] > LIMIT) == (branch is costly)
    for variant in with_jitad.participants(single, setting):

        def prepare(variant: Participant = variant) -> Runner:
            runner = variant.prepare()
            outputs = runner.read(runner.call()) or ()
            for got, want in zip(outputs, expected, strict=True):
                error = compare((got[taken],), (want[taken],), 0)
                if not error <= work.tolerance:
                    raise UnavailableError(f"WRONG: {error:.1e}")
            return Runner(runner.call, lambda _: None)

        yield Participant(variant.name.replace("jitad", name), prepare)


def branch_row(name: str, make: Callable[[Setting], Work]) -> Row:
    """A row with the branches alone."""

    def table(setting: Setting) -> Table:
        work = make(setting)
        expected = reference(work)
        work = replace(work, reference=lambda _: expected)
        extra = []
        if setting.takes("jitad"):
            extra += alone(work, setting, "cheap branch alone", cheap, expected)
            extra += alone(work, setting, "costly branch alone", costly, expected)
        results: list[Result] = measure(work, setting, extra)
        return speed_table(work, results)

    return Row(name, str(make.__doc__), table)


ROWS = (
    branch_row("branch-scattered", scattered_work),
    branch_row("branch-together", together_work),
)

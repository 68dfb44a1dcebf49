"""pygmo: problems with exact gradients and fitnesses of whole populations at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.api import jacobian, jit, vmap

from .adapting import fitting, name_of, result_shape

Part = Callable[..., Any] | None


def pygmo_problem(
    f: Callable[..., Any],
    lower: Any,
    upper: Any,
    *,
    equalities: Part = None,
    inequalities: Part = None,
) -> Problem:
    """(x -> y) within bounds  ->  what pygmo.problem takes.

        problem = pygmo.problem(jitad.interop.pygmo_problem(f, lower, upper))
        pygmo.population(problem, 200, b=pygmo.bfe(pygmo.member_bfe()))

    f             takes x of shape (n,) and returns a number, or several objectives
    lower, upper  of shape (n,)
    equalities    x -> c, a number or array that is to be 0
    inequalities  x -> c, a number or array that is to be at most 0
    Has a gradient, (objectives and constraints) × n, and a batch_fitness that computes
    all points in one call, on all threads.
    Raises InputError for bounds of different shapes and results of more than one axis.
    (F. Biscani and D. Izzo, pagmo, Journal of Open Source Software 5, 2020.)

    >>> def f(x):
    ...     return (x[0] - 1) ** 2 + x[1] ** 2
    >>> problem = pygmo.problem(jitad.interop.pygmo_problem(f, [-2, -2], [2, 2]))
    >>> problem.gradient([2.0, 1.0])
    array([2., 2.])
    >>> problem.batch_fitness(np.array([0.0, 0.0, 1.0, 0.0]))
    array([1., 0.])
    """
    return Problem(f, lower, upper, equalities, inequalities)


class Problem:
    """A user-defined problem of pygmo; made by `pygmo_problem`."""

    def __init__(self, f: Part, lower: Any, upper: Any, eq: Part, ineq: Part) -> None:
        self._made_of = f, lower, upper, eq, ineq
        self._lower = np.asarray(lower, np.float64)
        self._upper = np.asarray(upper, np.float64)
        n = len(self._lower)
        fitting("pygmo_problem: upper", self._upper, (n,), "as many as in lower")
        parts = [_vector(part) if part else None for part in (f, eq, ineq)]
        self._counts = [
            result_shape("pygmo_problem", p, np.ones(n))[0] if p else 0 for p in parts
        ]

        def fitness(x: Any) -> Any:
            return np.concatenate([p(x) for p in parts if p])

        self._fitness, self._gradient = jit(fitness), jacobian(fitness)
        self._batch = vmap(fitness)

    def fitness(self, x: np.ndarray) -> np.ndarray:
        """Objectives, equalities and inequalities, one after another."""
        return self._fitness(x)

    def batch_fitness(self, dvs: np.ndarray) -> np.ndarray:
        """The fitnesses of points that lie one after another, likewise."""
        return self._batch(dvs.reshape(-1, len(self._lower))).ravel()

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The Jacobian of the fitness, row after row."""
        return self._gradient(x).ravel()

    def get_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower and the upper ones."""
        return self._lower, self._upper

    def get_nobj(self) -> int:
        """How many objectives there are."""
        return self._counts[0]

    def get_nec(self) -> int:
        """How many equalities there are."""
        return self._counts[1]

    def get_nic(self) -> int:
        """How many inequalities there are."""
        return self._counts[2]

    def get_name(self) -> str:
        """The name of the objective."""
        return name_of(self._made_of[0]) if self._made_of[0] else ""

    def __reduce__(self) -> Any:
        """Copies, of which pygmo makes many, are made of the user's functions."""
        return Problem, self._made_of


def _vector(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, of which a number is a vector of one."""

    def vector(x: Any) -> Any:
        y = np.atleast_1d(f(x))
        what = f"pygmo_problem: what {name_of(f)} returns"
        return fitting(what, y, np.shape(y)[:1], "one axis; flatten it with np.ravel")

    return vector

"""SALib: derivative-based sensitivities from exact derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from jitad.api import value_and_grad, vmap
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.process.late import late

from .adapting import fitting, scalar

util = late("SALib.util")


def salib_dgsm(
    problem: Mapping[str, Any],
    f: Callable[..., Any],
    X: np.ndarray,
    *,
    num_resamples: int = 100,
    conf_level: float = 0.95,
    seed: int | None = None,
) -> Any:
    """What SALib.analyze.dgsm gives, of exact derivatives at the points of X.

        X = SALib.sample.sobol.sample(problem, 1024)  # or of any other sampler
        print(jitad.interop.salib_dgsm(problem, f, X).to_df())

    f  takes one point, of shape (num_vars,), and returns a number
    X  of shape (points, num_vars), evenly distributed within problem["bounds"]; none
       but these points is computed, where finite differences take num_vars + 1
    Arrays of shape (num_vars,): vi, the mean of (∂f/∂x)², and vi_std, its standard
    deviation; dgsm = vi (b − a)² / (π² var f), which is at least the total index; and
    dgsm_conf, the half width of dgsm's bootstrap interval at conf_level.
    Raises InputError for X of another shape and for distributions that are not uniform,
    for which that bound does not hold.
    (I. M. Sobol and S. Kucherenko, Derivative based global sensitivity measures and
    their link with global sensitivity indices, Math. Comput. Simul. 79, 2009.)

    >>> problem = {"num_vars": 2, "names": ["a", "b"], "bounds": [[0, 1], [0, 2]]}
    >>> X = np.array([[0.25, 0.5], [0.75, 0.5], [0.25, 1.5], [0.75, 1.5]])
    >>> jitad.interop.salib_dgsm(problem, lambda x: 3 * x[0] + x[1], X)["vi"]
    array([9., 1.])
    """
    count, bounds = problem["num_vars"], np.asarray(problem["bounds"], np.float64)
    if any(d != "unif" for d in problem.get("dists") or ()):
        raise InputError(
            f"salib_dgsm: dists are {problem['dists']} ({source_line()}); expected "
            "'unif', for which the bound by (b - a)² / π² holds: sample a uniform "
            "variable and put the distribution's inverse into f"
        )
    remedy = "a row for every point, a column for every name"
    fitting("salib_dgsm: X", X, (np.shape(X)[0], count), remedy)
    y, slopes = vmap(value_and_grad(scalar("salib_dgsm", f)))(np.asarray(X, np.float64))
    squares = slopes**2
    vi = squares.mean(axis=0)
    scale = (bounds[:, 1] - bounds[:, 0]) ** 2 / (np.pi**2 * np.var(y))
    random = np.random.default_rng(seed)
    drawn = [
        squares[random.integers(len(y), size=len(y))].mean(axis=0)
        for _ in range(num_resamples)
    ]
    spread = ndtri(0.5 + conf_level / 2) * np.std(drawn, axis=0, ddof=1)
    return util.ResultDict(
        vi=vi, vi_std=squares.std(axis=0), dgsm=vi * scale, dgsm_conf=spread * scale,
        names=problem["names"],
    )  # fmt: skip

"""The demo's figure: data and fits.  Imported only where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jitad.demo.nist import Fit

_INK, _DATA, _FIT, _START = "#333333", "#1f5fa8", "#d1495b", "#b0b0b0"

_LONG = 50  # characters of a formula in one line


def save(fits: Sequence[Fit], path: Path) -> None:
    """One panel for each problem: data, the models at both starts, and the best fit."""
    grouped = [list(g) for _, g in groupby(fits, key=lambda fit: fit.problem.name)]
    rows = -(-len(grouped) // 4)
    figure = Figure(figsize=(14, 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, 4, squeeze=False).ravel()
    for ax, both in zip(axes, grouped, strict=False):
        _panel(ax, both)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), frameon=False
    )
    figure.suptitle("NIST's certified regressions, fitted with exact Jacobians")
    figure.savefig(path, dpi=120)


def _panel(ax: Axes, fits: Sequence[Fit]) -> None:
    problem = fits[0].problem
    best = min(fits, key=lambda fit: fit.residual)
    low, high = problem.x.min(), problem.x.max()
    margin = 0.04 * (high - low)
    x = np.linspace(low - margin if low > margin else low, high + margin, 400)
    with np.errstate(all="ignore"):
        for style, start in zip(("--", ":"), problem.starts, strict=True):
            label = "start 1" if style == "--" else "start 2"
            ax.plot(x, problem.model(start, x), style, c=_START, lw=1.5, label=label)
        ax.plot(x, problem.model(best.parameters, x), c=_FIT, lw=2, label="fit")
    ax.plot(
        problem.x, problem.y, "o", ms=5, mfc="white", mec=_DATA, mew=1.3, label="data"
    )
    span = problem.y.max() - problem.y.min()
    ax.set_ylim(problem.y.min() - 0.15 * span, problem.y.max() + 0.15 * span)
    agreeing = f"{best.parameter_digits:.0f} certified digits"
    ax.set_title(f"{problem.name}, {agreeing}", fontsize=11, color=_INK)
    formula = problem.formula
    if len(formula) > _LONG:
        formula = formula.replace(")/(", ") /\n(")
    ax.set_xlabel(formula, fontsize=8, color=_INK)
    ax.tick_params(labelsize=8, color=_INK)
    ax.spines[["top", "right"]].set_visible(False)

"""``--picture``: how far everyone is from a copy, as bars, for light and dark pages.

In come rows that compare speed, out go two SVG files. A bar begins where copying the
same bytes would end, and is as long as the logarithm of time ÷ that of the copy; no bar
at all is as fast as the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bundle_adjustment import rows_work, streams_work
from benchmarks.environment import processor
from benchmarks.gaussians import gaussians_work, sines_work
from benchmarks.harness import Result, UnavailableError, measure
from benchmarks.hessian import hessian_work
from benchmarks.speed import COPIES, fastest
from benchmarks.table import three_digits
from benchmarks.work import Setting
from jitad.backends.cpu.machine import vector_width

WORKS = {
    "bundle adjustment,\nvalue + 2×15 Jacobian, rows": rows_work,
    "the same,\nstructure of arrays": streams_work,
    "gradient of 20 Gaussians,\n60 parameters": gaussians_work,
    "gradient of 20 sines,\n60 parameters": sines_work,
    "10×10 Hessian,\nrows": hessian_work,
}
# Who is drawn: how the names of the fastest begin, the label, the colour.
DRAWN = (
    ("jitad", "jitad", "#2f81f7"),
    ("C by hand", "C by hand, gcc -O3", "#8b949e"),
    ("Dr.Jit", "Dr.Jit, frozen", "#a371f7"),
    ("JAX", "JAX, best mode", "#db6d28"),
)
INKS = {"light": "#1f2328", "dark": "#e6edf3"}


@dataclass(frozen=True)
class Group:
    """One work: nanoseconds a point of a copy, and of everyone drawn who did it."""

    label: str
    copy: float
    times: dict[str, float]


def groups(setting: Setting) -> list[Group]:
    """All works, measured."""
    made = []
    for label, make in WORKS.items():
        work = make(setting)
        made.append(group(label, measure(work, setting), work.points))
    return made


def group(label: str, results: list[Result], points: int) -> Group:
    """A work's results, by the labels under which they are drawn."""
    copies = [fastest(results, name) for name in COPIES]
    copy = next((c for c in copies if c is not None), None)
    if copy is None:
        raise UnavailableError("a picture needs the tool numpy, which copies")
    times = {shown: fastest(results, start) for start, shown, _ in DRAWN}
    return Group(
        label,
        copy / points * 1e9,
        {shown: t / points * 1e9 for shown, t in times.items() if t is not None},
    )


def draw(measured: list[Group], caption: str, ink: str) -> Any:
    """A figure: a group of bars for each work, nanoseconds a point at their ends."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = {label: colour for _, label, colour in DRAWN}
    height = 0.8 / len(DRAWN)
    with mpl.rc_context({"text.color": ink, "font.size": 9}):
        figure = Figure((7.6, 1.0 + 0.86 * len(measured)), layout="constrained")
        axes = figure.add_subplot(facecolor="none")
        for y, one in enumerate(measured):
            for place, (label, time) in enumerate(one.times.items()):
                at = y + (place - (len(one.times) - 1) / 2) * height
                bold = "bold" if label == "jitad" else "normal"
                length = time / one.copy - 1
                axes.barh(at, length, height * 0.9, left=1, color=colours[label])
                axes.annotate(
                    f"{three_digits(time)} ns" + ", jitad" * (label == "jitad"),
                    (max(1 + length, 1), at),
                    (3, 0),
                    textcoords="offset points",
                    va="center",
                    size=8,
                    weight=bold,
                )
        axes.set_xscale("log")
        ratios = [t / one.copy for one in measured for t in one.times.values()]
        longest = max(*ratios, 1.5)
        axes.set_xlim(0.8 * min(*ratios, 1.0), 1.8 * longest)
        axes.set_ylim(len(measured) - 0.45, -0.55)
        axes.axvline(1, color=ink, linewidth=1)
        labels = [
            f"{one.label}\n(copy: {three_digits(one.copy)} ns)" for one in measured
        ]
        axes.set_yticks(range(len(measured)), labels, color=ink)
        ticks = [t for t in (1, 3, 10, 30, 100, 300) if t <= longest * 1.5]
        axes.set_xticks(
            ticks, [f"{t}×" if t > 1 else "a copy" for t in ticks], color=ink
        )
        axes.tick_params(length=0, which="both")
        axes.minorticks_off()
        axes.spines[:].set_visible(False)
        axes.set_xlabel(caption, color=ink, size=8)
        handles = [
            mpl.patches.Patch(color=colour, label=label)
            for label, colour in colours.items()
            if any(label in one.times for one in measured)
        ]
        figure.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(handles),
            frameon=False,
        )
    return figure


def save(setting: Setting, folder: Path) -> list[Path]:
    """Measure, draw, and write ``speed-light.svg`` and ``speed-dark.svg``."""
    import matplotlib as mpl

    measured = groups(setting)
    threads = "thread" if setting.threads == 1 else f"{setting.threads} threads"
    caption = (
        f"time ÷ copying the same bytes. {processor()}, "
        f"vectors of {8 * vector_width()} bits, {threads}, float64"
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, ink in INKS.items():
        file = folder / f"speed-{name}.svg"
        with mpl.rc_context({"svg.hashsalt": "jitad", "svg.fonttype": "none"}):
            figure = draw(measured, caption, ink)
            figure.savefig(file, transparent=True, metadata={"Date": None})
        files.append(file)
    return files

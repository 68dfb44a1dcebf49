"""``python -m benchmarks``: pick rows, run them, print a table for each."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import picture, start
from benchmarks.environment import describe, isolated
from benchmarks.harness import TOOLS, UnavailableError, failure
from benchmarks.speed import Row
from benchmarks.work import Setting
from jitad.backends.cuda.card import DeviceError
from jitad.calls import cards

WORKLOADS = {
    "cpu": (
        "bundle_adjustment",
        "gaussians",
        "large_arrays",
        "large_models",
        "stencils",
        "hessian",
        "first_call",
        "import_time",
        "compile_time",
        "memory",
        "fresh_results",
        "public",
        "trajectories",
        "three_bodies",
        "long_scan",
        "branches",
        "scan_length",
        "sums",
        "numba_loops",
        "numba_pairs",
    ),
    "cuda": ("card_rows", "card_first_call"),
}


def rows(device: str = "cpu") -> list[Row]:
    """All rows for a device, in the order of the workload modules."""
    names = WORKLOADS[device]
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    return [row for module in modules for row in module.ROWS]


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 2 if there is no such row, tool or card.

    1 if a row failed; a participant that fails is a line of its table.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument(
        "--only", help="rows to run, by the start of their names: ba,hessian"
    )
    parser.add_argument("--tools", help=f"tools to run: {','.join(TOOLS['cpu'])}")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--threads", type=int, default=2, help="for every participant")
    parser.add_argument(
        "--start", action="store_true", help="what there is to wait for, and stop"
    )
    parser.add_argument(
        "--picture",
        type=Path,
        metavar="FOLDER",
        help="draw speed-light.svg and speed-dark.svg there, and stop",
    )
    parser.add_argument("--device", choices=tuple(WORKLOADS), default="cpu")
    options = parser.parse_args(arguments)
    every, known_tools = rows(options.device), TOOLS[options.device]
    chosen = choose(every, options.only)
    tools = tuple(options.tools.split(",")) if options.tools else ()
    unknown = sorted(set(tools) - set(known_tools))
    if not chosen or unknown:
        wrong = f"tools {unknown}" if unknown else f"row {options.only!r}"
        known = ", ".join(known_tools if unknown else (row.name for row in every))
        sys.stderr.write(f"unknown {wrong}; there are: {known}\n")
        return 2
    if options.list:
        width = max(len(row.name) for row in chosen)
        sys.stdout.writelines(f"{r.name.ljust(width)}  {r.title}\n" for r in chosen)
        return 0
    if options.device == "cuda":
        try:
            cards.card(0)
        except DeviceError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    setting = Setting(options.quick, options.threads, options.device, tools)
    status = 0
    with (
        tempfile.TemporaryDirectory() as home,
        isolated(home, setting.threads, setting.device),
    ):
        sys.stdout.write(f"{describe(setting)}\n\n")
        if options.start:
            sys.stdout.write(f"{start.table(setting).text()}\n")
            return 0
        if options.picture is not None:
            try:
                files = picture.save(setting, options.picture)
            except UnavailableError as error:
                sys.stderr.write(f"{error}\n")
                return 2
            sys.stdout.writelines(f"{file}\n" for file in files)
            return 0
        for row in chosen:
            begin = time.perf_counter()
            try:
                text = row.table(setting).text()
            except Exception as error:  # the others are still to be measured
                text, status = f"{row.name}: {failure(error)}", 1
            took = time.perf_counter() - begin
            sys.stdout.write(f"{text}\n  (measured in {took:.0f} s)\n\n")
            sys.stdout.flush()
    return status


def choose(everything: list[Row], only: str | None) -> list[Row]:
    """The rows whose names are, or begin with a word of, ``only``."""
    if only is None:
        return everything
    words = only.split(",")
    exact = [row for row in everything if row.name in words]
    return exact or [r for r in everything if any(r.name.startswith(w) for w in words)]


if __name__ == "__main__":
    sys.exit(main())

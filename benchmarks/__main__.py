"""``python -m benchmarks``: pick rows, run them, print a table for each."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time

from benchmarks.environment import describe, isolate
from benchmarks.harness import TOOLS
from benchmarks.speed import Row
from benchmarks.work import Setting

WORKLOADS = (
    "bundle_adjustment",
    "gaussians",
    "hessian",
    "first_call",
    "import_time",
    "compile_time",
    "memory",
    "public",
    "trajectories",
    "long_scan",
    "branches",
    "scan_length",
    "sums",
)


def rows() -> list[Row]:
    """All rows, in the order of the workload modules."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in WORKLOADS]
    return [row for module in modules for row in module.ROWS]


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; 2 if a row or a tool is unknown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    parser.add_argument(
        "--only", help="rows to run, by the start of their names: ba,hessian"
    )
    parser.add_argument("--tools", help=f"tools to run: {','.join(TOOLS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--threads", type=int, default=2, help="for every participant")
    parser.add_argument("--device", choices=("cpu",), default="cpu")
    options = parser.parse_args(arguments)
    chosen = choose(rows(), options.only)
    tools = tuple(options.tools.split(",")) if options.tools else ()
    unknown = sorted(set(tools) - set(TOOLS))
    if not chosen or unknown:
        wrong = f"tools {unknown}" if unknown else f"row {options.only!r}"
        known = ", ".join(TOOLS if unknown else (row.name for row in rows()))
        sys.stderr.write(f"unknown {wrong}; there are: {known}\n")
        return 2
    if options.list:
        width = max(len(row.name) for row in chosen)
        sys.stdout.writelines(f"{r.name.ljust(width)}  {r.title}\n" for r in chosen)
        return 0
    setting = Setting(options.quick, options.threads, options.device, tools)
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(isolate(home, setting.threads))
        sys.stdout.write(f"{describe(setting)}\n\n")
        for row in chosen:
            begin = time.perf_counter()
            text = row.table(setting).text()
            took = time.perf_counter() - begin
            sys.stdout.write(f"{text}\n  (measured in {took:.0f} s)\n\n")
            sys.stdout.flush()
    return 0


def choose(everything: list[Row], only: str | None) -> list[Row]:
    """The rows whose names are, or begin with a word of, ``only``."""
    if only is None:
        return everything
    words = only.split(",")
    exact = [row for row in everything if row.name in words]
    return exact or [r for r in everything if any(r.name.startswith(w) for w in words)]


if __name__ == "__main__":
    sys.exit(main())

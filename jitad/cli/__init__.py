"""The command `jitad`: info, demo, check, explain, jacobian.

`main` reads the command line; every command has a module with a `run`.  A user's
mistake ends with exit status 2 and a line that says what was expected, what came and
what to do; a check that finds something wrong ends with 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from jitad import __version__
from jitad.errors import JitadError

from . import check, demo, explain, info, jacobian
from .named import UsageError, mistake


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (UsageError, JitadError) as error:
        text = str(error)
    except KeyboardInterrupt:
        text = "stopped"
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        found = mistake(error, options)
        if found is None:
            raise
        text = found
    sys.stderr.write(f"jitad {options.command}: {text}\n")
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jitad",
        description="JIT-compiled, batched derivatives of plain NumPy functions.",
    )
    parser.add_argument("--version", action="version", version=f"jitad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], description: str
    ) -> argparse.ArgumentParser:
        head = description.split(";")[0].rstrip(".")
        made = commands.add_parser(name, help=head, description=description)
        made.set_defaults(run=run)
        return made

    command("info", info.run, "What jitad runs on: versions, vectors, threads, memory.")
    made = command(
        "demo", demo.run, "Fit certified NIST regressions; time a batched Jacobian."
    )
    made.add_argument(
        "--figure", type=Path, default=Path("jitad-demo.png"), metavar="FILE",
        help="where the figure goes (with matplotlib; default: %(default)s)",
    )  # fmt: skip
    made = command(
        "check", check.run,
        "Check a function's derivatives: all modes and back ends against each other "
        "and against finite differences.",
    )  # fmt: skip
    _function(made)
    _points(made, count=5)
    made.add_argument(
        "--no-differences", action="store_true", help="leave finite differences out"
    )
    made = command(
        "explain", explain.run, "How a derivative would be computed, and why."
    )
    _function(made)
    _points(made, count=100_000)
    made.add_argument(
        "--transform", choices=explain.TRANSFORMS, default="jacobian",
        help="what is asked of the function (default: %(default)s)",
    )  # fmt: skip
    _mode(made)
    made = command(
        "jacobian", jacobian.run,
        "Jacobians at all points of a batch on disk; in chunks, with bounded memory.",
    )  # fmt: skip
    _function(made)
    made.add_argument(
        "inputs", nargs="+", type=Path, metavar="inputs.npy",
        help="one file for each argument, of shape (points, *argument)",
    )  # fmt: skip
    made.add_argument(
        "output", type=Path, metavar="outputs.npy",
        help="written: shape (points, *result, *argument)",
    )  # fmt: skip
    made.add_argument(
        "--argnum", type=int, default=0, metavar="N",
        help="the argument to differentiate in, from 0 (default: %(default)s)",
    )  # fmt: skip
    _mode(made)
    made.add_argument(
        "--chunk", type=int, metavar="POINTS",
        help="points at a time (default: as many as take 64 MiB)",
    )  # fmt: skip
    made.add_argument(
        "--device", metavar="cuda:N",
        help="a CUDA card that computes them (default: this machine's threads)",
    )  # fmt: skip
    made.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def _function(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "function", metavar="module:function",
        help="a NumPy function; modules are found in this directory, too",
    )  # fmt: skip


def _mode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--mode", choices=("auto", "forward", "reverse", "cross"), default="auto",
        help="how derivatives are accumulated (default: %(default)s)",
    )  # fmt: skip


def _points(parser: argparse.ArgumentParser, count: int) -> None:
    parser.add_argument(
        "--points", default="random", metavar="FILE.npz",
        help="one array for each argument, by name or in order, of shape (points, "
        "*argument); or a .npy file for a single argument; or random (default)",
    )  # fmt: skip
    parser.add_argument(
        "--shapes", nargs="+", metavar="SHAPE",
        help="of the random arguments, such as: 3 2x2 scalar (default: scalars)",
    )  # fmt: skip
    parser.add_argument(
        "--count", type=int, default=count, metavar="N",
        help="the number of points to take (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=0, help="of random points (default: %(default)s)"
    )
    parser.add_argument(
        "--argnums", type=int, nargs="+", metavar="N",
        help="the arguments to differentiate in, from 0 (default: all floats)",
    )  # fmt: skip

"""Fresh processes: call a function of ours in one, get its numbers back.

A child has an empty home unless it is given one, so that no tool answers from a cache
on disk, and the same threads as everyone. ``python -m benchmarks.child module:function
'{…}'`` prints the result as the last line, in JSON.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from benchmarks.environment import isolated
from benchmarks.harness import UnavailableError
from benchmarks.work import Setting

ROOT = Path(__file__).parent.parent


def call(
    target: str,
    arguments: dict[str, Any],
    setting: Setting,
    limit: float = 120.0,
    home: str | None = None,
) -> dict[str, Any]:
    """The result of ``module:function`` in a fresh process, which is a dictionary.

    Its home is empty, or the one given.
    Raises UnavailableError if it says why it cannot, fails, or takes over ``limit`` s.
    """
    with (
        nullcontext(home) if home else tempfile.TemporaryDirectory() as place,
        isolated(place, setting.threads, setting.device),
    ):
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join(p for p in paths if p)
        command = [sys.executable, "-m", "benchmarks.child", target]
        try:
            done = subprocess.run(
                [*command, json.dumps(arguments)],
                env={**os.environ, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"over {limit:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise UnavailableError(last[:90])
    result = json.loads(done.stdout.strip().splitlines()[-1])
    if "unavailable" in result:
        raise UnavailableError(result["unavailable"])
    return result


def main() -> None:
    """Run the function named on the command line."""
    module, function = sys.argv[1].split(":")
    try:
        found = getattr(importlib.import_module(module), function)
        result = found(**json.loads(sys.argv[2]))
    except ModuleNotFoundError as error:
        result = {"unavailable": f"{error.name} is not installed"}
    except UnavailableError as reason:
        result = {"unavailable": str(reason)}
    sys.stdout.write(f"\n{json.dumps(result)}\n")


if __name__ == "__main__":
    main()

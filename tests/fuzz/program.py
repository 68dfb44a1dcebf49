"""A program: the text of a function of arrays, and the points to call it at."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import jitad

Point = tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """A function of named arguments: statements, each of one or more lines.

    points   values of the arguments; the first is where it was made up
    results  variables to return
    """

    names: tuple[str, ...]
    points: tuple[Point, ...]
    statements: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        lines = [line for s in self.statements for line in s.splitlines()]
        body = "".join(f"    {line}\n" for line in lines)
        returned = "".join(f"{name}, " for name in self.results).strip()
        return f"def f({', '.join(self.names)}):\n{body}    return ({returned})\n"

    @property
    def function(self) -> Any:
        return made(self.source)

    def with_statement(self, statement: str, *results: str) -> Program:
        """One statement more, and the variables that it makes."""
        new = tuple(r for r in results if r not in self.results)
        return replace(
            self,
            statements=(*self.statements, statement),
            results=(*self.results, *new),
        )

    def arguments(self, k: int = 0) -> list[Any]:
        """A point that may be written to."""
        return [copy.copy(x) for x in self.points[k]]

    def numpy(self, k: int = 0, move: Any = None) -> list[np.ndarray]:
        """What NumPy computes at a point, which may be moved before."""
        given = self.arguments(k)
        return run(self.function, given if move is None else move(given))

    @property
    def floats(self) -> tuple[int, ...]:
        """The numbers of the arguments to differentiate in."""
        return tuple(
            k for k, x in enumerate(self.points[0]) if np.asarray(x).dtype.kind == "f"
        )

    @property
    def smooth(self) -> list[int]:
        """The numbers of the results to differentiate."""
        return [k for k, y in enumerate(self.numpy()) if y.dtype.kind == "f"]

    def used(self) -> Program:
        """Without arguments that no statement names."""
        text = "\n".join(self.statements)
        kept = [
            k for k, n in enumerate(self.names) if n in names_in(text, self.results)
        ]
        return replace(
            self,
            names=tuple(self.names[k] for k in kept),
            points=tuple(tuple(p[k] for k in kept) for p in self.points),
        )

    def snippet(self, told: str) -> str:
        """A script that shows a failure."""
        values = ", ".join(written(x) for x in self.points[0])
        return (
            "import numpy as np\n"
            "import jitad\n\n\n"
            f"{self.source}\n\n"
            f"args = ({values},)\n"
            "print(f(*args))\n"
            'print(jitad.jit(f, backend="numpy")(*args))\n'
            f"# {told}\n"
        )


def names_in(text: str, results: Sequence[str]) -> set[str]:
    """The variables that code names."""
    code = compile(text or "pass", "<fuzz>", "exec")
    found, codes = set(results), [code]
    while codes:
        own = codes.pop()
        found |= {*own.co_names, *own.co_varnames, *own.co_freevars}
        codes += [c for c in own.co_consts if isinstance(c, types.CodeType)]
    return found


def made(source: str) -> Any:
    """The function f of a text."""
    scope: dict[str, Any] = {"np": np, "jitad": jitad}
    exec(compile(source, "<fuzz>", "exec"), scope)
    return scope["f"]


def run(function: Any, arguments: Sequence[Any]) -> list[np.ndarray]:
    """The results of a function as arrays, with no warnings."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [np.asarray(y) for y in function(*arguments)]


def written(x: Any) -> str:
    """A value as source text."""
    if isinstance(x, np.ndarray):
        return f"np.array({x.tolist()!r}, np.{x.dtype})"
    if isinstance(x, np.generic):
        return f"np.{x.dtype}({x.item()!r})"
    return repr(x)

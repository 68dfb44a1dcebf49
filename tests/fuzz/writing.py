"""Making programs up: a line after the other, each of which NumPy accepts.

A line is a template filled with variables that there are; NumPy runs the program at
all its points, and a line that raises, or gives what is too large, is thrown away.
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .program import Program
from .templates import BLOCKS, EXPRESSIONS, WRITES, lines

POINTS = 3
LARGEST = 16  # elements
HIGHEST = 1e4
DTYPES = (
    "float64", "float32", "int64", "int32", "bool",
    "int8", "uint8", "int16", "uint16", "uint32",
)  # fmt: skip
SLICES = (":2", "1:", "::2", "::-1", ":", "1:3", "-2:", ":-1", "::-2", "2:0:-1", "...")

_tables = [lines(t) for t in EXPRESSIONS]
_writes, _blocks = lines(WRITES), lines(BLOCKS)

Check = Callable[[Program], bool]


def start(rng: random.Random) -> Program:
    """No statements yet, but arguments."""
    numbers = np.random.default_rng(rng.randrange(2**32))
    narrow = rng.choice(DTYPES[5:])
    pools: dict[str, Any] = {
        "x": lambda: numbers.normal(size=3).round(3),
        "y": lambda: numbers.normal(size=4).round(3),
        "A": lambda: numbers.normal(size=(2, 3)).round(3),
        "B": lambda: numbers.normal(size=(3, 3)).round(3),
        "s": lambda: round(float(numbers.normal()), 3),
        "h": lambda: numbers.normal(size=3).round(2).astype(np.float32),
        "k": lambda: numbers.integers(-4, 9, 3),
        "n": lambda: int(numbers.integers(0, 5)),
        "e": lambda: numbers.integers(0, 100, 3).astype(narrow),
        "q": lambda: numbers.random(3) < 0.5,
        "z": lambda: np.array(round(float(numbers.normal()), 3)),
    }
    names = ["x", *rng.sample(sorted(set(pools) - {"x"}), rng.randint(1, 4))]
    points = tuple(tuple(pools[n]() for n in names) for _ in range(POINTS))
    if rng.random() < 0.2:
        points = tuple(tuple(_special(rng, x) for x in p) for p in points)
    return Program(tuple(names), points)


_SPECIAL = (0.0, -0.0, 1.0, 1.0, 2.0, -1.0, np.inf, -np.inf, np.nan, 1e200, 1e-200)


def _special(rng: random.Random, x: Any) -> Any:
    """An argument with numbers at edges in place of some of its own."""
    if np.asarray(x).dtype.kind != "f":
        return x
    y = np.array(x)
    for place in np.ndindex(y.shape):
        if rng.random() < 0.5:
            with np.errstate(over="ignore"):
                y[place] = rng.choice(_SPECIAL)
    return float(y) if type(x) is float else y


def grow(
    rng: random.Random,
    count: int,
    accepted: Check,
    impossible: Callable[[Program], None] = lambda program: None,
) -> Program:
    """A program of so many statements, those that a check accepts.

    impossible  is told of programs that NumPy does not run
    """
    program = start(rng)
    tries = 0
    while len(program.statements) < count and tries < 60 * count:
        tries += 1
        longer = lengthened(rng, program)
        if longer is None:
            continue
        if not _fits(longer):
            impossible(longer)
        elif accepted(longer):
            program = longer
    return program


def lengthened(rng: random.Random, program: Program) -> Program | None:
    """One statement more; None where there is nothing to fill it with."""
    values = _values(program)
    fresh = f"v{len(program.statements)}"
    kind = rng.random()
    if kind < 0.55:
        table = rng.choice(_tables)
        text = f"{fresh} = {rng.choice(table)}"
        results = (fresh,)
    elif kind < 0.85:
        text, results = rng.choice(_writes), ()
    else:
        text, results = rng.choice(_blocks).replace("{r}", fresh), (fresh,)
    filled, written = _filled(rng, text, values)
    if filled is None:
        return None
    return program.with_statement(filled, *results, *written)


def _values(program: Program) -> dict[str, Any]:
    """All variables at the end of a program at its first point."""
    names = (*program.names, *(r for r in program.results if r not in program.names))
    whole = Program(program.names, program.points, program.statements, names)
    return dict(zip(names, whole.numpy(), strict=True))


_KINDS: dict[str, Callable[[np.ndarray], bool]] = {
    "a": lambda v: True,
    "b": lambda v: True,
    "f": lambda v: v.dtype.kind == "f",
    "g": lambda v: v.dtype.kind == "f",
    "i": lambda v: v.dtype.kind in "iu",
    "m": lambda v: v.dtype.kind == "b",
    "v": lambda v: v.ndim > 0,
    "w": lambda v: v.ndim > 0 and v.dtype.kind == "f",
    "t": lambda v: v.ndim > 0,
}


def _filled(
    rng: random.Random, text: str, values: dict[str, Any]
) -> tuple[str | None, list[str]]:
    """A template with its places filled, and which arguments it writes to."""
    target = ""
    written: list[str] = []
    made = text
    for place in dict.fromkeys(re.findall(r"\{(\w+)\}", text)):
        if place in _KINDS:
            found = [n for n, v in values.items() if _KINDS[place](np.asarray(v))]
            if not found:
                return None, []
            # What is new is used more often.
            own = lambda: rng.choice(found[-3:] if rng.random() < 0.4 else found)  # noqa: B023, E731
            if place == "t":
                target = own()
                made = made.replace("{t}", target)
                if not target.startswith("v"):
                    written.append(target)
            else:
                while f"{{{place}}}" in made:
                    made = made.replace(f"{{{place}}}", own(), 1)
        else:
            while f"{{{place}}}" in made:
                made = made.replace(f"{{{place}}}", _constant(rng, place), 1)
    return made, written


def _constant(rng: random.Random, place: str) -> str:
    if place == "c":
        return rng.choice(("0.5", "2", "-1.5", "1", "3", "0.25", "np.float32(1.5)"))
    if place == "n":
        return rng.choice(("0", "1", "-1", "2"))
    if place == "ax":
        return rng.choice(("None", "0", "-1", "1", "0"))
    if place == "d":
        return f"np.{rng.choice(DTYPES)}"
    assert place == "s", place
    return rng.choice(SLICES)


def _fits(program: Program) -> bool:
    """Whether NumPy runs a program at all points, with small results of one type."""
    types = None
    numbers = [np.asarray(x, float) for x in program.points[0]]
    edges = any(not np.all(np.abs(x) < HIGHEST) for x in numbers)
    for k in range(len(program.points)):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = program.numpy(k)
        except Exception:
            return False
        for y in found:
            small = y.size <= LARGEST and y.dtype.name in (*DTYPES, "uint64")
            if not small or not (edges or np.all(np.abs(y.astype(float)) < HIGHEST)):
                return False
        own = [(y.dtype, y.shape) for y in found]
        if types is not None and own != types:
            return False
        types = own
    return True

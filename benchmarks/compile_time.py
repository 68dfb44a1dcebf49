"""Time to the first result against the number of operations: random programs.

14 inputs, and operations that are all needed and keep values in [-1, 1], so that
results can be compared however long the program. Every tool traces, transforms,
compiles and evaluates the value at 1,024 points in a fresh process, after a program of
50 operations has woken its compiler and threads (``first-call`` counts these). C and
Numba get the same program as source text, one statement for each step.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import random
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks import child
from benchmarks.compiler import compile_c
from benchmarks.harness import UnavailableError, compare
from benchmarks.speed import Row
from benchmarks.start import Line
from benchmarks.table import Table, quantity
from benchmarks.work import TOLERANCE, Setting

INPUTS, POINTS = 14, 1024
LIMITS = {1_000: 0.1, 5_000: 0.5, 20_000: 2.5, 100_000: 15.0}
PATIENCE = 60.0

Step = tuple[str, int, int]

# name -> scalar operations, probability, text
STEPS = {
    "multiply": (1, 0.50, "{a} * {b}"),
    "mean": (2, 0.25, "0.5 * ({a} + {b})"),
    "difference": (2, 0.15, "0.5 * ({a} - {b})"),
    "divide": (2, 0.04, "{a} / (2.0 + {b})"),
    "sine": (1, 0.03, "sin({a})"),
    "bell": (3, 0.03, "exp(-({a} * {a}))"),
}


def program(size: int) -> tuple[list[Step], list[int]]:
    """Random steps of ``size`` scalar operations in all, and the values that result.

    The first operand is a value that nothing has used yet, so no step is dead; the
    second is mostly a recent one.
    """
    chance = random.Random(0)
    names = list(STEPS)
    weights = [STEPS[name][1] for name in names]
    steps: list[Step] = []
    unused = list(range(INPUTS))
    operations = 0
    while operations < size:
        new = INPUTS + len(steps)
        a = unused.pop(chance.randrange(len(unused)))
        b = max(0, new - 1 - int(chance.expovariate(1 / 12)))
        if chance.random() < 0.2:
            b = chance.randrange(new)
        name = chance.choices(names, weights)[0]
        steps.append((name, a, b))
        operations += STEPS[name][0]
        unused.append(new)
    return steps, unused


def evaluate(xp: Any, steps: Iterable[Step], results: list[int], x: Any) -> list[Any]:
    """The results of the program at ``x``, by the operators of ``xp``'s arrays."""
    do: dict[str, Callable[[Any, Any], Any]] = {
        "multiply": lambda a, b: a * b,
        "mean": lambda a, b: 0.5 * (a + b),
        "difference": lambda a, b: 0.5 * (a - b),
        "divide": lambda a, b: a / (2.0 + b),
        "sine": lambda a, b: xp.sin(a),
        "bell": lambda a, b: xp.exp(-(a * a)),
    }
    values = [x[i] for i in range(INPUTS)]
    for name, a, b in steps:
        values.append(do[name](values[a], values[b]))
    return [values[i] for i in results]


def statements(steps: Iterable[Step], line: str) -> str:
    """The program as text: ``line`` with the value's name and its expression."""
    lines = []
    for k, (name, a, b) in enumerate(steps):
        text = STEPS[name][2].format(a=f"v{a}", b=f"v{b}")
        lines.append(line.format(v=f"v{INPUTS + k}", text=text))
    return "\n".join(lines)


def with_jitad(
    steps: list[Step], results: list[int], x: np.ndarray, effort: str = "auto"
) -> Callable:
    """vmap of the traced program."""
    jitad = importlib.import_module("jitad")

    def f(x: Any) -> Any:
        return np.stack(evaluate(np, steps, results, x))

    return lambda: jitad.vmap(f, compile=effort, cache=False)(x)


def with_jax(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """jit(vmap(…)) in double precision."""
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)

    def f(x: Any) -> Any:
        return jax.numpy.stack(evaluate(jax.numpy, steps, results, x))

    return lambda: np.asarray(jax.jit(jax.vmap(f))(x))


def with_torch(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """torch.compile of the vmapped program."""
    torch = importlib.import_module("torch")

    def f(x: Any) -> Any:
        return torch.stack(evaluate(torch, steps, results, x))

    compiled = torch.compile(torch.func.vmap(f), dynamic=False)
    return lambda: compiled(torch.from_numpy(x)).numpy()


def with_drjit(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """Its kernel over columns; traced and compiled at evaluation."""
    dr = importlib.import_module("drjit")
    if not dr.has_backend(dr.JitBackend.LLVM):
        raise UnavailableError("Dr.Jit finds no LLVM shared library")
    llvm = importlib.import_module("drjit.llvm")

    def call() -> np.ndarray:
        columns = [llvm.Float64(np.ascontiguousarray(column)) for column in x.T]
        outputs = evaluate(dr, steps, results, columns)
        dr.eval(outputs)
        return np.stack([y.numpy() for y in outputs], axis=-1)

    return call


def with_casadi(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """Generated C through gcc, mapped over the points."""
    casadi = importlib.import_module("casadi")
    convert = importlib.import_module("benchmarks.participants.with_casadi")
    names = SimpleNamespace(sin=casadi.sin, exp=casadi.exp)

    def call() -> np.ndarray:
        point = casadi.SX.sym("x", INPUTS)
        outputs = casadi.vertcat(*evaluate(names, steps, results, point))
        f = casadi.Function("f", [point], [outputs])
        return np.asarray(convert.compiled_function(f).map(POINTS)(x.T)).T

    return call


def with_c(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """One loop over points with one statement for each step."""
    width = len(results)
    text = "\n".join(
        [
            '#include "math.h"',
            "void f(long n, const double *x, double *y) {",
            f"for (long i = 0; i < n; i++, x += {INPUTS}, y += {width}) {{",
            *(f"double v{k} = x[{k}];" for k in range(INPUTS)),
            statements(steps, "double {v} = {text};"),
            *(f"y[{k}] = v{result};" for k, result in enumerate(results)),
            "}}",
        ]
    )

    def call() -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "f.c"
            source.write_text(text)
            library = ctypes.CDLL(str(compile_c(source, Path(folder))))
        y = np.empty((POINTS, width))
        address = ctypes.c_void_p
        library.f(ctypes.c_long(POINTS), address(x.ctypes.data), address(y.ctypes.data))
        return y

    return call


def with_numba(steps: list[Step], results: list[int], x: np.ndarray) -> Callable:
    """The same loop as Python source text under njit."""
    numba = importlib.import_module("numba")
    text = "\n".join(
        [
            "def f(x, y):",
            "  for i in range(len(x)):",
            *(f"    v{k} = x[i, {k}]" for k in range(INPUTS)),
            statements(steps, "    {v} = {text}"),
            *(f"    y[i, {k}] = v{result}" for k, result in enumerate(results)),
        ]
    )

    def call() -> np.ndarray:
        names: dict[str, Any] = {"sin": math.sin, "exp": math.exp}
        exec(text, names)
        y = np.empty((POINTS, len(results)))
        numba.njit(names["f"])(x, y)
        return y

    return call


# name -> how, and the tool of the command line that it belongs to
TOOLS = {
    "jitad": (with_jitad, "jitad"),
    "jitad, fast": (partial(with_jitad, effort="fast"), "jitad"),
    "jitad, full": (partial(with_jitad, effort="full"), "jitad"),
    "JAX": (with_jax, "jax"),
    "PyTorch compiled": (with_torch, "torch"),
    "Dr.Jit": (with_drjit, "drjit"),
    "CasADi, C code": (with_casadi, "casadi"),
    "Numba, source text": (with_numba, "jitad"),
    "C, source text": (with_c, "native"),
}


def in_child(name: str, size: int) -> dict:
    """Seconds to the first result in this fresh process, after importing the tool."""
    steps, results = program(size)
    x = np.random.default_rng(0).uniform(-1, 1, (POINTS, INPUTS))
    TOOLS[name][0](*program(50), x)()
    call = TOOLS[name][0](steps, results, x)
    begin = time.perf_counter()
    y = call()
    seconds = time.perf_counter() - begin
    expected = np.stack(evaluate(np, steps, results, x.T), axis=-1)
    error = compare((y,), (expected,), 0)
    if not error <= TOLERANCE:
        raise UnavailableError(f"WRONG: {error:.0e}")
    return {"seconds": seconds}


def table(setting: Setting) -> Table:
    """A column for each number of operations."""
    sizes = (200, 1_000) if setting.quick else tuple(LIMITS)
    lines, notes = [], []
    for name, (_, tool) in TOOLS.items():
        if not setting.takes(tool):
            continue
        cells: list[str] = []
        for size in sizes:
            if cells and cells[-1].startswith(">"):
                cells.append(cells[-1])  # a longer program takes no less
                continue
            arguments = {"name": name, "size": size}
            target = "benchmarks.compile_time:in_child"
            try:
                measured = child.call(target, arguments, setting, PATIENCE)
            except UnavailableError as reason:
                slow = str(reason).startswith("over")
                cells.append(f"> {PATIENCE:.0f} s" if slow else str(reason))
                continue
            seconds = measured["seconds"]
            cells.append(quantity(seconds))
            if name == "jitad" and size in LIMITS:
                met = "met" if seconds <= LIMITS[size] else "MISSED"
                limit = quantity(LIMITS[size])
                notes.append(f"target jitad, {size:,} operations ≤ {limit}: {met}")
        failed = all(cell == cells[0] for cell in cells) and cells[0][-1] != "s"
        lines.append((name, cells[0]) if failed else (name, *cells))
    headers = ("participant", *(f"{size:,}" for size in sizes))
    title = "compile: first result of a program, by its scalar operations"
    return Table(title, headers, tuple(lines), tuple(notes))


ROWS = (
    Row("compile", "time to the first result for 1,000 to 100,000 operations", table),
)


def chained_sines(size: int) -> dict:
    """Seconds of the processor to the first gradient of so many chained sines."""
    jitad = importlib.import_module("jitad")

    def chain(count: int) -> Callable[[Any], Any]:
        def f(x: Any) -> Any:
            for k in range(count):
                x = np.sin((1 + 1e-5 * k) * x)
            return x

        return f

    jitad.grad(chain(10), argnums=0)(0.3)
    begin = time.process_time()
    jitad.jit(jitad.grad(chain(size)), cache=False)(0.3)
    return {"seconds": time.process_time() - begin}


def _beside(name: str, other: str, size: int, setting: Setting) -> tuple[str, float]:
    """The times of two participants, least of some, and their ratio."""
    times = dict.fromkeys((name, other), math.inf)
    for _ in range(1 if setting.quick else 3):
        for key in times:
            arguments = {"name": key, "size": 200 if setting.quick else size}
            target = "benchmarks.compile_time:in_child"
            found = child.call(target, arguments, setting, PATIENCE)
            times[key] = min(times[key], found["seconds"])
    own, others = times.values()
    return f"{quantity(own)}, {quantity(others)}", own / others


def _each_sine(size: int, setting: Setting) -> tuple[str, float]:
    """The time for a sine, and how much of half a millisecond it is."""
    target, arguments = "benchmarks.compile_time:chained_sines", {"size": size}
    seconds = child.call(target, arguments, setting, PATIENCE)["seconds"]
    return (
        f"{quantity(seconds)}, {quantity(seconds / size)} each",
        seconds / size / 5e-4,
    )


START = (
    *(
        Line(
            f"compile {size:,} operations", "gcc -O3 of the same text", 1 / 3,
            partial(_beside, "jitad", "C, source text", size),
        )
        for size in (1_000, 5_000, 20_000)
    ),
    Line(
        "compile=\"fast\", 1,000 operations", "compile=\"full\"", 0.5,
        partial(_beside, "jitad, fast", "jitad, full", 1_000),
    ),
    *(
        Line(
            f"gradient of {size:,} chained sines", "0.5 ms a sine", 1.0,
            partial(_each_sine, size),
        )
        for size in (1_000, 1_800, 20_000)
    ),
)  # fmt: skip

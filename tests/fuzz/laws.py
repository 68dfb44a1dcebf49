"""What must hold of a program, wherever it runs.

Values, shapes and dtypes are NumPy's; derivatives are one in all modes and on every
back end, and those of differences where the program is smooth.  A program that is
refused with an error of jitad's own holds every law.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import jitad
from jitad.errors import JitadError

from .program import Program, run

MODES = ("forward", "reverse", "cross")
TOLERANCE = 1e-9
SHORT = 2e-4  # where float32 takes part
NOISE = 1e-13


class Failure(Exception):  # noqa: N818
    """What differs, in words; kind names the law and what went wrong."""

    def __init__(self, kind: str, told: str) -> None:
        super().__init__(f"{kind}: {told}")
        self.kind = kind


class Refused(Exception):  # noqa: N818
    """An error of jitad's own, which names the line."""


def called(kind: str, call: Callable[[], Any]) -> Any:
    """What jitad returns; its refusals and other errors told apart."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except Exception as error:
            if isinstance(error, JitadError) or "<fuzz>:" in str(error):
                raise Refused(str(error)) from error
            name = type(error).__name__
            raise Failure(f"{kind} {name}", str(error)[:300]) from error


def interpreted(program: Program, want: Sequence[np.ndarray] | None = None) -> None:
    """The interpreter's values are NumPy's."""
    want = program.numpy() if want is None else want
    f = jitad.jit(program.function, backend="numpy")
    before = program.arguments()
    given = program.arguments()
    got = called("value", lambda: f(*given))
    same(program, "value", got, want)
    for x, y in zip(given, before, strict=True):
        if not np.array_equal(x, y, equal_nan=True):
            raise Failure("inputs", "an argument was written to")


def compiled(program: Program) -> None:
    """The same of kernels: for one point, and for several at once."""
    want = [program.numpy(k) for k in range(len(program.points))]
    one = jitad.jit(program.function)
    same(
        program,
        "compiled",
        called("compiled", lambda: one(*program.arguments())),
        want[0],
    )
    given = [turned(x) for x in program.arguments()]
    same(program, "strided", called("strided", lambda: one(*given)), want[0])
    columns = [np.stack(c) for c in zip(*program.points, strict=True)]
    batch = jitad.vmap(program.function)
    inside = jitad.jit(lambda *args: batch(*args), backend="numpy")
    for kind, function in (("batch", batch), ("mapped", inside)):
        got = called(kind, lambda f=function: f(*columns))
        for k, w in enumerate(want):
            # Numbers of Python have a dtype of their own in a batch.
            same(program, kind, [np.asarray(y[k]) for y in got], w, k, dtypes=False)


def second(program: Program) -> None:
    """Second derivatives of the results' sum are symmetric, and one in all modes."""
    if not program.floats or not program.smooth:
        return
    chosen, function = program.smooth, program.function
    k = program.floats[0]

    def total(*args: Any) -> Any:
        y = function(*args)
        return sum(np.sum(np.sin(y[j])) for j in chosen)

    points = program.arguments()
    found: dict[str, np.ndarray] = {}
    for outer in MODES[:2]:
        for inner in MODES[:2]:
            H = jitad.jacobian(
                jitad.jacobian(total, argnums=k, mode=inner),
                argnums=k, mode=outer, backend="numpy",
            )  # fmt: skip
            kind = f"{outer} over {inner}"
            found[kind] = np.asarray(called(kind, lambda H=H: H(*points)))
    (first, want), *others = found.items()
    n = int(np.sqrt(want.size))
    flat = want.reshape(n, n)
    scale = size([want])
    limit = scale * tolerance(program) * 1000
    others.append(("transposed", flat.T.reshape(want.shape)))
    for kind, H in others:
        if off(H, want, limit) and steady(program):
            raise Failure(f"second: {kind} against {first}", f"{H} and {want}")


# Errors that depend on values, or on what a number is.
DEPENDING = ("out of bounds for", "Unable to avoid copy", "negative shift", "`like`")


def raising(program: Program) -> None:
    """What NumPy refuses is refused: the last statement raises at every point."""
    told = error_of(program)
    if not told or any(text in told for text in DEPENDING):
        return
    f = jitad.jit(program.function, backend="numpy")
    try:
        got = called("raising", lambda: f(*program.arguments()))
    except (Failure, Refused):
        return
    raise Failure("accepted", f"{told} in NumPy; jitad gives {got}")


def error_of(program: Program) -> str:
    """What NumPy raises at all points, in the last statement; "" where it does not."""
    found = set()
    for k in range(len(program.points)):
        try:
            program.numpy(k)
            return ""
        except (TypeError, ValueError, IndexError) as error:
            found.add(f"{type(error).__name__}({error})"[:120])
        except Exception:
            return ""
    return sorted(found)[0]


def derived(program: Program) -> None:
    """Derivatives agree, and with differences where those say anything."""
    if not program.floats or not program.smooth:
        return
    chosen, function = program.smooth, program.function

    def smooth(*args: Any) -> Any:
        y = function(*args)
        return tuple(y[k] for k in chosen)

    points = program.arguments()
    found = {}
    for mode in MODES:
        for backend in ("numpy", "cpu") if mode == "reverse" else ("numpy",):
            J = jitad.jacobian(
                smooth, argnums=program.floats, mode=mode, backend=backend
            )
            kind = f"{mode} {backend}"
            got = called(kind, lambda J=J: J(*points))
            found[kind] = [np.asarray(b) for row in got for b in row]
    (first, want), *others = found.items()
    scale = size(want)
    limit = tolerance(program) * 100
    for kind, blocks in others:
        for a, b in zip(blocks, want, strict=True):
            apart = off(a, b, scale * limit)
            if apart and steady(program):
                raise Failure(f"{kind} against {first}", f"{a} and {b}")
    slopes = differences(program, smooth)
    for b, (slope, trusted) in zip(want, slopes, strict=True):
        wrong = trusted & np.isfinite(b) & ~(
            np.abs(b - slope) <= 1e-4 * np.maximum(np.abs(slope), 1e-2 * scale)
        )  # fmt: skip
        if wrong.any() and steady(program):
            raise Failure("differences", f"{b} and {slope}")


LAWS = {
    "value": interpreted,
    "compiled": compiled,
    "derivative": derived,
    "second": second,
    "raising": raising,
}
USUAL = ("value", "compiled", "derivative")


# -- comparing -----------------------------------------------------------------


def tolerance(program: Program) -> float:
    short = any(np.asarray(x).dtype == np.float32 for x in program.points[0])
    short |= "float32" in program.source
    return SHORT if short else TOLERANCE


def turned(x: Any) -> Any:
    """The same array with strides that are negative and not dense."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return x
    return np.flip(np.repeat(np.flip(x), 2, axis=-1)[..., ::2])


def size(arrays: Sequence[np.ndarray]) -> float:
    """The largest number of some arrays that is not huge; at least 1."""
    largest = [
        np.max(np.abs(a.astype(float)), initial=0, where=np.abs(a) < 1e6)
        for a in arrays
    ]
    return max([1.0, *largest])


def off(a: np.ndarray, b: np.ndarray, limit: float) -> bool:
    """Whether two arrays differ, by more than a limit, or in what is not finite."""
    if a.dtype.kind == "f":
        return not np.allclose(a, b, rtol=1e-9, atol=limit, equal_nan=True)
    return not np.array_equal(a, b)


def same(
    program: Program,
    kind: str,
    got: Sequence[Any],
    want: Sequence[np.ndarray],
    point: int = 0,
    dtypes: bool = True,
) -> None:
    """Raise Failure where results differ from NumPy's, and rounding is not why."""
    scale = size([w for w in want if w.dtype.kind == "f"])
    for name, g, w in zip(program.results, got, want, strict=True):
        g = np.asarray(g)
        if g.shape != w.shape:
            raise Failure(f"{kind} shape", f"{name} has {g.shape}, NumPy's {w.shape}")
        if dtypes and g.dtype != w.dtype:
            raise Failure(f"{kind} dtype", f"{name} is {g.dtype}, NumPy's {w.dtype}")
        apart = off(g, w.astype(g.dtype), scale * tolerance(program))
        if apart and steady(program, point):
            raise Failure(kind, f"{name} is {g!r}, NumPy's {w!r}")


def steady(program: Program, point: int = 0) -> bool:
    """Whether what rounding does to the arguments hardly changes NumPy's results."""
    want = program.numpy(point)
    scale = size(want)
    for seed in range(4):
        rng = np.random.default_rng(seed)

        def move(args: list[Any], rng: Any = rng) -> list[Any]:
            return [moved(x, rng, NOISE) for x in args]

        try:
            other = program.numpy(point, move)
        except Exception:
            return False
        for a, b in zip(other, want, strict=True):
            if a.shape != b.shape or off(a, b, scale * TOLERANCE / 10):
                return False
    return True


def moved(x: Any, rng: np.random.Generator, part: float) -> Any:
    if np.asarray(x).dtype.kind != "f":
        return x
    noise = 1 + part * rng.choice([-1.0, 1.0], np.shape(x))
    if isinstance(x, float) and not isinstance(x, np.floating):
        return float(x * noise)
    return (x * noise).astype(np.asarray(x).dtype)


def differences(
    program: Program, smooth: Callable[..., Any]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For every block of the Jacobian its differences, and which of them are sure.

    They are where a wide step says the same as a narrow one, and up the same as down.
    """
    sides = [
        [slopes(program, smooth, j, h) for h in (1e-5, -1e-5, 3e-6, -3e-6)]
        for j in program.floats
    ]
    exact = tolerance(program) == TOLERANCE and all(
        np.all(np.abs(x) < 1e3)
        for x in program.points[0]
        if np.asarray(x).dtype.kind == "f"
    )
    for k in range(len(program.smooth)):
        for up, down, upper, lower in ([side[k] for side in own] for own in sides):
            wide, narrow = (up + down) / 2, (upper + lower) / 2
            kept = np.abs(wide - narrow) <= 1e-5 * (np.abs(narrow) + 1e-3)
            kept &= np.abs(up - down) <= 1e-2 * (np.abs(narrow) + 1e-2)
            yield narrow, np.isfinite(wide) & kept & exact


def slopes(
    program: Program, smooth: Callable[..., Any], j: int, h: float
) -> list[np.ndarray]:
    """(f(x + h) - f(x)) / h for every result, along every element of argument j."""
    x = np.asarray(program.points[0][j], float)
    here, kind = run(smooth, program.arguments()), type(program.points[0][j])
    columns = []
    for k in range(x.size):
        args, step = program.arguments(), np.zeros(x.size)
        step[k] = h
        there = x + step.reshape(x.shape)
        args[j] = there if kind is np.ndarray else kind(there)
        try:
            moved = run(smooth, args)
        except Exception:
            moved = [y * np.nan for y in here]
        columns.append([_slope(a, b, h) for a, b in zip(moved, here, strict=True)])
    return [
        np.stack(c, axis=-1).reshape((*np.shape(c[0]), *x.shape))
        for c in zip(*columns, strict=True)
    ]


def _slope(there: np.ndarray, here: np.ndarray, h: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return (there - here) / h if there.shape == here.shape else here * np.nan

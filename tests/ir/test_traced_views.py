"""Views at traced indices: what is written through them is in their array, as in NumPy.

Every program runs with indices that are traced scalars, and with plain ones in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import jitad
from jitad import fori_loop, scan, tree, while_loop
from jitad.errors import TracingError
from jitad.transforms.derivatives.accumulate import MODES
from tests.support import engine
from tests.support.moves import plain

# x is an array of shape (3, 4), t of shape (2, 3, 4); i, j and m are traced: 0 … 2, and
# m from the end.
PROGRAMS = [
    ("element", "x[i][0] = 9."),
    ("element from the end", "x[m][-1] = 9."),
    ("slice", "x[i][1:3] = x[j][:2]"),
    ("column of a row", "x[:, i][j] = 2."),
    ("column", "x[:, i][...] = y"),
    ("view first", "v = x[i]", "v[0] = 9."),
    ("in place", "v = x[i]", "v /= v[1]"),
    ("in place, then used", "v = x[i]", "v /= v[1]", "x -= np.outer(x[:, 1], v)"),
    ("augmented item", "x[i] += 1", "x[i] *= x[j]"),
    ("augmented element", "x[i][j] += 1"),
    ("augmented at both", "x[i, j] += 1"),
    ("augmented element of a view", "v = x[i]", "v[j] *= 3", "w = v + 0"),
    ("read after a write to the array", "v = x[i]", "x[0] = 1.", "w = v * 2"),
    ("read after all was written", "v = x[i]", "x[...] = x[::-1]", "w = v * 2"),
    ("read after a traced write", "v = x[i]", "x[j] = 1.", "w = v * 2"),
    ("two views of one row", "v = x[i]", "w = x[i]", "v[0] = 5.", "w[1] = v[0] + w[0]"),
    ("two rows", "v = x[i]", "w = x[j]", "v[0] = 5.", "w[0] += v[0]", "v[1] = w[0]"),
    ("row and column", "v = x[i]", "w = x[:, j]", "v[...] = 5.", "w *= 2",
     "z = v + 0"),
    ("plain row beside", "v = x[i]", "w = x[1]", "w[0] = 5.", "v[2] = 6.",
     "z = w + v"),
    ("swap of rows by copies", "v = x[i].copy()", "x[i] = x[j]", "x[j] = v"),
    ("swap of views", "x[i], x[j] = x[j], x[i]"),
    ("sort", "x[i].sort()"),
    ("sort of a column", "x[:, i].sort()"),
    ("fill", "x[i].fill(0.5)"),
    ("put", "x[i].put([0, 2], 0.5)"),
    ("flat", "x[i].flat[1] = 0.5"),
    ("out", "np.add(x[i], 1, out=x[i])"),
    ("out elsewhere", "np.multiply(x[i], 2, out=x[j])"),
    ("out with where", "np.multiply(x[i], 2, out=x[i], where=MASK)"),
    ("out of a sum", "np.sum(x, axis=0, out=x[i])"),
    ("out of a view", "np.negative(x[i][1:], out=x[j][:3])"),
    ("copyto", "np.copyto(x[i], x[j])"),
    ("copyto where", "np.copyto(x[i], 1., where=MASK)"),
    ("add.at", "np.add.at(x[i], [0, 0, 1], 1)"),
    ("fill_diagonal", "np.fill_diagonal(t[k], 0.5)"),
    ("mask", "x[i][MASK] = 0.5"),
    ("traced mask", "x[i][x[i] > 0] = 0.5"),
    ("list", "x[i][[0, 2]] = x[j][[2, 0]]"),
    ("chain", "t[k][j][0] = 9."),
    ("chain of slices", "t[k][1:][:, i][0] = 9."),
    ("chain, transposed", "t[k][i].T[1] = 9."),
    ("transposed matrix", "t[k].T[i][1] = 9."),
    ("column of a matrix", "t[k][:, 1] = 9."),
    ("traced column of a matrix", "t[k][:, j] += y[:3]"),
    ("all at once", "t[k, 1:, j][0] = 9."),
    ("reversed", "x[::-1][i][::-1][0] = 9."),
    ("new axis", "x[i, None][0, 1] = 9.", "x[None, j][0, :2] = 8."),
    ("ellipsis", "x[i, ...][0] = 9.", "x[..., j][1] = 8."),
    ("0-d view", "v = x[i, 1, ...]", "v[...] = 9."),
    ("0-d view in place", "v = x[i, j, ...]", "v += 1"),
    ("part of a view", "v = x[1:, 1:]", "v[k][0] = 9.", "x[1:, ::2][k][1] = 8."),
    ("reshape", "v = x[i].reshape(2, 2)", "v[j % 2][0] = 9."),
    ("reshape of a matrix", "v = t[k].reshape(6, 2)", "v[i + 2][0] = 9."),
    ("reshape of columns copies", "v = t[k][:, ::2].reshape(-1)", "v[0] = 9."),
    ("rows of a matrix", "for v in t[k]: v[0] = v[1]"),
    ("split", "v, w = np.split(x[i], 2)", "v[:] = w"),
    ("diagonal", "v = np.flip(t[k])", "v[0] = 9."),
    ("broadcast", "v = np.broadcast_to(x[i], (2, 4))", "x[i][0] = 9.", "w = v + 0"),
    ("F order", "f = np.copy(t[0].T)", "f[:, j][i] = 9.", "f[m][1] = 8.",
     "v = f.ravel('K').reshape(2, 6)", "v[k][i] = 7."),
    ("scalars are values", "v = x[i, j]", "x[i, j] = 9."),
    ("0-d index copies", "a = np.zeros((), int, like=x)", "a += i", "v = x[a]",
     "v[0] = 9."),
    ("index is a value", "a = i", "v = x[a]", "a = a + 1", "v[0] = 9."),
    ("argmax", "a = np.argmax(x[:, 0])", "x[a][0] = 9."),
    ("take copies", "v = np.take(x, i, axis=0)", "v[0] = 9."),
    ("copy", "v = x[i].copy()", "v[0] = 9.", "x[i][1] = 8."),
    ("list of views", "r = [x[a] for a in (i, j)]", "r[0][0] = 9.", "r[1] += 1"),
    ("branch", "v = x[i] if x[0, 0] > 0 else x[j]", "v[0] = 9."),
    ("branch after", "v = x[i]", "if x[0, 0] > 0: v[0] = 9."),
]  # fmt: skip

LOOPS = [
    ("fori_loop", """
def body(a, c):
    c[a][0] = 9.
    c[a][1:] *= c[i][1:]
    return c
x = fori_loop(0, 3, body, x)"""),
    ("element of a chain", """
def body(a, c):
    c[k][a][a] += 1.
    return c
t = fori_loop(0, 2, body, t[:, :2, 1:3])"""),
    ("scan", """
def body(c, r):
    v = c[r]
    v += c[i]
    return c, v * 2
x, w = scan(body, x, np.array([2, 0, 1, 2]))"""),
    ("while_loop", """
def body(s):
    a, c = s
    c[a] /= 2
    c[a, :2][1] -= 1
    return a + 1, c
a, x = while_loop(lambda s: s[0] < 3, body, (i, x), max_steps=5)"""),
    ("elimination", """
for a in range(2):
    p = a + np.argmax(np.abs(x[a:, a]))
    v = x[a].copy()
    x[a] = x[p]
    x[p] = v
    w = x[a]
    w /= w[a]
    x[a + 1:] -= np.outer(x[a + 1:, a], w)
    del p"""),
    ("elimination in a loop", """
def body(a, c):
    v = c[a]
    v /= v[a]
    for b in range(2):
        w = c[b]
        w -= np.where(a == b, 0., w[a]) * v
    return c
x = fori_loop(0, 2, body, x[:2, 1:])"""),
]  # fmt: skip


def program(text):
    """A function of x, t, y and four indices that returns its variables."""
    code = compile(text, "<program>", "exec")

    def f(x, t, y, i, j, k, m):
        names: dict[str, Any] = dict(
            x=x.copy(), t=t.copy(), y=y, i=i, j=j, k=k, m=m, np=np
        )
        names |= dict(fori_loop=fori_loop, scan=scan, while_loop=while_loop)
        names["MASK"] = np.array([True, False, True, False])
        exec(code, names)
        kept = [k for k in sorted(names) if len(k) == 1 and k not in "ijkmyr"]
        return [names[k] for k in kept]

    return f


CASES = {row[0]: program("\n".join(row[1:])) for row in (*PROGRAMS, *LOOPS)}
RNG = np.random.default_rng(5)
POINTS = [
    (*[RNG.standard_normal(s) for s in ((3, 4), (2, 3, 4), 3)], i, j, k, m)
    for i, j, k, m in ((0, 2, 1, -1), (1, 1, 0, -3), (2, 0, 1, -2))
]

COMPILED = ("in place, then used", "two rows", "chain of slices", "F order", "scan",
            "element of a chain", "branch after")  # fmt: skip


def same(found, expected, rtol=1e-12):
    """Equal shapes and, to rounding, values."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, strict=True)


def several(names):
    """One function of all these programs."""
    return lambda *point: [CASES[name](*point) for name in names]


def batched(f, points):
    """NumPy's results at each point, stacked."""
    return [np.stack(v) for v in zip(*[plain(f, p) for p in points], strict=True)]


BATCH = [np.stack([np.asarray(p[k]) for p in POINTS]) for k in range(7)]


@pytest.mark.parametrize("name", CASES)
def test_values(name):
    for point in POINTS:
        expected = plain(CASES[name], point)
        for scalar in (True, False):
            found = engine.value(CASES[name], *point, scalar=scalar)
            same([np.asarray(v) for v in found], expected)


@pytest.mark.slow
def test_values_interpreted():
    f = several(CASES)
    found = jitad.vmap(f, backend="numpy")(*BATCH)
    same(tree.flatten(found)[0], batched(f, POINTS))


@pytest.mark.slow
def test_values_compiled():
    f = several(COMPILED)
    expected = batched(f, POINTS)
    same(tree.flatten(jitad.vmap(f)(*BATCH))[0], expected)
    inside = jitad.jit(lambda *batch: jitad.vmap(f)(*batch))
    same(tree.flatten(inside(*BATCH))[0], expected)
    one = tree.flatten(jitad.jit(f)(*POINTS[2]))[0]
    same([np.asarray(v) for v in one], plain(f, POINTS[2]))


def test_values_in_float32():
    f = several(COMPILED)
    single = [x.astype(np.float32) if x.dtype.kind == "f" else x for x in BATCH]
    points = [[x[k] for x in single] for k in range(len(POINTS))]
    found = tree.flatten(jitad.vmap(f, backend="numpy")(*single))[0]
    same(found, batched(f, points), rtol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_jacobians(name):
    """They are those with the same indices in plain sight."""
    f = CASES[name]
    *arrays, i, j, k, m = POINTS[2]
    expected = engine.jacobian(lambda x, t, y: f(x, t, y, i, j, k, m), *arrays)
    for mode in MODES:
        found = engine.jacobian(f, *POINTS[2], mode=mode, wrt=(0, 1, 2))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13, strict=True)


@pytest.mark.parametrize("at", [3, -4, 100])
def test_writes_out_of_range_leave_nan(at):
    def f(x, k):
        v = x[k]
        v[:] = 1.0
        w = x[:, 0]
        v[1] = 2.0
        return x, v, w + 0

    for found in engine.value(f, np.ones((3, 2)), at):
        assert np.isnan(found).all()


def test_rows_of_nothing():
    def f(x, k):
        v = x[k]
        v[0] = 1.0
        return v

    assert np.isnan(engine.value(f, np.ones((0, 2)), 0)[1])


def test_a_read_only_array_has_read_only_views():
    def f(x, k):
        np.broadcast_to(x, (3, 2))[k][0] = 1.0

    with pytest.raises(ValueError, match="read-only"):
        engine.value(f, np.ones(2), 1)


def test_shared_memory_is_told():
    def f(x, k, j):
        v = x[k]
        assert np.shares_memory(v, x)
        assert np.shares_memory(v[1:], v)
        assert not np.shares_memory(v, x.copy())
        assert not np.shares_memory(v[1:], x[:, 0])
        assert not np.shares_memory(v[1:], v[:1])
        assert np.may_share_memory(v, x[j])
        assert np.may_share_memory(v, x[0])
        with pytest.raises(TracingError, match="may_share_memory"):
            np.shares_memory(v, x[j])
        return v

    engine.value(f, np.ones((3, 2)), 1, 2)


def test_a_write_in_an_inner_trace_is_not_lost():
    def f(x, k):
        v = x[k]
        inner = jitad.jit(lambda s: v * s)
        before = inner(x[0, 0])
        v[0] = 5.0
        return before, inner(x[0, 0]), x

    x = np.arange(6.0).reshape(3, 2) + 1
    before, after, x = engine.value(f, x, 1)
    assert np.array_equal(before, [3, 4])
    assert np.array_equal(after, [5, 4])
    assert np.array_equal(x[1], [5, 4])

"""What is said of loops, against the kernel that runs them and against running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jitad
from jitad.ir import interpret
from jitad.ir.graph import Graph
from jitad.lowering.kernel import Kernel
from jitad.lowering.statement import statements
from jitad.lowering.statements import If, Repeat, Write
from jitad.show.explain import explain
from jitad.show.explanation import Explanation
from jitad.show.nests import Nest

X = np.array([0.4, 0.7])


def scanned(length: int, checkpoint: Any, reverse: bool = False) -> Any:
    def f(x: Any) -> Any:
        def step(c: Any, t: Any) -> Any:
            return c + 0.01 * np.sin(c * x[0]) * t, None

        times = np.linspace(0.5, 1, length)
        return jitad.scan(step, x[1], times, reverse=reverse, checkpoint=checkpoint)[0]

    return f


def nested(x: Any) -> Any:
    def outer(i: Any, c: Any) -> Any:
        return jitad.fori_loop(0, 5, lambda j, d: np.sin(d * x[0]), c) + x[1]

    return jitad.fori_loop(0, 10, outer, x[1])


def counted(x: Any) -> Any:
    n = (9 * x[0]).astype(int)
    c = jitad.fori_loop(0, n, lambda i, c: np.sin(c) + x[1], x[1], max_steps=8)
    return jitad.while_loop(lambda c: c < 3, lambda c: c + c * x[0], c, max_steps=20)


def chosen(x: Any) -> Any:
    """Loops on one side of a condition, which are worth a branch."""
    return jitad.cond(x[0] > 0.5, nested, lambda x: x[0] * x[1], x)


def stages(x: Any) -> Any:
    stage = jitad.checkpoint(lambda c: scanned(40, None)(np.stack([x[0], c])))
    return stage(stage(x[1]))


def backwards(f: Callable[..., Any]) -> Any:
    return jitad.jacobian(f, mode="reverse")


PROGRAMS = {
    "scan": backwards(scanned(30, None)),
    "reversed": backwards(scanned(30, "sqrt", True)),
    "segments": backwards(scanned(30, "sqrt")),
    "segments of segments": backwards(scanned(100, 14)),
    "nested": backwards(nested),
    "counted": backwards(counted),
    "chosen": jitad.jit(chosen),
    "stages": backwards(stages),
    "pushed": jitad.jacobian(counted, mode="forward"),
    "second order": backwards(backwards(scanned(30, None))),
}


def flat(found: Sequence[Nest]) -> Iterator[Nest]:
    for nest in found:
        yield nest
        yield from flat(nest.inside)


def kernel(function: Any) -> Kernel:
    plan = jitad.vmap(function).prepare(X[None]).plan
    assert plan is not None
    return plan.kernel


@pytest.mark.parametrize("name", PROGRAMS)
def test_loops_are_those_of_the_kernel(name: str) -> None:
    """All of them, as deep as they are, and what their steps write down."""

    def shapes(body: Sequence[Any], depth: int) -> Iterator[tuple[Any, ...]]:
        for s in body:
            if isinstance(s, Repeat):
                own = sum(isinstance(x, Write) and x.index == s.index for x in s.body)
                until = "condition" if s.head else "count" if s.count else ""
                yield (
                    depth, s.bound, until, s.backwards, len(s.carried), own
                )  # fmt: skip
                yield from shapes(s.body, depth + 1)
            elif isinstance(s, If):
                yield from shapes(s.body, depth)

    def said(found: Sequence[Nest], depth: int) -> Iterator[tuple[Any, ...]]:
        for n in found:
            yield depth, n.steps, n.until, n.backwards, n.carried, n.stored
            yield from said(n.inside, depth + 1)

    function = PROGRAMS[name]
    made = kernel(function)
    found = explain(jitad.vmap(function), X[None])
    assert Counter(said(found.loops, 0)) == Counter(shapes(made.body, 0))
    assert found.storage == sum(k.elements * k.dtype.itemsize for k in made.locals)
    branches = [s for s in statements(made.body) if isinstance(s, If)]
    assert len(found.blocks) == len(branches)
    assert bool(branches) == (name == "chosen")


def forward_steps(function: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the interpreter runs a step in which there is a sine."""
    steps = 0
    run = interpret.run

    def spy(loop: Any, operands: Any, evaluate: Any, batch: Any) -> Any:
        def counting(graph: Graph, inputs: Any) -> Any:
            nonlocal steps
            steps += any(node.primitive.name == "sin" for node in graph.nodes)
            return evaluate(graph, inputs)

        return run(loop, operands, counting, batch)

    monkeypatch.setattr(interpret, "run", spy)
    jitad.jit(function, backend="numpy")(X)
    return steps


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("length", "checkpoint"),
    [(2, None), (30, None), (30, "sqrt"), (100, "sqrt"), (100, 14), (17, 3), (61, 8)],
)
def test_steps_stored_and_recomputed(
    length: int, checkpoint: Any, reverse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = backwards(scanned(length, checkpoint, reverse))
    (sweep,) = explain(function, X).sweeps
    assert sweep.steps == length
    assert not sweep.most
    ran = forward_steps(function, monkeypatch)
    assert ran == length + sweep.repeated
    if checkpoint is None:
        assert (sweep.kept, sweep.repeated) == (length, 0)
    else:
        assert sweep.kept < length
        assert sweep.repeated > 0
    # One number is carried.
    assert sweep.bytes == 8 * sweep.kept


@pytest.mark.slow
def test_lengths_tell_segments() -> None:
    sweep = explain(backwards(scanned(1000, "sqrt")), X).sweeps[0]
    assert sweep.lengths == ((31, 32), (8,))
    assert (sweep.kept, sweep.repeated) == (31 + 32 + 8, 31 * 32)


def test_a_loop_in_a_loop_is_recorded_for_one_step_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    function = backwards(nested)
    inner, outer = sorted(explain(function, X).sweeps, key=lambda s: -s.steps)
    assert (inner.lengths, inner.kept, inner.repeated) == (((10, 5),), 5, 50)
    assert (outer.lengths, outer.kept, outer.repeated) == (((10,),), 10, 0)
    assert forward_steps(function, monkeypatch) == 100


def test_checkpointed_stages_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    function = PROGRAMS["stages"]
    (sweep,) = explain(function, X).sweeps
    # The last stage is swept where it stands.
    assert (sweep.lengths, sweep.kept, sweep.repeated) == (((40,), (40,)), 80, 40)
    assert forward_steps(function, monkeypatch) == 120


def test_counts_are_bounds_where_points_differ() -> None:
    found = explain(backwards(counted), X)
    assert [(s.steps, s.most, s.repeated) for s in found.sweeps] == [
        (8, True, 0),
        (20, True, 0),
    ]
    assert [n.until for n in found.loops] == ["count", "condition", "count", "count"]


def test_what_forward_mode_runs_is_no_sweep() -> None:
    assert not explain(jitad.jacobian(nested, mode="forward"), X).sweeps
    assert not explain(jitad.jit(nested), X).sweeps


def test_of_loops_that_are_swept_twice_only_the_loops_are_told() -> None:
    found = explain(PROGRAMS["second order"], X)
    assert any(n.reads for n in flat(found.loops))
    assert not found.sweeps


def test_loops_that_run_as_one_have_the_lines_of_both() -> None:
    def f(x: Any) -> Any:
        a = jitad.fori_loop(0, 9, lambda i, c: c * x[0], x[1])
        b = jitad.fori_loop(0, 9, lambda i, c: c + x[1] * c, x[0])
        return a + b

    (both,) = explain(jitad.jit(f), X).loops
    first = f.__code__.co_firstlineno
    lines = {f"{__file__}:{first + k}" for k in (1, 2)}
    assert {*both.lines} == lines
    found = explain(backwards(f), X)
    assert {s.line for s in found.sweeps} == lines
    assert [(s.lengths, s.kept, s.bytes) for s in found.sweeps] == [
        (((9,),), 9, 72)
    ] * 2
    places = " and ".join(Path(line).name for line in found.loops[0].lines)
    assert f"  loops      {places}  9 steps  forwards" in str(found)


def test_operations_of_loops_are_counted_as_often_as_they_run() -> None:
    def sines(n: int, steps: Any = None) -> Explanation:
        def f(x: Any) -> Any:
            stop = n if steps is None else (x * steps).astype(int)
            return jitad.fori_loop(0, stop, lambda i, c: np.sin(c), x, max_steps=n)

        return explain(jitad.jit(f), 0.5)

    assert sines(30).operations.counts == {"sin": 30}
    assert sines(30, 5).operations.counts["sin"] == 30
    assert ", those of loops as often as they may run:" in " ".join(
        str(sines(30)).split()
    )
    assert sines(5000).operations.counts == {"sin": 1000}
    assert ", of loops those of at most 1,000 steps:" in " ".join(
        str(sines(5000)).split()
    )
    assert explain(jitad.jit(nested), X).operations.counts == {
        "sin": 50,
        "mul": 50,
        "add": 10,
    }


def test_the_text() -> None:
    found = str(explain(backwards(scanned(300, "sqrt")), X))
    a = scanned(300, "sqrt").__code__.co_firstlineno + 5
    lines = found.splitlines()
    begin = next(k for k, line in enumerate(lines) if line.startswith("  loops "))
    end = next(k for k, line in enumerate(lines) if line.startswith("  memory "))
    assert lines[begin:end] == [
        f"  loops      test_nests.py:{a}    16 steps  forwards   1 carried  1 stored",
        f"               test_nests.py:{a}  18 steps  forwards   1 carried",
        f"             test_nests.py:{a}    12 steps  forwards   1 carried  1 stored",
        f"             test_nests.py:{a}    12 steps  backwards  2 carried",
        f"             test_nests.py:{a}    16 steps  backwards  2 carried",
        f"               test_nests.py:{a}  18 steps  forwards   1 carried  1 stored",
        f"               test_nests.py:{a}  18 steps  backwards  2 carried",
        f"  reverse    test_nests.py:{a}, 300 steps as 16 × 18 + 12: 46 carries stored "
        "(368 bytes",
        "             per lane), 288 steps recomputed",
        *lines[end - 2 : end],
    ]
    assert found.count("\n  storage    2,720 bytes per lane, ") == 1


def test_the_text_of_branches() -> None:
    found = explain(jitad.vmap(chosen), X[None])
    (block,) = found.blocks
    (branch,) = [s for s in kernel(chosen).body if isinstance(s, If)]
    assert (block.words, block.loops) == ({"mul": 1, "sin": 1, "add": 1}, 2)
    assert block.later == branch.later
    for later in (False, True):
        told = replace(found, blocks=(replace(block, later=later),))
        text = " ".join(str(told).split())
        assert (
            "branches 3 words and 2 loops run only for vectors of which a lane needs "
            f"them{', and later where few lanes do' * later}: 1 add, 1 mul, 1 sin"
        ) in text
        assert "storage" not in text

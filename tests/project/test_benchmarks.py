"""The benchmarks run, say what is missing, and do not time wrong results."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from benchmarks import (
    card_first_call,
    card_rows,
    child,
    fresh_results,
    numba_loops,
    numba_pairs,
    picture,
    start,
    trajectories,
)
from benchmarks.__main__ import WORKLOADS, choose, main, rows
from benchmarks.bundle_adjustment import rows_work
from benchmarks.compile_time import STEPS, evaluate, program
from benchmarks.gaussians import gaussians_work, sines_work
from benchmarks.harness import (
    Participant,
    Result,
    Runner,
    UnavailableError,
    compare,
    measure,
)
from benchmarks.hessian import hessian_work
from benchmarks.long_scan import lockstep_work, scan_work
from benchmarks.participants import on_card_native
from benchmarks.public import gmm_work, hello_work, llsq_work, lse_work
from benchmarks.speed import Row, speed_table
from benchmarks.sums import logistic_work, normal_reference, normal_work, products
from benchmarks.trajectories import adaptive_work, fixed_work, slope
from benchmarks.work import Setting, complex_step, step_along
from jitad.backends.cuda import nvrtc
from jitad.backends.cuda.card import DeviceError
from jitad.calls import cards
from tests.support.cuda_host import needs_compiler
from tests.support.cuda_machines import use

QUICK = Setting(quick=True, tools=("numpy",))
ROOT = Path(__file__).parents[2]
OTHERS = ("jax", "torch", "drjit", "casadi", "autograd")


def reference_runner(work, factor=1.0, entry=-1, whole=False):
    outputs = tuple(np.array(x) for x in work.reference(work))
    outputs[entry].flat[slice(None) if whole else -1] *= factor
    return Participant("planted", lambda: Runner(lambda: outputs, lambda y: y))


@pytest.mark.parametrize("device", WORKLOADS)
def test_rows_have_distinct_names_and_are_listed(device, capsys):
    names = [row.name for row in rows(device)]
    assert len(set(names)) == len(names)
    assert main(["--list", "--device", device]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names


def test_only_takes_exact_names_before_beginnings():
    assert [row.name for row in choose(rows(), "ba")] == ["ba"]
    found = [row.name for row in choose(rows(), "first")]
    assert found == ["first-call", "first-call-point"]


def conditions():
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return dict(os.environ), cores


def test_start_says_of_every_line_what_came_of_it(monkeypatch, capsys):
    def missing(setting):
        raise UnavailableError("nothing there")

    asked = [
        start.Line("good", "a copy", 2.0, lambda setting: ("1 s : 1 s", 1.0)),
        start.Line("bad", "a copy", 0.5, lambda setting: ("1 s : 1 s", 1.0)),
        start.Line("none", "a copy", 1.0, missing),
        start.Line("broken", "a copy", 1.0, lambda setting: ("", 1 / 0)),
    ]
    assert start.lines()
    assert {type(line) for line in start.lines()} == {start.Line}
    monkeypatch.setattr(start, "lines", lambda: asked)
    around = conditions()
    assert main(["--start", "--quick", "--threads", "1"]) == 0
    assert conditions() == around
    found = {x.split()[0]: x for x in capsys.readouterr().out.splitlines() if x}
    assert found["good"].endswith("≤ 2.00     met")
    assert found["bad"].endswith("≤ 0.50  MISSED")
    assert "not available: nothing there" in found["none"]
    assert "ZeroDivisionError" in found["broken"]


def test_a_picture_has_a_bar_for_everyone_who_did_it(tmp_path, monkeypatch):
    results = [
        Result("jitad, fresh", 1.0, 3e-3, 3e-3),
        Result("jitad, out=", 1.0, 2e-3, 2e-3),
        Result("JAX jacrev", 1.0, 1e-1, 1e-1),
        Result("Dr.Jit frozen", note="not installed"),
        Result("NumPy copy of the bytes", 1.0, 1e-3, 1e-3),
    ]
    made = picture.group("a work", results, 10**4)
    assert made.times == {"jitad": 200.0, "JAX, best mode": 1e4}
    quick = picture.Group("another", 100.0, {"jitad": 25.0})
    axes = picture.draw([made, quick], "", "black").axes[0]
    bars = [(bar.get_x(), bar.get_width()) for bar in axes.patches]
    assert bars == [(1.0, 1.0), (1.0, 99.0), (1.0, -0.75)]
    said = [text.get_text() for text in axes.texts]
    assert said == ["200 ns, jitad", "10,000 ns", "25.0 ns, jitad"]
    assert axes.get_xlim() == (0.8 * 0.25, 180.0)

    monkeypatch.setattr(picture, "WORKS", {"a work": rows_work})
    asked = ["--quick", "--picture", str(tmp_path / "new")]
    assert main([*asked, "--tools", "jitad,numpy"]) == 0
    for name in picture.INKS:
        text = (tmp_path / "new" / f"speed-{name}.svg").read_text("utf-8")
        assert "ns, jitad" in text and "JAX" not in text and picture.INKS[name] in text
    assert main([*asked, "--tools", "jitad"]) == 2


@pytest.mark.slow
def test_forces_of_pairs_are_those_by_hand_before_they_are_timed(monkeypatch):
    found = numba_pairs.table(Setting(quick=True, threads=1))
    ((count, *times),) = found.lines
    assert count == "60" and float(times[-1]) > 0
    assert found.notes[0].startswith("target first gradient of 60 ≤ 500 ms: ")
    monkeypatch.setattr(numba_pairs, "by_hand", lambda x: 2.0 * x)
    with pytest.raises(UnavailableError, match="WRONG: error"):
        numba_pairs.in_child(8, quick=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", numba_loops.WORKS)
def test_numbas_loops_have_right_derivatives(name: str) -> None:
    work = numba_loops.WORKS[name]
    found = numba_loops.in_child(name, quick=True)
    assert min(found.values()) > 0
    value = work.value(numba)
    with pytest.raises(UnavailableError, match="WRONG: error"):
        numba_loops.check(value, work.arguments(True), np.array(123.0), work.step)


def test_fresh_results_are_timed_beside_the_same_memory():
    found = fresh_results.table(QUICK)
    assert [line[1] for line in found.lines] == 2 * list(fresh_results.WAYS)
    assert all(float(line[-1]) > 0 for line in found.lines)
    assert len(found.notes) == 4


@pytest.mark.parametrize("wrong", [["--only", "nothing"], ["--tools", "nothing"]])
def test_unknown_rows_and_tools_are_named(wrong, capsys):
    assert main(wrong) == 2
    assert "nothing" in capsys.readouterr().err


@pytest.mark.slow
def test_quick_row_needs_only_numpy_and_jitad():
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in OTHERS)
    program = (
        f"import sys; {blocked}; from benchmarks.__main__ import main; "
        "sys.exit(main(['--only', 'ba', '--quick']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert all("not installed" in lines[name] for name in OTHERS)
    for name in (
        "jitad, fresh results",
        "jitad, out=NumPy's array",
        "NumPy copy of the bytes",
    ):
        assert "s  " in lines[name], lines[name]


def test_planted_competitor_that_is_right_is_timed():
    work = rows_work(QUICK)
    results = measure(work, QUICK, [reference_runner(work)])
    assert results[-1].median is not None


@pytest.mark.parametrize("entry", range(4))
@pytest.mark.parametrize("factor", [1 + 1e-6, -1.0, np.nan])
def test_planted_wrong_competitor_is_not_timed(entry, factor):
    work = rows_work(QUICK)
    results = measure(work, QUICK, [reference_runner(work, factor, entry)])
    assert results[-1].median is None
    assert results[-1].note.startswith("WRONG")
    assert "WRONG" in speed_table(work, results).text()


def test_wrong_shape_count_or_infinite_reference_never_compare():
    x = np.ones((3, 2))
    assert compare((x,), (x,), 0) == 0
    assert compare((x,), (x, x), 0) == np.inf
    assert compare((x.T,), (x,), 0) == np.inf
    assert compare((x * np.nan,), (x * np.nan,), 0) == np.inf


def test_error_at_a_small_point_is_seen_beside_large_ones():
    expected = np.array([[1e-9, 1e-9], [1e9, 1e9]])
    got = expected + np.array([[1e-15, 0], [0, 0]])
    assert compare((got,), (expected,), 0) > 1e-7
    assert compare((got.T,), (expected.T,), -1) > 1e-7


def test_failing_competitor_is_reported_and_the_others_run():
    def prepare():
        raise RuntimeError("planted failure")

    work = rows_work(QUICK)
    planted = [Participant("broken", prepare), reference_runner(work)]
    broken, right = measure(work, QUICK, planted)[-2:]
    assert "planted failure" in broken.note
    assert right.median is not None


def test_observations_hold_zero_small_and_ordinary_rotations():
    angles = np.linalg.norm(rows_work(QUICK).inputs[0][:, :3], axis=1)
    assert (angles == 0).any()
    assert ((angles > 0) & (angles < 1e-3)).any()
    assert (angles > 0.1).any()


@pytest.mark.parametrize("make", [rows_work, gaussians_work, sines_work])
def test_complex_step_agrees_with_central_differences(make):
    work = make(QUICK)
    inputs = [work.trailing_input(i) for i in work.counted()]
    exact = step_along(work.function, inputs, 0)
    for k in range(len(inputs[0])):
        steps = []
        for sign in (1, -1):
            moved = inputs[0].copy()
            moved[k] += sign * 1e-6
            steps.append(work.function(np, moved, *inputs[1:]))
        difference = (steps[0] - steps[1]) / 2e-6
        scale = np.abs(exact[..., k, :]).max()
        assert np.abs(exact[..., k, :] - difference).max() <= 1e-4 * scale


@pytest.mark.slow
def test_hessian_reference_is_symmetric_and_of_the_function():
    work = hessian_work(QUICK)
    (H,) = work.reference(work)
    assert compare((H.transpose(0, 2, 1),), (H,), 0) < 1e-12
    by_complex_step = complex_step(replace(work, derivative="gradient"))[1]
    moved = replace(work, inputs=(work.inputs[0] + 1e-6,), derivative="gradient")
    difference = complex_step(moved)[1] - by_complex_step
    assert compare((1e-6 * H.sum(axis=2),), (difference,), 0) < 1e-4


@pytest.mark.parametrize(
    "make", [gmm_work, lse_work, llsq_work, hello_work, logistic_work]
)
def test_gradients_by_hand_agree_with_directional_differences(make):
    work = make(QUICK)
    value, *gradients = work.reference(work)
    assert np.isclose(value, work.function(np, *work.inputs), rtol=1e-12)
    rng = np.random.default_rng(1)
    for i, gradient in zip(work.argnums, gradients, strict=True):
        direction = rng.normal(size=np.shape(gradient))
        values = []
        for step in (1e-6, -1e-6):
            moved = list(work.inputs)
            moved[i] = moved[i] + step * direction
            values.append(work.function(np, *moved))
        expected = np.sum(gradient * direction)
        assert np.isclose((values[0] - values[1]) / 2e-6, expected, rtol=1e-5)


ROWS_OF_PROGRAMS = (
    *("trajectories", "trajectories-adaptive", "scan-reverse", "scan-memory"),
    *("branch-scattered", "branch-together", "scan-compile", "logistic"),
    "gauss-newton",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS_OF_PROGRAMS)
def test_quick_row_of_a_program_times_right_results(name):
    (row,) = choose(rows(), name)
    table = row.table(replace(QUICK, tools=("jitad",)))
    full = [line for line in table.lines if len(line) == len(table.headers)]
    assert full
    assert all(line[0].startswith(("jitad", "c", "stored")) for line in full)
    text = table.text()
    assert "WRONG" not in text
    assert "failed" not in text
    assert "not available" not in text


def test_sweep_by_hand_agrees_with_complex_steps():
    few = lockstep_work(QUICK)
    exact = complex_step(few)
    by_hand = [x[:3] for x in scan_work(QUICK).reference(scan_work(QUICK))]
    assert compare(tuple(by_hand), exact, 0) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "digits"), [(fixed_work, 2e-4), (adaptive_work, 2e-7)]
)
def test_trajectories_end_where_another_integrator_ends(make, digits):
    work = make(QUICK)
    values, J = work.reference(work)
    for p, value in zip(work.inputs[0][:4], values, strict=False):

        def change(_, y, rates=p[:4]):
            return slope(np, y, rates)

        exact = solve_ivp(change, (0, 20), p[4:], "DOP853", rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(value, exact.y[:, -1], rtol=digits)
    assert J.shape == (work.points, 2, 6)


@pytest.mark.slow
def test_adaptive_sensitivities_are_those_of_small_equal_steps(monkeypatch):
    monkeypatch.setattr(trajectories, "STEPS", 2_000)
    works = fixed_work(QUICK), adaptive_work(QUICK)
    fine, chosen = (work.reference(work) for work in works)
    assert 1e-12 < compare(chosen, fine, 0) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1 + 1e-5, -1.0, np.nan])
def test_a_wide_tolerance_still_finds_wrong_competitors(factor):
    work = adaptive_work(QUICK)
    results = measure(work, QUICK, [reference_runner(work, factor, whole=True)])
    assert results[-1].note.startswith("WRONG")
    close = measure(work, QUICK, [reference_runner(work, 1 + 1e-9)])
    assert close[-1].median is not None


def test_sums_are_those_of_the_jacobians_of_all_points():
    work = normal_work(QUICK)
    r, J = complex_step(replace(work, batched=True, in_axes=(0, 0)))
    square, slopes, matrix = work.reference(work)
    assert np.isclose(square, np.sum(r**2), rtol=1e-12)
    expected = np.sum([j.T @ j for j in J], axis=0)
    assert compare((matrix, slopes), (expected, products(r, J)[1]), None) < 1e-12


def test_programs_have_the_size_and_stay_bounded():
    steps, results = program(1_000)
    assert 1_000 <= sum(STEPS[name][0] for name, _, _ in steps) < 1_003
    used = {operand for _, *operands in steps for operand in operands}
    produced = set(range(len(steps) + 14))
    assert produced - used <= set(results)
    x = np.random.default_rng(0).uniform(-1, 1, (14, 8))
    assert np.abs(evaluate(np, steps, results, x)).max() <= 1


# -- on a card ---------------------------------------------------------------------

ON_CARD = Setting(quick=True, device="cuda", tools=("jitad", "native", "copy"))


@pytest.fixture
def stand_in(monkeypatch):
    use("host", monkeypatch)


def full_lines(table):
    return [line for line in table.lines if len(line) == len(table.headers)]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("row", rows("cuda")[:-1], ids=lambda row: row.name)
def test_rows_of_a_card_are_right_and_compared_with_their_targets(row, stand_in):
    table = row.table(ON_CARD)
    names = [line[0] for line in full_lines(table)]
    assert len([n for n in names if n.startswith(("jitad", "stored"))]) == 2
    assert ("CUDA C by hand" in names) == (row.name in HAND_WRITTEN)
    assert ("device copy" in names) == (row.name in HAND_WRITTEN[:2])
    assert not any(word in table.text() for word in ("WRONG", "failed:"))
    own = [n for n in table.notes if n.startswith("target") and "JAX" not in n]
    assert all(("met" in n) or ("MISSED" in n) for n in own)
    assert own or row.name == "card-trajectories"


HAND_WRITTEN = ("card-ba", "card-ba-soa", "card-launch")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("row", HAND_WRITTEN)
def test_a_wrong_kernel_on_a_card_is_not_timed(row, stand_in, monkeypatch, tmp_path):
    text = (on_card_native.FOLDER / "bundle_adjustment.cu").read_text()
    wrong = text.replace("w * L * p)", "w * L * p + 1e-6)")
    assert wrong != text
    (tmp_path / "bundle_adjustment.cu").write_text(wrong)
    monkeypatch.setattr(on_card_native, "FOLDER", tmp_path)
    (found,) = choose(rows("cuda"), row)
    table = found.table(replace(ON_CARD, tools=("native",)))
    assert "WRONG" in next(x[1] for x in table.lines if x[0] == "CUDA C by hand")


@needs_compiler
@pytest.mark.parametrize("row", ["card-ba", "card-gauss-newton"])
def test_jax_takes_part_on_the_device_it_has(row, stand_in, monkeypatch):
    jax = pytest.importorskip("jax")
    on_card_jax = pytest.importorskip("benchmarks.participants.on_card_jax")
    (found,) = choose(rows("cuda"), row)
    jax_alone = replace(ON_CARD, tools=("jax",))
    if jax.default_backend() == "cpu":
        assert "JAX without a card" in found.table(jax_alone).text()
    monkeypatch.setattr(on_card_jax, "device", lambda: jax.devices("cpu")[0])
    assert all(line[0].startswith("JAX") for line in full_lines(found.table(jax_alone)))
    assert full_lines(found.table(jax_alone))


def test_no_card_ends_with_the_reason(monkeypatch, capsys):
    def none(number):
        raise DeviceError("expected CUDA card 0")

    monkeypatch.setattr(cards, "card", none)
    assert main(["--device", "cuda", "--quick"]) == 2
    assert capsys.readouterr().err == "expected CUDA card 0\n"


@pytest.mark.slow
def test_a_row_that_fails_is_told_and_the_others_are_measured(monkeypatch, capsys):
    def broken(setting):
        raise MemoryError("planted")

    monkeypatch.setattr(
        "benchmarks.__main__.rows",
        lambda device: [Row("broken", "", broken), *choose(rows(), "import")],
    )
    assert main(["--quick", "--tools", "jitad"]) == 1
    printed = capsys.readouterr().out
    assert "broken: failed: MemoryError: planted" in printed
    assert printed.index("broken") < printed.index("import: ")


@pytest.mark.parametrize("make", [card_rows.rows, card_rows.streams])
@pytest.mark.parametrize("entry", range(4))
def test_wrong_results_are_seen_where_points_are_sampled(make, entry):
    work = replace(make(QUICK), checked=20)
    assert 15 < work.some().points < 23
    right = tuple(complex_step(replace(work, checked=None)))
    reference = work.reference(work.some())
    assert compare(work.sample(right), reference, work.out_axis) < 1e-12
    wrong = [np.array(y) for y in right]
    wrong[entry].flat[-1] += 1e-3  # of the last point
    assert compare(work.sample(tuple(wrong)), reference, work.out_axis) > 1e-10
    outputs = tuple(np.full_like(y, np.nan) for y in right)
    for y, x in zip(outputs, right, strict=True):
        at = work._chosen()
        key = (at,) if work.out_axis == 0 else (..., at)
        y[key] = x[key]
    assert compare(work.sample(outputs), reference, work.out_axis) < 1e-12


def test_sums_of_repeated_observations(monkeypatch):
    monkeypatch.setattr(card_rows, "DIFFERENT", 64)
    work = card_rows.normal(QUICK)
    assert len(work.inputs[0]) == 256
    assert compare(work.reference(work), normal_reference(work), None) < 1e-13


def test_who_fails_while_timed_is_reported_and_the_others_run():
    calls = []

    def call():
        calls.append(1)
        if len(calls) > 3:
            raise MemoryError("planted")
        return outputs

    work = rows_work(QUICK)
    outputs = work.reference(work)
    left = []
    broken = Runner(call, lambda y: y, leave=lambda: left.append(len(calls)))
    planted = [Participant("broken", lambda: broken), reference_runner(work)]
    failing, right = measure(work, QUICK, planted)[-2:]
    assert failing.note == "failed: MemoryError: planted"
    assert failing.median is None
    assert right.median is not None
    assert left == [2, 3, 4]  # after its check, and each of its turns


def test_calls_in_a_row_are_waited_for_once():
    events = []
    work = rows_work(QUICK)
    outputs = work.reference(work)
    runner = Runner(
        lambda: (events.append("call"), outputs)[1],
        lambda y: y,
        lambda y: events.append("wait"),
    )
    measure(work, replace(QUICK, device="cuda"), [Participant("quick", lambda: runner)])
    text = "".join(e[0] for e in events)
    assert text.startswith("cwccw")
    loops = text.removeprefix("cwccw").split("w")[:-1]
    assert all(set(loop) == {"c"} for loop in loops)
    assert max(map(len, loops)) >= 100


@pytest.mark.slow
@needs_compiler
def test_first_calls_of_a_card_are_those_of_fresh_processes(stand_in, monkeypatch):
    homes = []

    def here(target, arguments, setting, home):
        assert target == card_first_call.TARGET
        homes.append(home)
        return card_first_call.in_child(**arguments)

    monkeypatch.setattr(child, "call", here)
    table = card_first_call.table(ON_CARD)
    assert [line[0] for line in full_lines(table)] == [
        "jitad, fresh results",
        card_first_call.CONTEXT,
        "jitad, fresh results, cached",
        "CUDA C by hand",
    ]
    assert homes[0] == homes[1] != homes[2]
    assert table.notes[0].startswith("target jitad ≤ 1.00 s: ")


def test_the_kernel_by_hand_compiles_without_spills():
    text = (on_card_native.FOLDER / "bundle_adjustment.cu").read_text()
    try:
        usage = nvrtc.compile_cubin(text, (9, 0)).usage
    except nvrtc.CompilerError as error:
        if "expected NVIDIA" not in str(error):
            raise
        pytest.skip(str(error))
    assert set(usage) == {"ba_rows", "ba_streams"}
    assert all(u.spilled == 0 for u in usage.values())

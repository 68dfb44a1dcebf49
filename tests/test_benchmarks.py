"""The benchmarks run, say what is missing, and do not time wrong results."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from benchmarks import trajectories
from benchmarks.__main__ import choose, main, rows
from benchmarks.bundle_adjustment import rows_work
from benchmarks.compile_time import STEPS, evaluate, program
from benchmarks.gaussians import gaussians_work, sines_work
from benchmarks.harness import Participant, Runner, compare, measure
from benchmarks.hessian import hessian_work
from benchmarks.long_scan import lockstep_work, scan_work
from benchmarks.public import gmm_work, hello_work, llsq_work, lse_work
from benchmarks.speed import speed_table
from benchmarks.sums import logistic_work, normal_work, products
from benchmarks.trajectories import adaptive_work, fixed_work, slope
from benchmarks.work import Setting, complex_step, step_along

QUICK = Setting(quick=True, tools=("numpy",))
ROOT = Path(__file__).parent.parent
OTHERS = ("jax", "torch", "drjit", "casadi", "autograd")


def reference_runner(work, factor=1.0, entry=-1, whole=False):
    outputs = tuple(np.array(x) for x in work.reference(work))
    outputs[entry].flat[slice(None) if whole else -1] *= factor
    return Participant("planted", lambda: Runner(lambda: outputs, lambda y: y))


def test_rows_have_distinct_names_and_are_listed(capsys):
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names


def test_only_takes_exact_names_before_beginnings():
    assert [row.name for row in choose(rows(), "ba")] == ["ba"]
    found = [row.name for row in choose(rows(), "first")]
    assert found == ["first-call", "first-call-point"]


@pytest.mark.parametrize("wrong", [["--only", "nothing"], ["--tools", "nothing"]])
def test_unknown_rows_and_tools_are_named(wrong, capsys):
    assert main(wrong) == 2
    assert "nothing" in capsys.readouterr().err


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


def test_adaptive_sensitivities_are_those_of_small_equal_steps(monkeypatch):
    monkeypatch.setattr(trajectories, "STEPS", 2_000)
    works = fixed_work(QUICK), adaptive_work(QUICK)
    fine, chosen = (work.reference(work) for work in works)
    assert 1e-12 < compare(chosen, fine, 0) < 1e-5


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

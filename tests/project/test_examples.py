"""The examples run as they stand, find what they look for, and draw it."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

import jitad

pytest.importorskip("matplotlib").use("Agg")

FOLDER = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def example(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """(name of a file -> what it defines); afterwards, its picture is there."""
    monkeypatch.chdir(tmp_path)
    names: list[str] = []

    def load(name: str) -> dict[str, Any]:
        names.append(name)
        return runpy.run_path(str(FOLDER / f"{name}.py"), run_name=name)

    yield load
    (name,) = names
    picture = tmp_path / f"{name}.png"
    assert [*tmp_path.iterdir()] == [picture]
    assert picture.read_bytes().startswith(PNG)
    assert capsys.readouterr().out.splitlines()[-1] == str(picture.resolve())


Example = Callable[[str], dict[str, Any]]


@pytest.mark.slow
def test_the_inverse_problem_is_solved(example: Example) -> None:
    found = example("inverse_problem")
    path = found["main"]()
    assert path[0] == 3
    np.testing.assert_allclose(found["p"](path[-1]), 42, rtol=1e-11)
    roots = np.roots([1, -3, 2, 5 - 42])
    np.testing.assert_allclose(path[-1], roots[roots.imag == 0].real, rtol=1e-11)
    losses = found["loss"](path)
    assert np.all(np.diff(losses) < 0)


def test_a_rate_too_large_is_an_error() -> None:
    found = runpy.run_path(str(FOLDER / "inverse_problem.py"))
    with pytest.raises(RuntimeError, match="smaller rate"):
        found["descend"](3.0, 2e-3, 1e-10)


def test_descents_go_down_and_end_at_the_border(example: Example) -> None:
    found = example("descent_field")
    paths = found["main"]()
    assert paths.shape == (601, 50, 2)
    a, b = np.moveaxis(paths, -1, 0)
    heights = b * ((a + b) * (a - b))
    assert np.all(np.diff(heights, axis=0) <= 1e-15)
    slopes = found["slopes"](paths.reshape(-1, 2)).reshape(paths.shape)
    expected = np.stack([2 * a * b, a**2 - 3 * b**2], axis=-1)
    np.testing.assert_allclose(slopes, expected, rtol=1e-12, atol=1e-14)
    at_border = np.abs(paths[-1]).max(axis=1) == found["BORDER"]
    assert at_border.sum() == 49


def test_a_step_of_all_descents_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    found = runpy.run_path(str(FOLDER / "descent_field.py"))
    calls = []

    def slopes(points: np.ndarray) -> np.ndarray:
        calls.append(points.shape)
        return found["slopes"](points)

    monkeypatch.setitem(found["descend"].__globals__, "slopes", slopes)
    found["descend"](np.full((50, 2), 0.5), 7, 0.01)
    assert calls == [(50, 2)] * 7


@pytest.mark.slow
def test_nist_fits_agree_with_the_certificates(example: Example) -> None:
    digits = example("nist_fits")["main"]()
    assert len(digits) == 16
    # From there least squares reaches another minimum, a constant.
    del digits["BoxBOD", 1]
    assert min(digits.values()) >= 6


def test_the_band_of_a_line_is_the_textbook_one() -> None:
    found = runpy.run_path(str(FOLDER / "nist_fits.py"))
    x = np.array([0.0, 1, 2, 4, 7])
    y = np.array([1.0, 3, 2, 6, 9])

    class Line:
        def __init__(self) -> None:
            self.x, self.y = x, y

        @staticmethod
        def model(b: Any, x: Any) -> Any:
            return b[0] + b[1] * x

    b = np.polyfit(x, y, 1)[::-1].copy()
    s2 = np.sum((y - b[0] - b[1] * x) ** 2) / 3
    spread = np.sum((x - x.mean()) ** 2)
    at = np.array([-1.0, 2.8, 5.0])
    values, deviation = found["curve"](Line(), b, at)
    np.testing.assert_allclose(values, b[0] + b[1] * at, rtol=1e-14)
    expected = np.sqrt(s2 * (1 / 5 + (at - x.mean()) ** 2 / spread))
    np.testing.assert_allclose(deviation, expected, rtol=1e-12)


@pytest.mark.slow
def test_bundle_adjustment_finds_the_scene(example: Example) -> None:
    found = example("bundle_adjustment")
    costs, (before, after), false, (start, end), truth = found["main"]()
    assert np.all(np.diff(costs) < 0)
    assert costs[-1] < costs[0] / 4
    # Noise of half a pixel in each direction has a median length of 0.59.
    assert np.median(before[~false]) > 10
    assert np.median(after[~false]) < 0.6
    assert np.median(after[false]) > 20
    assert np.linalg.norm(end - truth) < np.linalg.norm(start - truth) / 5


def test_held_weights_give_the_gradient_of_the_cost() -> None:
    found = runpy.run_path(str(FOLDER / "bundle_adjustment.py"))
    (cameras, points), _, seen, observed, _ = found["scene"](3, 20)
    args = cameras[seen[0]], points[seen[1]] + 0.01, observed
    _, weighted, jacobians = found["kernel"](*args)
    slope = jitad.grad(lambda *args: found["linearized"](*args)[0], argnums=(0, 1))
    for J, expected in zip(jacobians, jitad.vmap(slope)(*args), strict=True):
        got = np.einsum("bi,bij->bj", weighted, J)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_the_rotation_is_one_at_any_angle() -> None:
    rotate = runpy.run_path(str(FOLDER / "bundle_adjustment.py"))["rotate"]
    axis, point = np.array([2.0, -1.0, 2.0]) / 3, np.array([0.3, -0.8, 1.1])
    angles = np.array([0.0, 1e-300, 1e-9, 9e-5, 1.1e-4, 0.1, 3.0, 6.0])
    vectors = angles[:, None] * axis
    turned, slopes = jitad.vmap(
        lambda v, p: (rotate(v, p), jitad.jacobian(rotate)(v, p)), in_axes=(0, None)
    )(vectors, point)
    expected = Rotation.from_rotvec(vectors).apply(point)
    np.testing.assert_allclose(turned, expected, rtol=1e-12)
    # At zero the derivative is the cross product: column j is e_j × point.
    np.testing.assert_array_equal(slopes[0].T, np.cross(np.eye(3), point))
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(slopes[3], slopes[4], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_custom_functions_pass_their_check(example: Example) -> None:
    found = example("custom_functions")
    reports = found["main"]()
    assert [report.passed for report in reports] == [True] * 4
    x = np.array([-800.0, -3.0, 0.0, 2.0, 800.0])
    assert found["smooth_ramp"](x)[[0, 4]].tolist() == [0, 800]
    np.testing.assert_allclose(found["tanh"](x[1:4]), np.tanh(x[1:4]), rtol=1e-15)


@pytest.mark.slow
def test_hares_and_lynxes_have_the_published_rates(example: Example) -> None:
    found = example("lynx_hare")
    (ends, costs), (again, costs_again) = found["main"](300)
    best = ends[np.argmin(costs)]
    np.testing.assert_allclose(np.exp(best[:4]), found["PUBLISHED"], rtol=0.04)
    other = again[np.argmin(costs_again)]
    np.testing.assert_allclose(best, other, rtol=1e-7)
    assert np.sum(np.abs(costs - costs.min()) < 1e-6) > 50

    def residual(p: np.ndarray) -> np.ndarray:
        return (integrated(p) - np.log(found["PELTS"])).ravel()

    by_scipy = least_squares(residual, best + 0.01, jac="3-point", xtol=1e-12)
    np.testing.assert_allclose(other, by_scipy.x, rtol=1e-5)
    np.testing.assert_allclose(costs_again.min(), by_scipy.cost, rtol=1e-6)


@pytest.mark.parametrize("name", ["runge_kutta", "dormand_prince"])
def test_populations_are_those_of_another_integrator(name: str) -> None:
    found = runpy.run_path(str(FOLDER / "lynx_hare.py"))
    p = np.log([0.5, 0.03, 0.9, 0.02, 25, 8])
    got = found["populations"](p, found[name])
    np.testing.assert_allclose(got, integrated(p), rtol=1e-6)


def integrated(p: np.ndarray) -> np.ndarray:
    """Logarithms of hares and lynxes in 21 years, by SciPy, from the equations."""
    a, b, c, d = np.exp(p[:4])

    def change(_: float, y: np.ndarray) -> list[float]:
        return [a * y[0] - b * y[0] * y[1], d * y[0] * y[1] - c * y[1]]

    years = np.arange(21)
    options = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-11}
    solved = solve_ivp(change, (0, 20), np.exp(p[4:]), t_eval=years, **options)
    return np.log(solved.y.T)


@pytest.mark.slow
def test_the_orbit_is_reached_with_little_thrust(example: Example) -> None:
    found = example("orbit")
    thrusts, states, last, costs = found["main"](120, 150)
    x, v = last[:2], last[2:]
    np.testing.assert_allclose(x @ x, 4, rtol=1e-4)
    np.testing.assert_allclose(v @ v, 0.5, rtol=1e-4)
    np.testing.assert_allclose(x @ v, 0, atol=1e-4)
    pushed = np.sum(np.linalg.norm(thrusts, axis=1)) * found["DURATION"] / 120
    assert found["HOHMANN"] < pushed < 1.05 * found["HOHMANN"]
    assert all(part[-1] <= part[0] for part in costs)
    np.testing.assert_array_equal(states[0], found["START"])


@pytest.mark.slow
def test_a_flight_with_checkpoints_has_the_same_gradient(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = runpy.run_path(str(FOLDER / "orbit.py"))
    stored, spared = found["compare"](found["spiral"](100), 10.0)
    assert np.abs(stored).max() > 0.1
    np.testing.assert_allclose(spared, stored, rtol=1e-13)
    assert capsys.readouterr().out.splitlines()[:2] == [
        "without checkpoints: 100 of 100 states kept, 3,200 bytes, 0 steps flown twice",
        "with them: 20 of 100 states kept, 640 bytes, 100 steps flown twice",
    ]


def test_a_flight_without_thrust_stays_on_its_circle() -> None:
    flight = runpy.run_path(str(FOLDER / "orbit.py"))["flight"]
    last, states = jitad.jit(flight)(np.zeros((400, 2)))
    t = 24 / 400 * np.arange(401)
    expected = np.stack([np.cos(t), np.sin(t), -np.sin(t), np.cos(t)], axis=1)
    # The rule is of fourth order: its error grows as h⁴ and in time.
    np.testing.assert_allclose([*states, last], expected, atol=2 * (24 / 400) ** 4)


@pytest.mark.slow
def test_forces_of_numba_code_keep_the_energy(example: Example) -> None:
    found = example("numba_code")
    forces, by_hand, energies = found["main"](600)
    np.testing.assert_allclose(forces, by_hand, rtol=1e-11)
    total = energies.sum(axis=1) / len(forces)
    assert np.ptp(energies[:, 1] / len(forces)) > 0.5
    assert np.ptp(total[100:]) < 2e-3
    assert abs(total[-1] - total[100]) < 1e-3


@pytest.mark.slow
def test_custom_primitives_pass_their_check(example: Example) -> None:
    found = example("custom_primitives")
    reports = found["main"]()
    assert len(reports) == 9
    assert all(report.passed for report in reports)
    x = np.linspace(1, 60, 200)
    levels = np.interp(x, found["HOURS"], found["LEVELS"])
    np.testing.assert_allclose(found["tide"](x), levels, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found["tanh_by_definition"](x / 60), np.tanh(x / 60))
    slopes = jitad.vmap(jitad.grad(found["tide"]))(found["HOURS"][1:-1])
    steps = np.diff(found["LEVELS"]) / np.diff(found["HOURS"])
    np.testing.assert_allclose(slopes, (steps[1:] + steps[:-1]) / 2, rtol=1e-11)


@pytest.mark.slow
def test_an_example_runs_as_a_script(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / "inverse_problem.py")],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert "= 42 after" in done.stdout
    assert (tmp_path / "inverse_problem.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_points_beyond_memory_are_summed_by_a_cluster(tmp_path: Path) -> None:
    for library in ("dask.array", "distributed"):
        pytest.importorskip(library)
    found = runpy.run_path(str(FOLDER / "beyond_memory.py"), run_name="beyond_memory")
    script = [str(FOLDER / "beyond_memory.py"), "--points", "25000", "--rows", "10000"]
    done = subprocess.run(
        [sys.executable, *script, "--folder", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(FOLDER.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    blocks = [found["points"]((k,), 10_000, 25_000) for k in range(3)]
    assert [len(block) for block in blocks] == [10_000, 10_000, 5_000]
    total = sum(found["normal"](block)[0] for block in blocks)
    mean = np.array2string(total / 25_000, precision=3, suppress_small=True)
    assert mean in done.stdout
    assert "100% Completed" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["beyond_memory.png"]
    assert (tmp_path / "beyond_memory.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_a_photograph_is_sharpened(example: Example) -> None:
    found = example("deblur")
    seen, sharp, truth, losses = found["main"](size=96, steps=60)
    rows, columns = seen.shape
    down, right = found["LENGTH"] // 4, found["LENGTH"] // 2
    inner = slice(down, down + rows), slice(right, right + columns)
    before = found["decibels"](seen, truth[inner])
    assert found["decibels"](sharp[inner], truth[inner]) > before + 3
    assert np.all(np.diff(losses) <= 0) and losses[-1] < losses[0] / 10


@pytest.mark.slow
def test_what_a_plate_conducts_is_found(example: Example) -> None:
    found = example("heated_plate")
    truth, log_k, losses = found["main"](n=50, steps=320, looks=8, iterations=60)
    assert log_k[truth > 0].mean() > 0.5 and log_k[truth < 0].mean() < -0.8
    assert abs(log_k[truth == 0].mean()) < 0.1
    # Half the mean square of the noise, in units of its own, and a weight on roughness.
    assert losses[-1] < 0.55

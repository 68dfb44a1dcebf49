"""pyceres, GTSAM, OpenMDAO and scikit-sundae through `jitad.interop`."""

from __future__ import annotations

import numpy as np
import pytest

from jitad import InputError, interop
from tests.support.interop import central

# -- pyceres -------------------------------------------------------------------------


def pinhole(camera, point):
    """Two residuals of a camera's six numbers and a point's three."""
    moved = camera[:3] + point + np.cross(camera[3:], point)
    return moved[:2] / moved[2] - np.stack([0.1, -0.2])


def square(a, b):
    return np.stack([a[0] - b[0], a[1] * b[1]])


@pytest.mark.parametrize(("f", "sizes"), [(pinhole, (6, 3)), (square, (2, 2))])
def test_pyceres_writes_every_entry(f, sizes) -> None:
    pytest.importorskip("pyceres")
    cost = interop.pyceres_cost(f, *sizes)
    assert (cost.num_residuals(), cost.parameter_block_sizes()) == (2, list(sizes))
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=n) + 2.0 for n in sizes]
    r, flat = np.full(2, 1e302), [np.full(2 * n, 1e302) for n in sizes]
    assert cost.Evaluate(blocks, r, [*flat])
    np.testing.assert_allclose(r, f(*blocks))
    assert cost.Evaluate(blocks, r, [None, flat[1]]) and cost.Evaluate(blocks, r, None)
    for k, n in enumerate(sizes):
        estimated = central(
            lambda x, k=k: f(*blocks[:k], x, *blocks[k + 1 :]), blocks[k]
        )
        np.testing.assert_allclose(
            flat[k].reshape(2, n), estimated, rtol=1e-6, atol=1e-9
        )


def test_pyceres_solves_with_a_constant_block() -> None:
    pyceres = pytest.importorskip("pyceres")
    camera, points = np.array([0.1, 0.2, 4.0, 0.0, 0.1, 0.0]), np.eye(3)
    problem = pyceres.Problem()
    rows = list(points)
    for row in rows:
        problem.add_residual_block(
            interop.pyceres_cost(pinhole, 6, 3), None, [camera, row]
        )
    problem.set_parameter_block_constant(rows[0])
    options, summary = pyceres.SolverOptions(), pyceres.SolverSummary()
    options.minimizer_progress_to_stdout = False
    pyceres.solve(options, problem, summary)
    assert summary.final_cost < 1e-12
    assert rows[0].tolist() == [1.0, 0.0, 0.0]
    for row in rows:
        np.testing.assert_allclose(pinhole(camera, row), 0.0, atol=1e-5)


def test_pyceres_refuses_other_results() -> None:
    pytest.importorskip("pyceres")
    with pytest.raises(InputError, match=r"shape \(2, 2\).*one axis.*np.ravel"):
        interop.pyceres_cost(lambda a: np.outer(a, a), 2)
    with pytest.raises(InputError, match=r"returns 2 results.*expected one array"):
        interop.pyceres_cost(lambda a: (a, a), 2)


# -- GTSAM ---------------------------------------------------------------------------


def gtsam_cases(gtsam):
    x, y = np.array([0.3, -0.2, 0.5]), np.array([1.0, 2.0])
    pose, plane = (
        gtsam.Pose3(gtsam.Rot3.RzRyRx(0.1, 0.2, 0.3), x),
        gtsam.Pose2(1, 2, 0.3),
    )
    spin, turn = gtsam.Rot3.RzRyRx(0.4, -0.2, 0.1), gtsam.Rot2(0.7)
    return {
        "vectors": (
            lambda a, b: np.stack([a[0] * b[1], a[1] + b[0], a[2] * a[0]]),
            x,
            y,
        ),
        "as many rows as columns": (lambda a: np.stack([a[0] * a[1], a[1]]), y),
        "a number": (lambda a, s: s**2 * a, y, 1.5),
        "Pose3 and a point": (lambda T, p: T[:3, :3].T @ (p - T[:3, 3]), pose, x),
        "Pose2": (lambda T: np.stack([T[0, 2] * T[1, 0], T[1, 2], T[0, 0]]), plane),
        "Rot3": (lambda R, p: R @ p, spin, x),
        "Rot2": (lambda R, p: R @ p, turn, y),
    }


CASES = ["vectors", "as many rows as columns", "a number", "Pose3 and a point", "Pose2",
         "Rot3", "Rot2"]  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_gtsam_against_differences_in_its_own_coordinates(name: str) -> None:
    gtsam = pytest.importorskip("gtsam")
    residual, *points = gtsam_cases(gtsam)[name]
    values = gtsam.Values()
    for k, x in enumerate(points):
        values.insert(k, x)
    error = interop.gtsam_error(residual)
    flat = [isinstance(x, np.ndarray | float) for x in points]
    pairs = list(zip(points, flat, strict=True))
    sizes = {k: np.size(x) if f else x.dim() for k, (x, f) in enumerate(pairs)}
    read = [x if f else x.matrix() for x, f in pairs]
    m = len(residual(*read))
    noise = gtsam.noiseModel.Unit.Create(m)
    factor = gtsam.CustomFactor(noise, list(sizes), error)
    np.testing.assert_allclose(factor.unwhitenedError(values), residual(*read))
    linear = factor.linearize(values)
    found = np.hsplit(linear.jacobian()[0], np.cumsum(list(sizes.values()))[:-1])
    for k, n in sizes.items():

        def moved(step, k=k):
            delta = gtsam.VectorValues()
            for j, size in sizes.items():
                delta.insert(j, step if j == k else np.zeros(size))
            return factor.unwhitenedError(values.retract(delta))

        estimated = central(moved, np.zeros(n))
        np.testing.assert_allclose(found[k], estimated, rtol=1e-6, atol=1e-8)


def test_gtsam_optimizes() -> None:
    gtsam = pytest.importorskip("gtsam")
    noise = gtsam.noiseModel.Unit.Create(2)

    def nonlinear(a, b):
        return np.stack([a[0] ** 2 - b[0] - 1, a[1] * b[1] - 2])

    graph = gtsam.NonlinearFactorGraph()
    graph.add(gtsam.CustomFactor(noise, [0, 1], interop.gtsam_error(nonlinear)))
    graph.add(gtsam.PriorFactorVector(1, np.array([3.0, 0.5]), noise))
    values = gtsam.Values()
    values.insert(0, np.array([1.0, 3.0]))
    values.insert(1, np.ones(2))
    best = gtsam.LevenbergMarquardtOptimizer(graph, values).optimize()
    np.testing.assert_allclose(best.atVector(0), [2.0, 4.0], rtol=1e-6)


def test_gtsam_refuses_other_shapes_and_kinds() -> None:
    gtsam = pytest.importorskip("gtsam")
    noise = gtsam.noiseModel.Unit.Create(2)
    values = gtsam.Values()
    values.insert(0, np.ones(3))
    values.insert(1, gtsam.Cal3_S2())
    for f, expected in (
        (lambda a: a, r"shape \(3,\).*expected \(2,\), as the noise model"),
        (lambda a: a[0], r"shape \(\).*expected \(2,\)"),
        (lambda a: np.outer(a[:2], a[:1]), r"shape \(2, 1\).*expected \(2,\)"),
    ):
        factor = gtsam.CustomFactor(noise, [0], interop.gtsam_error(f))
        with pytest.raises(InputError, match=expected):
            factor.linearize(values)
        with pytest.raises(InputError, match=expected):
            factor.unwhitenedError(values)
    factor = gtsam.CustomFactor(noise, [1], interop.gtsam_error(lambda a: a))
    with pytest.raises(InputError, match=r"key 1 is of a kind.*expected one of Vector"):
        factor.linearize(values)


# -- OpenMDAO ------------------------------------------------------------------------


def sellar(x, z, y2=1.0):
    return z[0] ** 2 + z[1] + x * y2, np.stack([z[0] * z[1], x, x * y2])


def openmdao_problem(*parts):
    om = pytest.importorskip("openmdao.api")
    problem = om.Problem(reports=False)
    for k, part in enumerate(parts):
        problem.model.add_subsystem(f"part{k}", part, promotes=["*"])
    problem.setup(force_alloc_complex=True)
    problem.run_model()
    return problem


@pytest.mark.slow
def test_openmdao_partials_against_its_own_check() -> None:
    pytest.importorskip("openmdao.api")
    part = interop.openmdao_component(
        sellar, ("y1", "g"), {"x": "m", "y1": "m**2"}, x=1.5, z=np.array([2.0, 3.0])
    )

    def turned(z):  # as many rows as columns
        return np.stack([[z[0], z[0] * z[1]], [z[1] ** 2, 1.0]])

    other = interop.openmdao_component(turned, "matrix", z=np.array([2.0, 3.0]))
    problem = openmdao_problem(part, other)
    np.testing.assert_allclose(problem.get_val("g"), [6.0, 1.5, 1.5])
    assert problem.get_val("y1", units="cm**2") == pytest.approx(8.5e4)
    assert problem.get_val("matrix").shape == (2, 2)
    checked = problem.check_partials(out_stream=None, method="cs")
    pairs = [(key, pair) for found in checked.values() for key, pair in found.items()]
    assert len(pairs) == 7
    for _, pair in pairs:
        np.testing.assert_allclose(pair["J_fwd"], pair["J_fd"], rtol=1e-13)
    totals = problem.compute_totals(of=["g"], wrt=["z", "x"])
    assert totals["g", "z"].tolist() == [[3.0, 2.0], [0.0, 0.0], [0.0, 0.0]]


def test_openmdao_refuses_other_names() -> None:
    pytest.importorskip("openmdao.api")
    component = interop.openmdao_component
    with pytest.raises(InputError, match=r"returns 2 results.*expected 3.*a, b, c"):
        component(sellar, ("a", "b", "c"), x=1.0, z=np.ones(2))
    with pytest.raises(InputError, match=r"takes x, z, y2, got w.*by name"):
        component(sellar, ("a", "b"), w=1.0)
    with pytest.raises(InputError, match=r"takes x, z, y2, got x.*by name"):
        component(sellar, ("a", "b"), x=1.0)


# -- scikit-sundae -------------------------------------------------------------------


def robertson(t, y):
    a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.stack([b - a, a - b - c, c])


PATTERN = np.array([[1, 1, 1], [1, 1, 1], [0, 1, 0]])
AT_40 = [0.7158270687, 0.9185534764e-5, 0.2841637457]


@pytest.mark.filterwarnings("ignore:Custom sparse Jacobian:UserWarning")
@pytest.mark.parametrize("linsolver", ["dense", "band", "sparse"])
def test_cvode(linsolver: str) -> None:
    cvode = pytest.importorskip("sksundae.cvode")
    pattern = PATTERN if linsolver == "sparse" else None
    more = {"sparsity": pattern} if linsolver == "sparse" else {}
    if linsolver == "band":
        more = {"lband": 1, "uband": 2}
    more |= {"rtol": 1e-8, "atol": 1e-12, "max_num_steps": 5000}
    given = {
        "own": interop.cvode_jacfn(robertson, pattern),
        "differences": None,
    }
    found = {
        name: cvode.CVODE(
            interop.cvode_rhsfn(robertson),
            jacfn=jacfn,
            linsolver=linsolver,
            **more,
        ).solve(np.array([0.0, 40.0]), np.array([1.0, 0.0, 0.0]))
        for name, jacfn in given.items()
    }
    for result in found.values():
        np.testing.assert_allclose(result.y[-1], AT_40, rtol=1e-5)
    assert found["own"].njev > 0


@pytest.mark.parametrize("pattern", [None, PATTERN])
def test_jacfn_fills_rows_or_columns(pattern) -> None:
    y = np.array([0.8, 1e-5, 0.2])
    y.setflags(write=False)
    expected = central(lambda y: robertson(0.0, y), y, step=1e-9)
    JJ = np.full((3, 3) if pattern is None else 7, np.nan)
    interop.cvode_jacfn(robertson, pattern)(0.0, y, robertson(0.0, y), JJ)
    if pattern is not None:  # column after column
        expected = expected.T[PATTERN.T != 0]
    np.testing.assert_allclose(JJ, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Custom sparse Jacobian:UserWarning")
@pytest.mark.parametrize("linsolver", ["dense", "sparse"])
def test_ida_with_userdata(linsolver: str) -> None:
    ida = pytest.importorskip("sksundae.ida")

    def residual(t, y, yp, rates):
        a, b, c = rates[0] * y[0], rates[1] * y[1] * y[2], rates[2] * y[1] ** 2
        return np.stack([yp[0] + a - b, yp[1] - a + b + c, y[0] + y[1] + y[2] - 1.0])

    pattern = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1]])
    more = {"sparsity": pattern} if linsolver == "sparse" else {}
    jacfn = interop.ida_jacfn(residual, pattern if linsolver == "sparse" else None)
    rates = 0.04, 1e4, 3e7
    solver = ida.IDA(
        interop.ida_resfn(residual), jacfn=jacfn, linsolver=linsolver, userdata=rates,
        algebraic_idx=[2], rtol=1e-8, atol=1e-12, max_num_steps=5000, **more,
    )  # fmt: skip
    y, yp = np.array([1.0, 0.0, 0.0]), np.array([-0.04, 0.04, 0.0])
    result = solver.solve(np.array([0.0, 40.0]), y, yp)
    np.testing.assert_allclose(result.y[-1], AT_40, rtol=1e-5)
    at, speed, cj = np.array([0.8, 1e-5, 0.2]), np.array([0.1, 0.2, -0.3]), 50.0
    JJ = np.full((3, 3), np.nan)
    interop.ida_jacfn(residual)(0.0, at, speed, at, cj, JJ, rates)
    expected = central(lambda y: residual(0.0, y, speed, rates), at, step=1e-9)
    expected += cj * central(lambda yp: residual(0.0, at, yp, rates), speed)
    np.testing.assert_allclose(JJ, expected, rtol=1e-6, atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Custom sparse Jacobian:UserWarning")
def test_cvode_with_a_sparse_system_of_a_hundred() -> None:
    cvode = pytest.importorskip("sksundae.cvode")
    n = 100

    def heat(t, y):
        padded = np.concatenate([np.zeros(1), y, np.zeros(1)])
        return (padded[:-2] - 2 * y + padded[2:]) * (n + 1) ** 2

    pattern = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 1
    x = np.arange(1, n + 1) / (n + 1)
    found = cvode.CVODE(
        interop.cvode_rhsfn(heat), jacfn=interop.cvode_jacfn(heat, pattern * 1.0),
        linsolver="sparse", sparsity=pattern * 1.0, rtol=1e-8, atol=1e-10,
    ).solve(np.array([0.0, 0.1]), np.sin(np.pi * x))  # fmt: skip
    rate = 4 * (n + 1) ** 2 * np.sin(np.pi / (2 * (n + 1))) ** 2  # of the first mode
    expected = np.exp(-0.1 * rate) * np.sin(np.pi * x)
    np.testing.assert_allclose(found.y[-1], expected, rtol=1e-5, atol=1e-8)


def test_sundae_refuses_other_shapes() -> None:
    y, yp = np.array([0.8, 1e-5, 0.2]), np.zeros(3)
    with pytest.raises(InputError, match=r"shape \(\).*expected \(3,\): one slope"):
        interop.cvode_rhsfn(lambda t, y: y[0])(0.0, y, yp)
    with pytest.raises(InputError, match=r"shape \(\).*expected \(3,\): one residual"):
        interop.ida_resfn(lambda t, y, yp: y[0])(0.0, y, yp, yp)
    with pytest.raises(InputError, match=r"shape \(2, 3\).*expected \(3, 3\)"):
        interop.cvode_jacfn(lambda t, y: y[:2])(0.0, y, yp, np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"expected \(7,\): give sparsity here"):
        interop.cvode_jacfn(robertson)(0.0, y, yp, np.zeros(7))
    with pytest.raises(InputError, match=r"shape \(7,\).*expected \(9,\): give"):
        interop.cvode_jacfn(robertson, PATTERN)(0.0, y, yp, np.zeros(9))
    with pytest.raises(InputError, match=r"shape \(3, 3\).*expected \(2, 2\)"):
        interop.cvode_jacfn(robertson, np.eye(2))(0.0, y, yp, np.zeros(2))
    other = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0]])
    with pytest.raises(InputError, match=r"row 1, column 2, which sparsity leaves out"):
        interop.cvode_jacfn(robertson, other)(0.0, y, yp, np.zeros(7))

"""A robust bundle adjustment: cameras and points from what the cameras saw.

Twelve cameras look at three hundred points; one match in twelve is false.  The
residual of one observation is plain NumPy; one compiled kernel gives cost, residual
and Jacobian of all observations, once per iteration of Levenberg and Marquardt.

The loss of a residual r is Cauchy's, ½c² log(1 + |r|²/c²), so that false matches pull
but little.  It is minimized as a least-squares problem whose weights are held while
differentiating: that is what `jitad.stop_gradient` says.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

import jitad

SCALE = 2.0  # c, in pixels


def rotate(vector, point):
    """The point turned about the vector by its length (Rodrigues); safe at zero."""
    square = vector @ vector
    small = square < 1e-8
    angle = np.sqrt(np.where(small, 1.0, square))
    sine = np.where(small, 1 - square / 6, np.sin(angle) / angle)
    versine = np.where(small, 0.5 - square / 24, 2 * (np.sin(angle / 2) / angle) ** 2)
    turned = np.cross(vector, point)
    return point + sine * turned + versine * np.cross(vector, turned)


def project(camera, point):
    """The pixel where a camera sees a point."""
    seen = rotate(camera[:3], point - camera[3:6])
    flat = seen[:2] / seen[2]
    square = flat @ flat
    distortion = 1 + camera[9] * square + camera[10] * square**2
    return flat * distortion * camera[6] + camera[7:9]


def residual(camera, point, weight, observed):
    """Weighted difference in pixels."""
    return weight * (project(camera, point) - observed)


def weighted(camera, point, observed):
    """The residual times Cauchy's weight, which is held constant."""
    plain = residual(camera, point, 1.0, observed)
    weight = jitad.stop_gradient(1 / np.sqrt(1 + plain @ plain / SCALE**2))
    return residual(camera, point, weight, observed)


def linearized(camera, point, observed):
    """Cost, weighted residual and its Jacobians in camera and point."""
    plain = residual(camera, point, 1.0, observed)
    cost = SCALE**2 / 2 * np.log1p(plain @ plain / SCALE**2)
    jacobians = jitad.jacobian(weighted, argnums=(0, 1))(camera, point, observed)
    return cost, weighted(camera, point, observed), jacobians


kernel = jitad.vmap(linearized)
pixels = jitad.vmap(project)


def scene(cameras=12, points=300, seed=0):
    """The truth, a start near it, and (camera, point) pairs with observations."""
    rng = np.random.default_rng(seed)
    turn = np.arange(cameras) * 2 * np.pi / cameras  # the first is no rotation
    turns = Rotation.from_euler("y", turn[:, None])
    vectors = turns.as_rotvec()
    centres = turns.inv().apply([0, 0, -6.0])
    inner = np.tile([500, 0, 0, -0.05, 0.01], (cameras, 1))
    truth = np.hstack([vectors, centres, inner]), rng.uniform(-1, 1, (points, 3))
    start = truth[0].copy(), truth[1] + rng.normal(scale=0.1, size=(points, 3))
    start[0][1:, :3] += rng.normal(scale=0.02, size=(cameras - 1, 3))
    start[0][1:, 3:6] += rng.normal(scale=0.1, size=(cameras - 1, 3))
    start[0][:, 6] *= rng.normal(1, 0.02, cameras)
    seen = np.argwhere(rng.random((cameras, points)) < 0.6).T
    observed = pixels(truth[0][seen[0]], truth[1][seen[1]])
    observed += rng.normal(scale=0.5, size=observed.shape)
    false = rng.random(observed.shape[0]) < 1 / 12
    observed[false] += rng.normal(scale=40, size=(false.sum(), 2))
    return truth, start, seen, observed, false


def step(jacobians, residuals, seen, sizes, damping):
    """(JᵀJ + damping · diag JᵀJ)⁻¹ Jᵀr, sparse; split into cameras and points."""
    cameras, points = sizes
    to_camera = 11 * seen[0][:, None] + np.arange(11)
    to_point = 11 * cameras + 3 * seen[1][:, None] + np.arange(3)
    columns = np.repeat(np.hstack([to_camera, to_point]), 2, axis=0)
    entries = np.concatenate(jacobians, axis=2)
    rows = np.arange(0, entries.size + 1, 14)
    shape = residuals.size, 11 * cameras + 3 * points
    J = sparse.csr_array((entries.ravel(), columns.ravel(), rows), shape=shape)
    normal = (J.T @ J).tocsc()
    damped = normal + sparse.diags_array(damping * normal.diagonal(), format="csc")
    found = spsolve(damped, J.T @ residuals.ravel(), permc_spec="MMD_AT_PLUS_A")
    return found[: 11 * cameras].reshape(-1, 11), found[11 * cameras :].reshape(-1, 3)


def adjust(cameras, points, seen, observed, iterations=100, tolerance=1e-6):
    """Cameras, points and the costs on the way, by Levenberg and Marquardt."""
    damping, sizes = 1e-3, (len(cameras), len(points))
    cost, *linear = kernel(cameras[seen[0]], points[seen[1]], observed)
    costs = [cost.sum()]
    for _ in range(iterations):
        turn, move = step(linear[1], linear[0], seen, sizes, damping)
        trial = cameras - turn, points - move
        cost, *ahead = kernel(trial[0][seen[0]], trial[1][seen[1]], observed)
        if not cost.sum() < costs[-1]:
            damping *= 4
            continue
        costs.append(cost.sum())
        (cameras, points), linear, damping = trial, ahead, damping / 3
        if costs[-2] - costs[-1] < tolerance * costs[-1]:
            break
    return cameras, points, np.array(costs)


def aligned(points, truth):
    """Points, turned, moved and scaled onto the truth: cameras see no scale."""
    centre, middle = points.mean(axis=0), truth.mean(axis=0)
    turn, _ = Rotation.align_vectors(truth - middle, points - centre)
    turned = turn.apply(points - centre)
    return middle + turned * np.sum(turned * (truth - middle)) / np.sum(turned**2)


def draw(errors, false, clouds, truth):
    """Errors in the image, and the points from above: initial, adjusted and true."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 6), layout="constrained")
    bins = np.geomspace(0.02, 300, 60)
    initial, adjusted = errors
    left.hist(initial[~false], bins, color="C1", alpha=0.7, label="initial")
    left.hist(adjusted[~false], bins, color="C0", alpha=0.7, label="adjusted")
    left.hist(adjusted[false], bins, color="0.25", label="false matches, adjusted")
    left.axvline(SCALE, color="C3", linestyle="--", label="scale c of the loss")
    left.set(xscale="log", xlabel="reprojection error / px", ylabel="observations")
    initial, adjusted = (cloud[:, ::2].T for cloud in clouds)
    true = truth[:, ::2].T
    right.plot(*np.stack([initial, true], axis=1), color="C1", linewidth=0.8)
    right.plot(*initial, ".", color="C1", markersize=5, label="initial")
    right.plot(*adjusted, ".", color="C0", markersize=5, label="adjusted")
    right.plot(*true, "o", color="0.2", fillstyle="none", label="true")
    right.set(xlabel="x", ylabel="z", aspect="equal", title="The points from above")
    left.set_title("Errors in the image")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3)
    file = Path("bundle_adjustment.png").resolve()
    figure.savefig(file, dpi=120)
    plt.close(figure)
    return file


def main(cameras=12, points=300):
    """Adjust, print errors before and after, draw; returns all these."""
    truth, start, seen, observed, false = scene(cameras, points)
    *end, costs = adjust(*start, seen, observed)
    print(f"{cameras} cameras, {points} points, {false.size} observations")
    print(f"{false.sum()} false matches, {costs.size - 1} steps")
    print("            robust cost   median error / px   error of points")
    errors, clouds = [], []
    stages = [("initial", start, costs[0]), ("adjusted", end, costs[-1])]
    for name, (seeing, cloud), cost in stages:
        shown = pixels(seeing[seen[0]], cloud[seen[1]])
        errors.append(np.linalg.norm(shown - observed, axis=1))
        clouds.append(aligned(cloud, truth[1]))
        away = np.sqrt(np.mean(np.sum((clouds[-1] - truth[1]) ** 2, axis=1)))
        print(f"{name:10}{cost:13.1f}{np.median(errors[-1][~false]):20.2f}{away:18.4f}")
    print(draw(errors, false, clouds, truth[1]))
    return costs, errors, false, clouds, truth[1]


if __name__ == "__main__":
    main()

"""A hundred million points that no memory holds: their Jacobians, block after block.

The points lie in a Zarr store, or in a file that is mapped into memory where Zarr is
not installed.  Dask takes blocks of them to the processes of a local cluster; each
computes the 2×3 Jacobians of its block by one compiled kernel, on one thread for every
task, and keeps of them only sums: JᵀJ, the matrix that decides how well a camera is
known.  No process has more than a few blocks at a time, however many points there are.

    python beyond_memory.py --points 100000000

On many machines: start `dask scheduler` on one and `dask worker` on the others, and
pass its address, `--scheduler tcp://…`; the store must be where all of them see it.
"""

import argparse
import tempfile
from pathlib import Path

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client, LocalCluster, progress

import jitad

try:
    import zarr
except ImportError:
    zarr = None

ROWS = 500_000  # points of a block: 12 MB, and 24 MB of Jacobians


def project(x):
    """The pixel where a point is seen, by a lens that bends."""
    flat = x[:2] / x[2]
    square = flat @ flat
    return 500 * flat * (1 + 0.1 * square + 0.01 * square**2)


jacobians = jitad.vmap(jitad.jacobian(project))


def normal(block):
    """JᵀJ, summed over the points of a block: of shape (1, 3, 3)."""
    with jitad.threads(1):  # Dask runs a task on every thread of a worker
        J = jacobians(block)
    J = J.reshape(-1, 3)
    return (J.T @ J)[None]


def points(block_id, rows, count):
    """The points of a block, which are the same whoever makes them."""
    rng = np.random.default_rng(block_id[0])
    size = min(rows, count - block_id[0] * rows)
    return rng.uniform((-2, -2, 4), (2, 2, 9), (size, 3))


def written(folder, count, rows):
    """A store of points on disk, written block after block, as an array of Dask's."""
    starts = range(0, count, rows)
    if zarr is not None:
        store = zarr.create_array(
            store=str(folder / "points.zarr"), shape=(count, 3), chunks=(rows, 3),
            dtype="float64", overwrite=True,
        )  # fmt: skip
    else:
        path = folder / "points.npy"
        store = np.lib.format.open_memmap(path, "w+", np.float64, (count, 3))
    for k, first in enumerate(starts):
        store[first : first + rows] = points((k,), rows, count)
    if zarr is not None:
        return da.from_zarr(str(folder / "points.zarr"))
    store.flush()
    mapped = np.load(folder / "points.npy", mmap_mode="r")
    return da.from_array(mapped, chunks=(rows, 3))


def summed(x, client, quiet=False):
    """JᵀJ of all points."""
    blocks = da.map_blocks(
        normal, x, new_axis=2, chunks=((1,) * x.numblocks[0], (3,), (3,)),
        meta=np.empty((0, 0, 0)),
    )  # fmt: skip
    waiting = client.persist(blocks.sum(axis=0, split_every=8))
    if not quiet:
        progress(waiting)
    return waiting.compute()


def draw(total, count, path):
    """How surely each direction is known: the ellipse of the two across the view."""
    covariance = np.linalg.inv(total / count)
    values, vectors = np.linalg.eigh(covariance)
    labels = [f"direction {k + 1}" for k in range(3)]
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    bottom = np.zeros(3)
    for name, part in zip("xyz", vectors**2, strict=True):
        heights = np.sqrt(values) * part
        axis.bar(labels, heights, bottom=bottom, width=0.5, label=name)
        bottom += heights
    axis.set(ylabel="standard deviation, one pixel of noise")
    axis.set_title(f"How well a point is known, from {count:,} of them")
    axis.legend(title="its share along", frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments=None):
    """Write points, sum over them on a cluster, and draw what comes of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000_000)
    parser.add_argument("--rows", type=int, default=ROWS, help="points of a block")
    parser.add_argument("--folder", type=Path, help="where the store goes")
    parser.add_argument("--scheduler", help="the address of a cluster that is there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        x = written(Path(folder), given.points, given.rows)
        if given.scheduler:
            with Client(given.scheduler) as client:
                total = summed(x, client)
        else:
            with (
                LocalCluster(
                    n_workers=2, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,
            ):
                total = summed(x, client)
    print()
    print(f"JᵀJ of {given.points:,} points, a mean of")
    print(np.array2string(total / given.points, precision=3, suppress_small=True))
    path = Path("beyond_memory.png").resolve()
    draw(total, given.points, path)
    print(path)
    return total


if __name__ == "__main__":
    main()

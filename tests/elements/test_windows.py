"""Windows and boxes, against NumPy's own views and copies."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from jitad.elements.windows import (
    Box,
    NotAffineError,
    affine,
    along_axes,
    boxes,
    full,
    positions_of,
    seen,
)

SHAPE = (4, 5, 3)
VIEWS = {
    "steps": lambda x: x[1:, ::2, ::-1],
    "one": lambda x: x[2, 1:, 1],
    "turned": lambda x: x.transpose(2, 0, 1)[::-1],
    "new axes": lambda x: x[:, None, 3, :, None],
    "diagonal": lambda x: x[:, :, 0].diagonal(1),
    "flat": lambda x: x.reshape(20, 3)[3:17:4],
    "broadcast": lambda x: np.broadcast_to(x[:, :1, 1:2], (2, 4, 5, 3)),
    "all": lambda x: x,
}
COPIES = {
    "joined": lambda x: np.concatenate([x, x[:, 1:], x[:, :1]], axis=1),
    "rolled": lambda x: np.roll(x, (1, 2), axis=(0, 2)),
    "padded": lambda x: np.pad(x, ((1, 0), (2, 1), (0, 3))),
    "stacked": lambda x: np.stack([x, x[::-1]], axis=1),
    "taken": lambda x: np.take(x, [0, 1, 2, 4], axis=1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_windows(name: str) -> None:
    size = int(np.prod(SHAPE))
    root = np.empty(size, np.uint8)
    window = seen(VIEWS[name](root.reshape(SHAPE)), root)
    assert window is not None
    want = VIEWS[name](np.arange(size).reshape(SHAPE))
    np.testing.assert_array_equal(positions_of(window), want)
    assert affine(np.ascontiguousarray(want)) is not None
    axes = along_axes(window, SHAPE)
    # A diagonal, and what goes on from row to row, go along no axis.
    assert (axes is None) == (name in ("diagonal", "flat"))
    if axes is not None:
        index = np.indices(window.shape)
        places = [
            start + (step * index[b] if b >= 0 else 0)
            for start, step, b in zip(axes.start, axes.step, axes.axis, strict=True)
        ]
        found = np.arange(size).reshape(SHAPE)[tuple(places)]
        np.testing.assert_array_equal(np.broadcast_to(found, window.shape), want)


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_boxes(name: str) -> None:
    size = int(np.prod(SHAPE))
    positions = COPIES[name](np.arange(1, size + 1).reshape(SHAPE))
    owners = (positions > 0).astype(int)
    made = np.full(positions.shape, -1)
    for box, window in boxes(positions, owners):
        place = tuple(map(slice, box.low, box.high))
        assert (made[place] == -1).all()
        made[place] = positions_of(window)
    np.testing.assert_array_equal(made, positions)


def test_what_has_too_many_boxes_has_none() -> None:
    order = np.random.default_rng(0).permutation(10_000)
    with pytest.raises(NotAffineError):
        list(boxes(order, np.ones_like(order)))


def test_no_box_runs_from_one_owner_to_the_next() -> None:
    positions, owners = np.arange(6), np.array([1, 1, 1, 2, 2, 2])
    found = [box for box, _ in boxes(positions, owners)]
    assert sorted(found, key=lambda box: box.low) == [Box((0,), (3,)), Box((3,), (6,))]


def test_what_is_left_of_a_box_is_all_of_the_rest() -> None:
    outer = full((4, 3, 5))
    ranges = [list(itertools.combinations(range(n + 1), 2)) for n in (4, 3, 5)]
    for own in itertools.product(*ranges):
        part = Box(tuple([a for a, _ in own]), tuple([b for _, b in own]))
        count = np.zeros((4, 3, 5), int)
        for box in (part, *outer.without(part)):
            count[tuple(map(slice, box.low, box.high))] += 1
        assert (count == 1).all()

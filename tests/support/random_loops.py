"""Random kernels with loops in loops and branches."""

from __future__ import annotations

import numpy as np

from jitad.lowering.kernel import Kernel, Local
from tests.cases.loops import BOOL, I8, Lines, varying


class Sketch:
    """Draws statements.  Values are whole numbers from -9 to 9, so nothing is rounded.

    Storage is written only where all lanes run: nobody may read what a lane wrote
    that was not there.
    """

    def __init__(self, seed: int, dtype: np.dtype) -> None:
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        self.lines = Lines()
        self.limits = [self.lines.const(x, dtype) for x in (-9, 9)]
        self.whole = [self.lines.const(x, I8) for x in (-1, 5)]

    def kernel(self) -> Kernel:
        k = self.lines
        floats = [k.load(0, i, self.dtype) for i in range(3)]
        for e in range(4):
            k.write(0, e, floats[e % 3])
        floats = self.statements(k, floats, 6, depth=0, together=True)
        k.store(1, [*floats[-4:], k.read(0, 1, self.dtype)])
        buffers = (
            varying("x", self.dtype, 3),
            varying("y", self.dtype, 5, output=True),
        )
        own = (Local("own", self.dtype, 4),)
        return Kernel(buffers, 1, tuple(k.body), locals=own)

    def pick(self, values: list[int]) -> int:
        near = min(len(values), 8)
        return values[-int(self.rng.integers(1, near + 1))]

    def statements(
        self, k: Lines, seen: list[int], count: int, *, depth: int, together: bool
    ) -> list[int]:
        """Append statements; returns the values that are visible after them."""
        seen = list(seen)
        for _ in range(count):
            kind = self.rng.random()
            if kind < 0.3 and depth < 3:
                seen += self.repeat(k, seen, depth, together=together)
            elif kind < 0.5 and depth < 3:
                seen += self.branch(k, seen, depth)
            elif kind < 0.6 and together:
                k.write(0, int(self.rng.integers(4)), self.pick(seen))
            elif kind < 0.7:
                seen.append(k.read(0, int(self.rng.integers(4)), self.dtype))
            else:
                seen.append(self.bounded(k, self.pick(seen), self.pick(seen)))
        return seen

    def bounded(self, k: Lines, a: int, b: int) -> int:
        word = ("add", "sub", "maximum", "minimum")[int(self.rng.integers(4))]
        low, high = self.limits
        value = k.op(word, a, b, dtype=self.dtype)
        value = k.op("maximum", value, low, dtype=self.dtype)
        return k.op("minimum", value, high, dtype=self.dtype)

    def repeat(
        self, k: Lines, seen: list[int], depth: int, *, together: bool
    ) -> list[int]:
        size = int(self.rng.integers(1, 4))
        starts = [(self.pick(seen), self.dtype) for _ in range(size)]
        counted, living = self.rng.random(2) < 0.5
        count = None
        if counted:
            count = k.op("cast", self.pick(seen), dtype=I8)
            count = k.op("minimum", count, self.whole[1], dtype=I8)
        backwards = not living and self.rng.random() < 0.5
        all_lanes = together and not (counted or living)

        def alive(head: Lines, index: int, *inner: int) -> int:
            visible = self.statements(
                head, [*seen, *inner], 1, depth=depth + 1, together=False
            )
            return head.op("ne", visible[-1], self.pick(visible), dtype=BOOL)

        def iteration(body: Lines, index: int, *inner: int) -> list[int]:
            number = body.op("cast", index, dtype=self.dtype)
            read = body.read(0, 0, self.dtype, index, 1)
            visible = [*seen, *inner, number, read]
            visible = self.statements(
                body, visible, 4, depth=depth + 1, together=all_lanes
            )
            return [self.pick(visible) for _ in starts]

        *last, steps = k.repeat(
            starts,
            iteration,
            bound=int(self.rng.integers(5)),
            count=count,
            alive=alive if living else None,
            backwards=backwards,
        )
        return [*last, k.op("cast", steps, dtype=self.dtype)]

    def branch(self, k: Lines, seen: list[int], depth: int) -> list[int]:
        mask = k.op("lt", self.pick(seen), self.pick(seen), dtype=BOOL)
        others = [(self.pick(seen), self.dtype) for _ in range(2)]

        def then(body: Lines) -> list[int]:
            visible = self.statements(body, seen, 3, depth=depth + 1, together=False)
            return [self.pick(visible) for _ in others]

        return k.branch(mask, others, then)

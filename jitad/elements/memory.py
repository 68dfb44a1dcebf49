"""Pieces of one piece of memory, which arrays of a program share by their lifetimes."""

from __future__ import annotations

from dataclasses import dataclass, field

from jitad.backends.cpu.launches import At

MEMORY = 1  # the place of that memory in the table of a program
_LINE = 64


@dataclass(eq=False)
class Memory:
    """Pieces of one piece of memory."""

    most: int = 0
    _free: list[tuple[int, int]] = field(default_factory=lambda: [(0, 1 << 62)])

    def take(self, size: int) -> At:
        """A piece of so many bytes, where it fits best."""
        size = rounded(size)
        low, high = min(
            (piece for piece in self._free if piece[1] - piece[0] >= size),
            key=lambda piece: (piece[1] - piece[0], piece[0]),
        )
        self._free.remove((low, high))
        if low + size < high:
            self._free.append((low + size, high))
        self.most = max(self.most, low + size)
        return At(MEMORY, low)

    def give(self, at: At, size: int) -> None:
        """Take a piece back."""
        low, high = at.offset, at.offset + rounded(size)
        for piece in list(self._free):
            if piece[1] == low or piece[0] == high:
                self._free.remove(piece)
                low, high = min(low, piece[0]), max(high, piece[1])
        self._free.append((low, high))


def rounded(size: int) -> int:
    """A size in whole cache lines."""
    return max(1, -(-size // _LINE)) * _LINE

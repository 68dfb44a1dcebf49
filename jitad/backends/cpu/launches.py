"""Programs of launches in memory: kernels, loops around them, and nothing of Python.

A program is one array of int64 words: operations, the launch blocks of kernels, and a
table of the places where arrays begin.  `@walk` follows it.  Before a loop, and again
in every iteration for what moves with it, addresses in it are put together of a place
in the table and an offset.  Long operations are shared with helping threads, which wait
for the next one without sleeping.

Start at `Loop`, then `Program`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from jitad.lowering.cost import LOOK
from jitad.lowering.llvm.arguments import WATCH

from . import watch
from .following import (
    ACCOUNT,
    COPY,
    END,
    ENTRY,
    FILL,
    FOLD,
    LOOP,
    START,
    TABLE,
    TILES,
    library,
)
from .threads import POOL, get_threads

OWN = 0  # the place in the table where the program itself begins


@dataclass(frozen=True, slots=True)
class At:
    """An address: so many bytes from a place in the table."""

    place: int
    offset: int = 0

    def behind(self, size: int) -> At:
        """The address some bytes further on."""
        return At(self.place, self.offset + size)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Words that an operation points to."""

    words: Sequence[int | At | Block]


Words = Sequence["int | At | Block"]


@dataclass(frozen=True, slots=True)
class Move:
    """A place in the table that moves: base + stride ((i + shift) & mask).

    turn  whether i counts iterations from the first that is run, or is their number
    """

    place: int
    base: At
    stride: int
    shift: int = 0
    mask: int = -1
    turn: bool = False


@dataclass(eq=False)
class Loop:
    """Operations again and again.

    count      where the number of iterations is, if that is fewer than bound
    backwards  the last iteration first
    moves      of places, in every iteration; once more when there is no iteration left
    index      where the number of the iteration goes
    steps      where it goes how many there were
    head, flag  what says whether to go on, and where
    before     done before the first iteration, after its moves, even if there is none
    after      done behind the last moves
    nanoseconds  that an iteration takes, but for loops in it
    """

    bound: int = 1
    count: At | int = 0
    backwards: bool = False
    moves: list[Move] = field(default_factory=list)
    index: At | int = 0
    steps: At | int = 0
    head: list[Operation] = field(default_factory=list)
    flag: At | int = 0
    before: list[Operation] = field(default_factory=list)
    body: list[Operation] = field(default_factory=list)
    after: list[Operation] = field(default_factory=list)
    nanoseconds: float = 0.0


Operation = Words | Loop


def entry(function: int, block: Block, lanes: int) -> Words:
    """A kernel over so many lanes."""
    return ENTRY, 5, function, block, lanes


def tiles(function: int, block: Block, stop: int, *, shared: bool) -> Words:
    """What takes tiles until there is none, shared with other threads or not."""
    return TILES, 6, function, block, stop, int(shared)


def fill(there: At, size: int) -> Words:
    """Zeros in so many bytes."""
    return FILL, 4, there, size


def copy(there: At, here: At, size: int) -> Words:
    """So many bytes from here to there."""
    return COPY, 5, there, here, size


def fold(
    partial: At,
    target: At,
    rows: int,
    elements: int,
    stride: int,
    width: int,
    *,
    whole: bool,
) -> Words:
    """Add sums over rows and vectors of lanes to elements of a target.

    stride  elements from row to row
    whole   whether they are whole numbers
    They are added in the order of `executable.added`.
    """
    return FOLD, 9, partial, target, rows, elements, stride, width, int(whole)


class Program:
    """A loop in words.  It can be run by several threads at once."""

    def __init__(self, loop: Loop, places: int) -> None:
        """places: how many there are in the table, the program's own among them."""
        self._words: list[int] = [0] * (TABLE + places)
        self._top: list[tuple[int, At]] = []
        start = self._placed([loop], self._top)
        self._words[START] = start
        self._words[ACCOUNT] = LOOK
        self._shared = _shares(loop)
        self._made = np.array(self._words, np.int64)

    def run(self, places: Iterable[tuple[int, int]]) -> None:
        """Follow it, arrays beginning at these addresses of places."""
        words = self._made.copy()
        words[TABLE + OWN] = words.ctypes.data
        for place, address in places:
            words[TABLE + place] = address
        for where, at in self._top:
            words[where] = words[TABLE + at.place] + at.offset
        looking = watch.here()
        words[WATCH] = looking.ctypes.data
        threads = get_threads() if self._shared else 1
        POOL.run(library().address("walk"), words.ctypes.data, threads)

    def _placed(
        self, section: Sequence[Operation], patches: list[tuple[int, At]]
    ) -> int:
        """Put operations down, one after the other: where they begin."""
        made: list[Words] = []
        for operation in section:
            if isinstance(operation, Loop):
                made.append(self._loop(operation))
            else:
                made.append([self._below(w, patches) for w in operation])
        start = len(self._words)
        for words in made:
            self._put(words, patches)
        self._words += [END, 2]
        return start

    def _below(self, word: int | At | Block, patches: list[tuple[int, At]]) -> int | At:
        """A word; of a block, which is put down, its address."""
        if not isinstance(word, Block):
            return word
        inner = [self._below(w, patches) for w in word.words]
        place = len(self._words)
        self._put(inner, patches)
        return At(OWN, 8 * place)

    def _put(self, words: Words, patches: list[tuple[int, At]]) -> None:
        for word in words:
            if isinstance(word, At):
                patches.append((len(self._words), word))
            assert not isinstance(word, Block)
            self._words.append(0 if isinstance(word, At) else word)

    def _loop(self, loop: Loop) -> Words:
        inside: list[tuple[int, At]] = []
        parts = [
            self._placed(section, inside)
            for section in (loop.head, loop.before, loop.body, loop.after)
        ]
        moving = {move.place for move in loop.moves}
        often = [p for p in inside if p[1].place in moving]
        once = [p for p in inside if p[1].place not in moving]
        moves = [
            word
            for m in loop.moves
            for word in (
                m.place, m.base.place, m.base.offset, m.stride, m.shift, m.mask,
                int(m.turn),
            )
        ]  # fmt: skip
        patches = [
            w for where, at in (*once, *often) for w in (where, at.place, at.offset)
        ]
        words = [
            LOOP, 0, loop.bound, loop.count, int(loop.backwards), loop.steps,
            len(loop.moves), len(once), len(often), loop.index, parts[0], loop.flag,
            *parts[1:], max(1, int(loop.nanoseconds)), *moves, *patches,
        ]  # fmt: skip
        words[1] = len(words)
        return words


def _shares(loop: Loop) -> bool:
    """Whether any operation is shared with other threads."""
    for operation in (*loop.head, *loop.body):
        if isinstance(operation, Loop):
            if _shares(operation):
                return True
        elif operation[0] == TILES and operation[5]:
            return True
    return False

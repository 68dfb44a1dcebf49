"""Statements say what they read, make, write and hold, and every machine has them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from jitad.lowering import statements
from jitad.lowering.cuda import body as cuda
from jitad.lowering.llvm import body as llvm
from jitad.lowering.llvm.pieces import Loop
from jitad.lowering.statement import Statement, rewritten
from jitad.lowering.statement import statements as walked
from jitad.lowering.statements import (
    Carried,
    Clear,
    Const,
    For,
    Gather,
    If,
    Load,
    Merged,
    Op,
    Read,
    Repeat,
    Scatter,
    Store,
    StoreAll,
    Write,
)
from tests.support.random_loops import Sketch

F8 = np.dtype("f8")
EXAMPLES: list[Statement] = [
    Const(1, np.float64(2), F8),
    Op(1, "add", (2, 3), F8),
    Load(1, 2, 3, F8),
    Load(1, 2, 3, F8, 4, 5),
    Read(1, 2, 3, F8, 4, 5),
    Gather(1, 2, None, 3, 4, 5, 6, F8),
    Gather(1, None, 2, 3, 4, 5, 6, F8),
    Store(1, 2, 3),
    StoreAll(1, 2),
    Write(1, 2, 3, 4, 5),
    Clear(1),
    Scatter(1, None, 2, 3, 4, ((5, 6), (7, 8))),
    Scatter(None, 1, 2, 3, 4, ((5, 6),)),
    For(1, (Clear(1),)),
    Repeat(1, 2, 3, (Carried(4, 5, 6, 7, F8),), (Clear(1),), 8, (Clear(2),), 9),
    If(1, (Clear(1),), (Merged(2, 3, 4, F8),)),
]
KINDS = [
    kind
    for kind in vars(statements).values()
    if isinstance(kind, type) and issubclass(kind, Statement) and kind is not Statement
]


def test_every_statement_has_an_example() -> None:
    assert {type(s) for s in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_machine_prints_it(kind: type[Statement]) -> None:
    assert (Loop if kind is For else kind) in llvm._PRINTERS
    assert kind in cuda._PRINTERS


@pytest.mark.parametrize("s", EXAMPLES, ids=lambda s: type(s).__name__)
def test_it_tells_of_all_its_fields(s: Statement) -> None:
    own = {f.name: getattr(s, f.name) for f in fields(s)}
    made = {v for v, _ in s.made}
    memory = {*s.reads, *s.writes}
    assert made >= {own[n] for n in ("target", "steps") if n in own}
    values = {own[n] for n in ("value", "mask", "index", "count") if n in own}
    if not isinstance(s, Const | Repeat):
        assert {*s.used} >= {v for v in values if v is not None} - {own.get("count")}
    assert memory == {
        *(k for n, k in own.items() if n == "buffer" and k is not None),
        *(~k for n, k in own.items() if n == "local" and k is not None),
    }
    assert list(s.inside) == [x for n in ("head", "body") for x in own.get(n, ())]
    assert s.nests == bool(s.bodies)
    assert s.holding(*s.bodies) == s
    assert list(s.lines(str))


@pytest.mark.parametrize("seed", range(4))
def test_bodies_are_rebuilt_from_within(seed: int) -> None:
    body = Sketch(seed, F8).kernel().body
    assert rewritten(body, lambda s: [s]) == body
    doubled = rewritten(body, lambda s: [s] if s.bodies else [s, s])
    leaves = [s for s in walked(body) if not s.bodies]
    assert [s for s in walked(doubled) if not s.bodies][::2] == leaves
    assert not rewritten(body, lambda s: [])

"""From a program that fails to a short one that fails in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .laws import LAWS, Failure, Refused
from .program import Program, names_in


def failure(program: Program, law: str) -> Failure | None:
    """How a program fails a law, if it does."""
    try:
        LAWS[law](program)
    except Failure as found:
        return found
    except Refused:
        return None
    return None


def shrunk(program: Program, law: str, tries: int = 400) -> tuple[Program, Failure]:
    """The shortest program found that fails a law in the same kind."""
    first = failure(program, law)
    assert first is not None
    found, left = first, tries
    changed = True
    while changed and left > 0:
        changed = False
        for candidate in shorter(program):
            left -= 1
            other = attempt(lambda c=candidate: failure(c, law))
            if other is not None and other.kind == first.kind:
                program, found, changed = candidate, other, True
                break
            if left <= 0:
                break
    return program.used(), found


def attempt(call: Callable[[], Failure | None]) -> Failure | None:
    """What a call gives; None where NumPy itself cannot run the program."""
    try:
        return call()
    except Exception:
        return None


def shorter(program: Program) -> Iterator[Program]:
    """Programs with less in them."""
    for k in reversed(range(len(program.statements))):
        rest = program.statements[:k] + program.statements[k + 1 :]
        text = "\n".join(rest)
        bound = names_in(text, ()) | set(program.names)
        kept = tuple(r for r in program.results if r in bound)
        if kept:
            yield replace(program, statements=rest, results=kept)
    if len(program.results) > 1:
        for name in program.results:
            yield replace(program, results=(name,))
        for name in program.results:
            left = tuple(r for r in program.results if r != name)
            yield replace(program, results=left)
    if len(program.points) > 1:
        yield replace(program, points=program.points[:1])
        yield replace(program, points=program.points[:1] * 2)
    for k, statement in enumerate(program.statements):
        name, equals, _ = statement.partition(" = ")
        if equals and name.isidentifier() and name not in program.names:
            given = _given(program, k, name)
            if given is not None:
                yield given


def _given(program: Program, k: int, name: str) -> Program | None:
    """A program with an argument in place of the variable that a statement makes."""
    rest = program.statements
    part = replace(program, statements=rest[: k + 1], results=(name,))
    try:
        values = [part.numpy(p)[0] for p in range(len(program.points))]
    except Exception:
        return None
    return replace(
        program,
        names=(*program.names, name),
        points=tuple((*p, v) for p, v in zip(program.points, values, strict=True)),
        statements=(*rest[:k], *rest[k + 1 :]),
    )

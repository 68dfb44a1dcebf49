"""Arrays that loops carry for the sake of few elements: only these are carried.

Of two arrays that change places in each step, one is needed at its border only, where
nothing was written; and its derivative is zero everywhere else.  Outside of what a loop
reads of a carried array, or where all that can be in it is zero, nothing is carried.
Start at `narrowed`; `read` says what is read, `filled` where what is not zero is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jitad.ir.graph import Type

from .flow import Flow, Moved, Piece, Placed, Statement, Written, inside, unit_box
from .repeated import Repeated
from .windows import Box, full, whole

Boxes = tuple[Box, ...]
# An array is a few boxes where these have no more than this part of its elements.
_PART = 8
_MANY = 8


def narrowed(flow: Flow) -> Flow:
    """The same, with loops that carry less."""
    if not _has_some(flow):
        return flow
    wanted = {o: _all(flow.types[o]) for o in flow.outputs}
    return _narrowed(flow, wanted, {})


def _has_some(flow: Flow) -> bool:
    """Whether there are loops that carry several arrays."""
    loops = [s for s in flow.statements if isinstance(s, Repeated)]
    carried = [s.body.inputs[1 : 1 + s.carried] for s in loops]
    some = zip(loops, carried, strict=True)
    return any(
        sum(bool(s.body.types[i].shape) for i in own) > 1 or _has_some(s.body)
        for s, own in some
    )


def _all(type: Type) -> Boxes:
    return (full(type.shape),) if type.size else ()


def _joined(type: Type, boxes: Iterable[Box]) -> Boxes:
    """Boxes of an array that have nothing in common; all of it where they are many."""
    found: list[Box] = []
    for box in boxes:
        new = [box]
        for old in found:
            new = [part for one in new for part in one.without(old)]
        found += new
        if len(found) > _MANY:
            return _all(type)
    return tuple(found)


def _sizes(every: Sequence[Boxes]) -> list[int]:
    return [sum(box.size for box in boxes) for boxes in every]


def _met(boxes: Boxes, box: Box) -> list[Box]:
    return [part for one in boxes if (part := one.meet(box)) is not None]


def _moved(box: Box, by: Sequence[int]) -> Box:
    low = tuple([a + d for a, d in zip(box.low, by, strict=True)])
    high = tuple([a + d for a, d in zip(box.high, by, strict=True)])
    return Box(low, high)


def _shift(own: Box, there: Box | None) -> list[int] | None:
    """How far apart two boxes of one shape are; None: they are not alike."""
    if there is None or own.shape != there.shape:
        return None
    return [b - a for a, b in zip(own.low, there.low, strict=True)]


# -- what is read ----------------------------------------------------------------------


def read(flow: Flow, wanted: Mapping[int, Boxes]) -> dict[int, Boxes]:
    """What is read of every value, where results are read as is said."""
    found = dict(wanted)

    def add(x: int, boxes: Iterable[Box]) -> None:
        found[x] = _joined(flow.types[x], (*found.get(x, ()), *boxes))

    for k in sorted(flow.needed(), reverse=True):
        statement, results = flow.statements[k], flow.results[k]
        match statement:
            case Moved():
                for piece in statement.pieces:
                    for box in _met(found.get(results[0], ()), piece.box):
                        add(piece.operand, _seen(flow, piece, box))
            case Written():
                base, value = statement.operands
                hidden = unit_box(statement.window, statement.type.shape)
                own = found.get(results[0], ())
                if hidden is not None:
                    own = [part for box in own for part in box.without(hidden)]
                add(base, own)
                add(value, _all(flow.types[value]))
            case Repeated():
                own = _read_inside(statement, results, found)
                lead, starts, *others = statement.given()
                for x, boxes in zip(starts, own, strict=True):
                    add(x, boxes)
                for x in (*lead, *others[0], *others[1]):
                    add(x, _all(flow.types[x]))
            case _:
                for x in statement.operands:
                    add(x, _all(flow.types[x]))
    return found


def _seen(flow: Flow, piece: Piece, box: Box) -> Boxes:
    """What a box of a result is of the operand of a piece."""
    type = flow.types[piece.operand]
    there = unit_box(piece.window, type.shape)
    by = _shift(piece.box, there)
    if by is None:
        return _all(type) if there is None else (there,)
    return (_moved(box, by),)


def _read_inside(
    statement: Repeated, results: Sequence[int], found: Mapping[int, Boxes]
) -> list[Boxes]:
    """What is read of what a loop carries, in it or behind it."""
    body, count = statement.body, statement.carried
    inner = statement.entering().carried
    types = [body.types[i] for i in inner]
    own = [found.get(y, ()) for y in results[:count]]
    if statement.head is not None:
        return [_all(t) for t in types]
    while True:
        wanted: dict[int, Boxes] = {}
        for o, boxes in zip(body.outputs, own, strict=False):
            wanted[o] = _joined(body.types[o], (*wanted.get(o, ()), *boxes))
        for o in body.outputs[count:]:
            wanted[o] = _all(body.types[o])
        inside_ = read(body, wanted)
        more = [
            _joined(t, (*a, *inside_.get(i, ())))
            for t, a, i in zip(types, own, inner, strict=True)
        ]
        if _sizes(more) == _sizes(own):
            return own
        own = more


# -- what may be other than zero -------------------------------------------------------


def filled(flow: Flow, given: Mapping[int, Boxes]) -> dict[int, Boxes]:
    """Where every value may be other than zero, where inputs may be as is said."""
    found = {v: given.get(v, _all(flow.types[v])) for v in flow.inputs}
    found |= {v: _all(flow.types[v]) for v in flow.constants}
    for statement, results in zip(flow.statements, flow.results, strict=True):
        found |= zip(results, _filled(flow, statement, results, found), strict=True)
    return found


def _filled(
    flow: Flow,
    statement: Statement,
    results: Sequence[int],
    found: Mapping[int, Boxes],
) -> list[Boxes]:
    every = [_all(flow.types[y]) for y in results]
    match statement:
        case Moved():
            made: list[Box] = []
            for piece in statement.pieces:
                own = found[piece.operand]
                there = unit_box(piece.window, flow.types[piece.operand].shape)
                by = _shift(piece.box, there)
                if by is None or there is None:
                    made += [piece.box] if own else []
                    continue
                back = [-d for d in by]
                made += [_moved(box, back) for box in _met(own, there)]
            return [_joined(statement.type, made)]
        case Placed():
            made = []
            for term in statement.terms:
                own = found[term.operand]
                there = unit_box(term.window, statement.type.shape)
                by = _shift(term.box, there)
                if by is not None:
                    made += [_moved(box, by) for box in _met(own, term.box)]
                elif own:
                    made += (there,) if there is not None else every[0]
            return [_joined(statement.type, made)]
        case Written():
            base, value = statement.operands
            box = unit_box(statement.window, statement.type.shape)
            own = found[base]
            if box is None:
                return every
            made = [part for one in own for part in one.without(box)]
            return [_joined(statement.type, (*made, *((box,) if found[value] else ())))]
        case Repeated():
            count = statement.carried
            given = [found[x] for x in statement.given().carried]
            return [*_filled_inside(statement, given), *every[count:]]
    return every


def _filled_inside(statement: Repeated, own: Sequence[Boxes]) -> list[Boxes]:
    """Where what a loop carries may be other than zero, in it or behind it."""
    body = statement.body
    inner = statement.entering().carried
    while True:
        found = filled(body, dict(zip(inner, own, strict=True)))
        more = [
            _joined(body.types[i], (*a, *found[o]))
            for i, a, o in zip(inner, own, body.outputs, strict=False)
        ]
        if _sizes(more) == _sizes(own):
            return list(own)
        own = more


# -- less is carried -------------------------------------------------------------------


def _narrowed(
    flow: Flow, wanted: Mapping[int, Boxes], given: Mapping[int, Boxes]
) -> Flow:
    known, nonzero = read(flow, wanted), filled(flow, given)
    made, changed = flow.copy(), False
    made.statements, made.results = [], []
    for statement, results in zip(flow.statements, flow.results, strict=True):
        if not isinstance(statement, Repeated):
            made.place(statement, results)
            continue
        own = _less(made, statement, results, known, nonzero)
        changed = changed or own
    return made if changed else flow


def _less(
    flow: Flow,
    statement: Repeated,
    results: Sequence[int],
    known: Mapping[int, Boxes],
    nonzero: Mapping[int, Boxes],
) -> bool:
    """Append a loop that carries what it must; says whether that is less."""
    body, count = statement.body, statement.carried
    _, inner, shared, slices = statement.entering()
    lead, starts, *others = statement.given()
    some = _read_inside(statement, results, known)
    there = _filled_inside(statement, [nonzero[x] for x in starts])
    parts = [
        _fewer(body.types[i], a, b) if statement.head is None
        and i not in body.outputs[count:] else None
        for i, a, b in zip(inner, some, there, strict=True)
    ]  # fmt: skip
    wanted = {o: _all(body.types[o]) for o in body.outputs[count:]}
    for o, boxes, own in zip(body.outputs, some, parts, strict=False):
        more = boxes if own is None else own
        wanted[o] = _joined(body.types[o], (*wanted.get(o, ()), *more))
    given = dict(zip(inner, there, strict=True))
    if all(own is None for own in parts):
        inside_ = _narrowed(body, wanted, given)
        flow.place(replace(statement, body=inside_), list(results))
        return inside_ is not body
    new, rebuilt = body.copy(), []
    entering, leaving, begins, ends = [], [], [], list[int]()
    every = zip(inner, body.outputs, starts, results, parts, strict=False)
    for i, o, x, y, own in every:
        type = body.types[i]
        if own is None:
            entering.append(i)
            leaving.append(o)
            begins.append(x)
            ends.append(y)
            continue
        windows = [inside(box, type.shape) for box in own]
        types = [Type(type.dtype, box.shape) for box in own]
        entering += (inputs := list(map(new.new, types)))
        ends += (made := list(map(flow.new, types)))
        new.place(_put(type, own, inputs), [i])
        rebuilt.append((_put(type, own, made), y))
        leaving += [new.seen(o, w) for w in windows]
        begins += [flow.seen(x, w) for w in windows]
    new.inputs = [body.inputs[0], *entering, *shared, *slices]
    new.outputs = (*leaving, *body.outputs[count:])
    new.sort(without=())
    new = _narrowed(new, {o: _all(new.types[o]) for o in new.outputs}, {})
    operands = (*lead, *begins, *others[0], *others[1])
    loop = replace(statement, body=new, operands=operands, carried=len(entering))
    flow.place(loop, [*ends, *results[count:]])
    for statement_, y in rebuilt:
        flow.place(statement_, [y])
    return True


def _put(type: Type, boxes: Boxes, parts: Sequence[int]) -> Moved:
    """An array that is zero outside of some boxes."""
    pairs = zip(boxes, parts, strict=True)
    pieces = [Piece(box, x, whole(box.shape)) for box, x in pairs]
    return Moved(type, tuple(pieces))


def _fewer(type: Type, some: Boxes, there: Boxes) -> Boxes | None:
    """The few boxes that must be carried of an array; None: all of it."""
    for boxes in (there, some):
        if sum(box.size for box in boxes) * _PART <= type.size and type.shape:
            return boxes
    return None

"""One call of a function that is read: its blocks, run on traced values.

A region is a set of blocks, a loop in it being one step; blocks are run in the order of
the control flow, each once, after the ways that lead to it have met (see `joining`).
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from jitad.ir.afresh import loops_stay
from jitad.ir.tracer import Tracer

from . import calls, frontend, python
from .bounds import Bounds
from .elementwise import spread
from .frontend import RAISE, RETURN, Block, Expression, Program, Statement
from .heap import Apart, Listed, Reference, State
from .iterating import iterable
from .joining import FAILS, Edge, fork, holds, meet
from .lines import refuse, standing
from .loops import Hints, repeated
from .numbers import (
    binary,
    convert,
    dtype,
    either,
    plain,
    select,
    shape,
    truth,
    unary,
)
from .unrolled import UNROLLED

_RESULT = "the result"
_REMEDY = "call the function itself to see the error"
_DEEP = 50


class Reading:
    """What all frames of one reading share: bounds, and the functions that run."""

    def __init__(self) -> None:
        self.bounds = Bounds()
        self.running: list[Any] = []
        self.hints: dict[Any, dict[int, Hints]] = {}
        self.unrolled = 0 if loops_stay.get() else UNROLLED
        self.programs: dict[Any, Program] = {}

    def program(self, function: Any) -> Program:
        """The blocks of a function, which are the same for all of the reading."""
        if function not in self.programs:
            self.programs[function] = frontend.program(function)
        return self.programs[function]


def read(
    function: Any, args: Sequence[Any], keywords: dict[str, Any], state: State,
    reading: Reading, active: Any = True, shared: frozenset[int] | None = None,
) -> Any:  # fmt: skip
    """What a Numba function returns; what it writes is in the state's cells then.

    active  whether the call is made at all, known or traced
    shared  the arrays that somebody outside may read later; all of the state, if None
    """
    program = reading.program(function)
    if frontend.is_kernel(function):
        raise refuse(f"{program.name}, a CUDA kernel,", "call a device function")
    if function in reading.running or len(reading.running) > _DEEP:
        raise refuse(
            f"{program.name}, which calls itself,", "write the recursion as a loop"
        )
    given = program.signature.bind(*args, **keywords)
    given.apply_defaults()
    reading.running.append(function)
    try:
        frame = Frame(program, reading, state, active, shared)
        key = program, _kinds(list(given.arguments.values()), state)
        frame.hints = reading.hints.setdefault(key, frame.hints)
        return frame.result(given.arguments)
    finally:
        reading.running.pop()


class Frame:
    """A function's names, on the way through its blocks."""

    def __init__(
        self,
        program: Program,
        reading: Reading,
        state: State,
        active: Any,
        shared: frozenset[int] | None,
    ) -> None:
        self.program, self.reading, self.active = program, reading, active
        self.python = program.python
        self.caller = state
        self.outer = frozenset(state.cells) if shared is None else shared
        self.hints: dict[int, Hints] = {}
        self.unknown: set[str] = set()
        self.asked: set[str] = set()

    def ours(self, cell: int) -> bool:
        """Whether an array was made in this call."""
        return cell not in self.outer

    def result(self, arguments: dict[str, Any]) -> Any:
        """Run all blocks."""
        names = {f"argument {k}": v for k, v in arguments.items()}
        state = State(names, dict(self.caller.cells))
        start = Edge((), Fraction(1), state)
        inside = frozenset(self.program.blocks)
        ways = self.region(self.program.entry, start, inside, None)
        if RETURN not in ways:
            raise self.at(0, lambda: refuse("a function that always raises", _REMEDY))
        met = meet(ways[RETURN], [_RESULT], self.ours)
        fails = met.state.names.get(FAILS, False)
        for edge in ways.get(RAISE, ()):
            fails = either(fails, holds(edge.path))
        if fails is not False:
            before = self.caller.names.get(FAILS, False)
            self.caller.names[FAILS] = either(before, fails)
        self.caller.cells.clear()
        self.caller.cells.update(met.state.cells)
        found = met.state.names[_RESULT]
        if isinstance(found, Apart):
            raise self.at(0, lambda: self.apart(found))
        return found

    def apart(self, found: Apart) -> Exception:
        """The error for a name that paths do not agree on."""
        return refuse(
            f"a value where {found.why}, as a traced condition decides,",
            "give it one type and shape on all paths",
        )

    def at(self, line: int, action: Any) -> Any:
        """Do something from a line of the function's."""
        code = self.program.function.__code__
        line = line or code.co_firstlineno
        return standing(self.program.file, line, self.program.name)(action)

    # -- regions -----------------------------------------------------------------------

    def region(
        self, entry: int, start: Edge, inside: frozenset[int], header: int | None
    ) -> dict[int, list[Edge]]:
        """The ways out of some blocks, by the labels that they lead to."""
        pending, leaving, done = {entry: [start]}, dict[int, list[Edge]](), set[int]()
        for label in self.program.order:
            if label not in pending:
                continue
            edges = pending.pop(label)
            done.add(label)
            line = self.program.blocks[label].ending.line
            live = self.program.live[label]
            met = self.at(line, lambda e=edges, n=live: meet(e, n, self.ours))
            if label in self.program.loops and label != header:
                loop = self.program.loops[label]
                out = self.at(
                    self.line(label), lambda m=met, x=loop: repeated(self, x, m)
                )
            else:
                out = self.block(self.program.blocks[label], met)
            for target, edge in out:
                own = target in inside and target != header
                assert not own or target not in done, "blocks out of order"
                (pending if own else leaving).setdefault(target, []).append(edge)
        assert not pending, "blocks that nothing ran"
        return leaving

    def line(self, label: int) -> int:
        """The line of a block's first statement."""
        block = self.program.blocks[label]
        return block.statements[0].line if block.statements else block.ending.line

    def block(self, block: Block, edge: Edge) -> list[tuple[int, Edge]]:
        """Run a block; where it leads."""
        state, ending = edge.state, block.ending
        if ending.labels == (RAISE,):
            # What it says is found out where it is raised.
            self.at(ending.line, lambda: self.raises(edge))
            return [(RAISE, edge)]
        active = self.during(edge)
        for statement in block.statements:
            self.at(statement.line, lambda s=statement: self.step(s, state, active))
        if not ending.condition:
            (label,) = ending.labels
            if label == RETURN:
                kept = {n: v for n, v in state.names.items() if n == FAILS}
                state.names = {_RESULT: state.names[ending.value], **kept}
            return [(label, edge)]
        test = state.names[ending.condition]
        if isinstance(test, Tracer):
            sides = self.at(ending.line, lambda: fork(edge, truth(test)))
            return list(zip(ending.labels, sides, strict=True))
        return [(ending.labels[0 if test else 1], edge)]

    def during(self, edge: Edge) -> Any:
        """Whether a way is taken, known or traced; computed when it is asked for."""
        return lambda: _both(self.active, holds(edge.path))

    def raises(self, edge: Edge) -> None:
        """Refuse to raise where all points would."""
        if not edge.path and self.active is True:
            raise refuse("raise, or assert, which these arguments lead to,", _REMEDY)

    # -- statements --------------------------------------------------------------------

    def step(self, statement: Statement, state: State, active: Any) -> None:
        """Run one statement."""
        what = statement.what
        if what.op == "refused":
            raise refuse(what.data, "write it with numbers, tuples and arrays")
        if what.op in ("store", "static store"):
            array, *keys, value = [self.name(n, state) for n in what.names]
            key = _index(keys[0] if keys else what.data, state)
            if self.python:
                key = self.reached(array, key, state)
            state.store(array, key, value)
            return
        state.names[statement.target] = self.value(what, state, active)

    def name(self, name: str, state: State) -> Any:
        """What a name means now."""
        if name not in state.names:
            if name in self.unknown:
                self.asked.add(name)
                return float("nan")
            raise refuse(
                f"{name}, which has no value yet on any path that leads here,",
                "give it one before",
            )
        found = state.names[name]
        if isinstance(found, Apart):
            raise self.apart(found)
        return found

    def value(self, what: Expression, state: State, active: Any) -> Any:
        """What an expression gives."""
        found = self._value(what, state, active)
        return python.checked(found, state) if self.python else found

    def _value(self, what: Expression, state: State, active: Any) -> Any:
        op, data = what.op, what.data
        if op == "arg":
            return state.names[f"argument {data}"]
        if op == "value" and self.python:
            return python.outside(data, state)
        if op == "value":
            return plain(data) if isinstance(data, np.generic) else data
        values = [self.name(n, state) for n in what.names]
        if op == "name":
            return values[0]
        if op == "binop":
            return self.binary(data, values[0], values[1], state)
        if op == "inplace":
            return self.inplace(data, values[0], values[1], state)
        if op == "unary":
            apply = python.unary if self.python else unary
            return state.hold(apply(data, state.load(values[0])))
        if op == "call":
            keys, starred = data
            return self.call(values, keys, starred, state, active)
        if op == "tuple":
            return tuple(values)
        if op == "list":
            return Listed(tuple(values))
        if op == "iterate":
            return iterable(values[0], state)
        if op == "next":
            return values[0]
        if op == "first":
            return values[0].value
        if op == "second":
            return True
        if op == "getattr" and self.python:
            found = python.attribute(values[0], data, state)
            if found is not NotImplemented:
                return found
        if op == "getattr":
            return calls.attribute(values[0], data, state)
        if op == "unpack":
            return _unpacked(values[0], data, state)
        key = values[1] if op == "getitem" else data
        if self.python:
            key = self.reached(values[0], key, state)
        if isinstance(values[0], dict) and isinstance(key, str | int):
            return python.outside(values[0][key], state)
        found = item(values[0], key, state)
        if isinstance(values[0], np.ndarray) and isinstance(found, Tracer):
            self.reading.bounds.note_items(found, values[0])
        return found

    def reached(self, array: Any, key: Any, state: State) -> Any:
        """A key; where Python would raise IndexError that is noted, and it is 0."""
        parts = key if isinstance(key, tuple) else (key,)
        if not any(isinstance(p, Tracer) for p in parts):
            return key
        if any(p is None or p is ... for p in parts):
            raise refuse("an index with None or ... and computed places", "use slices")
        extents, found = shape(state.load(array)), list(parts)
        for axis, (part, extent) in enumerate(zip(parts, extents, strict=False)):
            if isinstance(part, Tracer) and not part.shape and part.dtype.kind == "i":
                ends = self.reading.bounds.of(part) or (-extent - 1, extent)
                beyond = python.outside_of(part, extent, ends)
                if beyond is not False:
                    fails = either(state.names.get(FAILS, False), beyond)
                    state.names[FAILS] = fails
                    found[axis] = select(beyond, 0, part)
        return tuple(found) if isinstance(key, tuple) else found[0]

    def binary(self, function: Any, a: Any, b: Any, state: State) -> Any:
        """a ∘ b."""
        made = state.hold(self.arithmetic(function, state.load(a), state.load(b)))
        return self.reading.bounds.binary(function, a, b, made)

    def arithmetic(self, function: Any, a: Any, b: Any) -> Any:
        """a ∘ b of numbers and whole arrays, by Numba's rules or Python's."""
        if self.python:
            return python.binary(function, a, b, self.reading.bounds)
        return binary(function, a, b)

    def inplace(self, function: Any, a: Any, b: Any, state: State) -> Any:
        """a ∘= b: of an array its elements are written."""
        if not isinstance(a, Reference):
            return self.binary(function, a, b, state)
        made = self.arithmetic(function, state.load(a), state.load(b))
        to = dtype(state.load(a))
        if self.python and to != dtype(made):
            raise refuse(f"{dtype(made)} that is put into {to}", "give it one dtype")
        state.store(a, ..., convert(made, to))
        return a

    def element(self, function: Any, args: Any, state: State, active: Any) -> Any:
        """What the function of one element gives; what it writes nobody sees."""
        inside = State(dict(state.names), dict(state.cells))
        found = read(function, args, {}, inside, self.reading, active())
        if inside.names.get(FAILS) is not state.names.get(FAILS):
            raise refuse(
                "raise, or assert, in a @vectorize function,", "return np.nan there"
            )
        return found

    def call(
        self, values: Sequence[Any], keys: Sequence[str], starred: bool,
        state: State, active: Any,
    ) -> Any:  # fmt: skip
        """function(*args, **keywords)."""
        function, *args = values
        if starred:
            args[-1:] = args[-1]
        keywords: dict[str, Any] = {}
        if keys:
            keywords = dict(zip(keys, args[-len(keys) :], strict=True))
            args = args[: -len(keys)]
        if self.python:
            found = python.call(function, args, keywords)
            if found is not NotImplemented:
                return found
            if function is int and args:
                fails = state.names.get(FAILS, False)
                state.names[FAILS] = either(fails, python.no_int(args[0]))
        if frontend.is_elementwise(function):
            one = partial(self.element, state=state, active=active)
            return state.hold(
                spread(function, list(map(state.load, args)), keywords, one)
            )
        own = self.python and python.is_readable(function)
        if own or frontend.is_function(function):
            return read(function, args, keywords, state, self.reading, active())
        if function in (min, max) and len(args) == 2:
            made = calls.call(function, args, keywords, state)
            return self.reading.bounds.binary(function, args[0], args[1], made)
        return calls.call(function, args, keywords, state)


def _kinds(value: Any, state: State) -> Any:
    """What the types of names in a function depend on: types, and what is known."""
    if isinstance(value, list | tuple):
        return tuple([_kinds(x, state) for x in value])
    if isinstance(value, Reference):
        value = state.load(value)
    if isinstance(value, Tracer | np.ndarray):
        return value.dtype, value.shape
    return type(value), repr(value)


def _both(a: Any, b: Any) -> Any:
    if a is True:
        return b
    return a if b is True else np.logical_and(a, b)


def _index(key: Any, state: State) -> Any:
    """A key that NumPy understands."""
    if isinstance(key, tuple):
        return tuple([_index(k, state) for k in key])
    return state.load(key)


def item(value: Any, key: Any, state: State) -> Any:
    """value[key]."""
    key = _index(key, state)
    if isinstance(value, tuple):
        if isinstance(key, Tracer):
            raise refuse("a tuple, at a place that is computed,", "make an array of it")
        return value[key]
    if isinstance(value, Listed):
        return item(value.items, key, state)
    if not isinstance(value, Reference | np.ndarray):
        raise refuse(f"an item of a {type(value).__name__}", "expected an array")
    if isinstance(value, np.ndarray) and _computed(key):
        value = state.new(value)
    return state.view(value, lambda x: calls.at(x, key))


def _computed(key: Any) -> bool:
    return any(
        isinstance(k, Tracer) for k in (key if isinstance(key, tuple) else [key])
    )


def _unpacked(value: Any, count: int, state: State) -> tuple[Any, ...]:
    if isinstance(value, tuple):
        return value
    return tuple([item(value, k, state) for k in range(count)])

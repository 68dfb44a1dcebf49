"""Python branches on traced values: a function that is run once for each path.

The truth of a traced value is decided by the trace that owns it.  `explore` runs the
function again with the last open decision turned over, until every path has been seen,
and merges the results by selects, from the ends of the tree to its root.  All runs
grow one graph, whose equal nodes are shared: what paths have in common is there once.
"""

from __future__ import annotations

import dis
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from jitad import tree
from jitad.errors import JitadError, ShapeError, TracingError, UnsupportedError

from .graph import CONST, DTYPES, INPUT, Type, prune, reach
from .interpret import interpret
from .primitive import registry
from .source import NUMPY, called, raising_line, source_line
from .tracer import Trace, Tracer, innermost, lift

PATHS = 64

# Errors name no more decisions of a path than its last ones.
_TOLD = 3


class Decision(NamedTuple):
    """A condition on a path and the outcome taken there.

    after  how many nodes the run had asked for then
    error  what is raised where the condition is the failure of a call
    place  names such a call
    """

    condition: int
    outcome: bool
    line: str
    after: int
    error: Exception | None = None
    place: Any = None

    def lets_through(self, error: Exception) -> bool:
        """Whether an error that ends a path is that of a failing call, or like it."""
        return self.outcome and isinstance(error, type(self.error))

    def __str__(self) -> str:
        return f"the condition at {self.line} is {str(self.outcome).lower()}"


class Leaf(NamedTuple):
    """One value that a function returned; a weak one promotes as a Python number."""

    index: int
    type: Type
    weak: bool


class Outcome(NamedTuple):
    """What a function returned on some of its paths."""

    spec: tree.PyTreeSpec
    leaves: tuple[Leaf, ...]

    def __str__(self) -> str:
        return repr(tree.unflatten(self.spec, [_Word(x.type) for x in self.leaves]))


class _Word(str):
    """Text that prints without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


# -- one run -------------------------------------------------------------------


class Path:
    """The decisions of one run of a function: those it repeats, then its own.

    given     decisions of the run before, the last of them turned over
    log       the nodes that the run before asked for
    finished  how many paths are done
    fixed     conditions met on any path: the outcome of those that are constant
    unhandled  calls whose errors the function does not handle
    """

    def __init__(
        self,
        name: str,
        given: Sequence[Decision],
        log: Sequence[int],
        finished: int,
        fixed: dict[int, bool | None],
        unhandled: set[Any],
    ) -> None:
        self.name, self.given, self.log, self.finished = name, given, log, finished
        self.fixed, self.unhandled = fixed, unhandled
        self.calls: Counter[Any] = Counter()
        self.made: list[Decision] = []
        self.known: dict[int, bool] = {}

    def __str__(self) -> str:
        last = [str(d) for d in self.made[-_TOLD:]]
        return " and ".join(["…", *last] if len(self.made) > _TOLD else last)

    def fails(
        self, trace: Trace, condition: int, place: tuple[Any, bool], error: Exception
    ) -> bool:
        """Whether a call that fails where a condition holds does so on this path.

        place  where the call is, and whether a handler surely catches the error, which
               may let it through another time
        """
        self.calls[place] += 1
        key = (*place, self.calls[place] if place[1] else 0)
        if key in self.unhandled:
            return False
        return self.decide(trace, condition, error, key)

    def decide(
        self,
        trace: Trace,
        condition: int,
        error: Exception | None = None,
        place: Any = None,
    ) -> bool:
        """The outcome that this path takes; the same one for the same condition."""
        assert trace.log is not None
        trace.log.append(condition)
        if condition not in self.fixed:
            self.fixed[condition] = _constant(trace, condition)
        known = self.known.get(condition, self.fixed[condition])
        if known is not None:
            return known
        line, outcome = source_line(), True
        if len(self.made) < len(self.given):
            outcome = self._repeated(trace)
        elif self.finished + sum(d.outcome for d in self.made) + 2 > PATHS:
            registry.functions["trace.long"](trace)
            raise TracingError(
                f"{self.name} has more than {PATHS} paths through its branches on "
                f"traced values; the next would begin at {line}.  Every if, while, "
                "and, or, min, max, sorted on a traced value divides all paths that "
                "follow: use jitad.cond or np.where for a branch, jitad.while_loop or "
                "jitad.fori_loop for a loop, np.sort, np.maximum, & and | for the "
                "others, and np.stack instead of np.array([...])"
            )
        after = len(trace.log)
        self.made.append(Decision(condition, outcome, line, after, error, place))
        self.known[condition] = outcome
        return outcome

    def _repeated(self, trace: Trace) -> bool:
        """The outcome of the next decision given, if the run came to it as before."""
        expected, start = self.given[len(self.made)], self._start
        assert trace.log is not None
        if trace.log[start:] != self.log[start : expected.after]:
            raise self._impure(trace, expected)
        return expected.outcome

    @property
    def _start(self) -> int:
        return self.made[-1].after if self.made else 0

    def finish(self, trace: Trace) -> None:
        """Make sure, after the run, that it repeated all decisions given."""
        if len(self.made) < len(self.given):
            raise self._impure(trace, self.given[len(self.made)])

    def _impure(self, trace: Trace, expected: Decision) -> TracingError:
        assert trace.log is not None
        before, now = self.log[self._start : expected.after], trace.log[self._start :]
        pairs = zip(before, now, strict=False)
        k = next((k for k, (a, b) in enumerate(pairs) if a != b), None)
        k = min(len(before), len(now)) if k is None else k
        return TracingError(
            f"{self.name} did something else when it was run again for the other side "
            f"of a condition ({expected.line}): first {_said(trace, before[k:])}, "
            f"then {_said(trace, now[k:])}.  Up to a branch on a traced value a "
            "function must do the same every time: it may not draw random numbers, "
            "count its calls or change what is outside; pass such values as arguments"
        )


def _said(trace: Trace, nodes: Sequence[int]) -> str:
    """The first of some nodes in words."""
    if not nodes:
        return "nothing more"
    node = trace.nodes[nodes[0]]
    return f"{node} at {node.line}" if node.line else str(node)


# -- the truth of a value ------------------------------------------------------


def truth(value: Tracer) -> bool:
    """bool(value): what the path takes that the owning trace is on."""
    trace = innermost([value])
    if trace.path is None or _numpy_asks(trace, value):
        raise TracingError(
            f"the truth of {value!r} is not known while tracing ({source_line()}), "
            "and NumPy asks for it.  If this comes from an array made by "
            "np.array([...]) or np.asarray, make it with np.stack; else use np.where, "
            "np.minimum, np.maximum, & and |"
        )
    index = condition(value)
    node = trace.nodes[index]
    if node.primitive.name == "not":
        return not trace.path.decide(trace, node.operands[0])
    return trace.path.decide(trace, index)


registry.functions["truth"] = truth


def _numpy_asks(trace: Trace, value: Tracer) -> bool:
    """Whether NumPy computes with elements of an object array.

    Its maximum and minimum of objects know neither NaN nor ties.  They compare by >=
    or <= and ask for the truth in one and the same call.  Its logical_and and
    logical_or are Python's `and` and `or`: of numbers they give one of both.
    """
    frame = sys._getframe(3)
    if frame.f_code.co_filename.startswith(NUMPY):
        return True
    if value.dtype != bool and {"logical_and", "logical_or"} & called(frame):
        return True
    if trace.compared != (value.index, id(frame), frame.f_lasti):
        return False
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] != "COMPARE_OP"


def condition(value: Tracer) -> int:
    """The node of a value's truth: a bool of shape ()."""
    if value.size != 1:
        raise ShapeError(
            f"the truth value of {value!r}, an array of {value.size} elements, is "
            f"ambiguous ({source_line()}); use np.where to choose element by element, "
            "or .any() or .all()"
        )
    single: Any = value[(0,) * value.ndim] if value.shape else value
    return single.index if single.dtype == bool else (single != 0).index


def _constant(trace: Trace, condition: int) -> bool | None:
    """The truth of a condition that depends on no input."""
    wanted = reach(trace.nodes[: condition + 1], [condition])
    if any(trace.nodes[i].primitive is INPUT for i in wanted):
        return None
    (value,) = interpret(prune(trace.nodes[: condition + 1], (), (condition,)), [])
    return bool(value)


# -- all runs ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of traces, after which arrays that are older may not be written to."""

    traces: tuple[Trace, ...]
    births: tuple[int, ...]
    writes: tuple[int, ...]

    def check(self, name: str) -> None:
        """Raise TracingError where there was such a write."""
        for trace, born, count in zip(
            self.traces, self.births, self.writes, strict=True
        ):
            for birth, line in trace.writes[count:]:
                if birth <= born:
                    raise TracingError(
                        f"{name} branches on traced values and writes to an array "
                        f"from outside ({line}), which only some paths may do; write "
                        "to a copy made inside, x.copy(), and return it"
                    )


def mark(traces: Sequence[Trace]) -> Mark:
    """The present moment of traces."""
    births = tuple([t.births for t in traces])
    return Mark(tuple(traces), births, tuple([len(t.writes) for t in traces]))


def explore(
    trace: Trace, outer: Sequence[Trace], run: Callable[[Trace], Outcome], name: str
) -> Outcome:
    """What run, given the trace once for each path, returns on all paths together.

    Depth first, and of every condition its true side first.
    """
    ends: list[Outcome] = []
    given: list[Decision] = []
    log: list[int] = []
    fixed: dict[int, bool | None] = {}
    unhandled: set[Any] = set()
    start, finished = mark(outer), 0
    while True:
        path = Path(name, given, log, finished, fixed, unhandled)
        running = trace.again(path)
        end = _end(run, running)
        made, log = path.made, running.log or []
        if end is None:
            unhandled.add(made[-1].place)
            given = made[:-1]
            continue
        ends.append(end)
        path.finish(running)
        if made:
            start.check(name)
        while made and not made[-1].outcome:
            fork = made.pop()
            no, yes = ends.pop(), ends.pop()
            ends.append(merge(trace, fork.condition, (yes, no), (name, fork.line)))
        if not made:
            return ends.pop()
        given = [*made[:-1], made[-1]._replace(outcome=False)]
        finished += 1


def _end(run: Callable[[Trace], Outcome], running: Trace) -> Outcome | None:
    """What one run returns; None where an error of a failing call got out of it."""
    path = running.path
    try:
        return run(running)
    except JitadError as error:
        if path.made:
            error.add_note(f"This is where {path}.")
        raise
    except Exception as error:
        if not path.made:
            raise
        if path.made[-1].lets_through(error):
            return None
        raise TracingError(
            f"{path.name} raises {type(error).__name__}({error}) at "
            f"{raising_line(error)}, where {path}.  A compiled function cannot raise "
            "at some points and go on at others: return np.nan there, or test the "
            "arguments outside, before the call"
        ) from error


# -- what the paths give -------------------------------------------------------


def branch(trace: Trace, result: Any, name: str) -> Outcome:
    """A function's result as nodes of its trace."""
    leaves, spec = tree.flatten(result)
    return Outcome(spec, tuple([_leaf(trace, leaf, name) for leaf in leaves]))


def _leaf(trace: Trace, value: Any, name: str) -> Leaf:
    if not isinstance(value, Tracer):
        kind = np.asarray(value).dtype
        if kind not in DTYPES and kind.kind not in "iuO":
            raise UnsupportedError(
                f"{name} returned {value!r} of dtype {kind}; expected arrays or "
                "numbers, in nested tuples, lists, dicts or dataclasses"
            )
    index = lift(trace, value)
    weak = value.weak if isinstance(value, Tracer) else type(value) in (float, int)
    return Leaf(index, trace.nodes[index].type, weak)


def merge(
    trace: Trace, condition: int, sides: tuple[Outcome, Outcome], told: tuple[str, str]
) -> Outcome:
    """The one of two sides that the condition says: the first where it holds.

    told  who returned them, and where the condition is, for errors
    """
    yes, no = sides
    leaves = []
    if yes.spec == no.spec:
        for a, b in zip(yes.leaves, no.leaves, strict=True):
            leaf = _select(trace, condition, a, b, told[1])
            if leaf is None:
                break
            leaves.append(leaf)
    if len(leaves) < len(yes.leaves) or yes.spec != no.spec:
        raise _unequal(yes, no, *told)
    return Outcome(yes.spec, tuple(leaves))


def _select(trace: Trace, condition: int, a: Leaf, b: Leaf, line: str) -> Leaf | None:
    """One leaf of two; None where their types differ."""
    dtype = _joint(a, b)
    if dtype is None or a.type.shape != b.type.shape:
        return None
    type, weak = Type(dtype, a.type.shape), a.weak and b.weak
    values = (_converted(trace, a, dtype), _converted(trace, b, dtype))
    if values[0] == values[1]:
        return Leaf(values[0], type, weak)
    select = registry.primitives["select"]
    return Leaf(trace.apply(select, (condition, *values), type, line), type, weak)


def _joint(a: Leaf, b: Leaf) -> np.dtype | None:
    """The dtype of both, where weak numbers promote as NumPy has it."""
    kinds = [a.type.dtype, b.type.dtype]
    if kinds[0] == kinds[1]:
        return kinds[0]
    if not (a.weak or b.weak) or any(k.kind == "b" for k in kinds):
        return None
    pairs = zip((a, b), kinds, strict=True)
    return np.result_type(*[(k.type(0).item() if x.weak else k) for x, k in pairs])


def _converted(trace: Trace, leaf: Leaf, dtype: np.dtype) -> int:
    if leaf.type.dtype == dtype:
        return leaf.index
    node = trace.nodes[leaf.index]
    if node.primitive is CONST:
        # As NumPy does, with its OverflowError.
        return trace.number(node.value.item(), dtype)
    return trace.cast(leaf.index, dtype)


def _unequal(yes: Outcome, no: Outcome, name: str, line: str) -> TracingError:
    return TracingError(
        f"{name} returns {yes} where the condition at {line} is true, and {no} where "
        "it is false; expected the same structure, shapes and dtypes: return arrays "
        "of one shape (np.zeros_like, np.full), convert with astype, and let every "
        "path return something"
    )

"""A function's blocks, as Numba's front end gives them: all that is taken from there.

A Numba function comes in, a Program goes out, in which nothing of Numba's is left but
the functions and dtypes that the user named.  What Numba calls its pieces is known here
only, and `tests/reading/test_frontend.py` holds the Numba that is installed to it.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import FunctionType
from typing import Any, NamedTuple

import numpy as np

from jitad.errors import UnsupportedError
from jitad.ir.redirect import undirected
from jitad.process.late import late

dufunc = late("numba.np.ufunc.dufunc")
gufunc = late("numba.np.ufunc.gufunc")
stencil = late("numba.stencils.stencil")
analysis = late("numba.core.analysis")
compiler = late("numba.core.compiler")
card_dispatchers = late("numba.cuda.dispatcher")  # only where it is imported already
dispatchers = late("numba.core.dispatcher")
ir = late("numba.core.ir")
numba = late("numba")
numba_errors = late("numba.core.errors")
support = late("numba.np.numpy_support")
types = late("numba.core.types")

RETURN, RAISE = -1, -2


class Expression(NamedTuple):
    """What a name is given: an operation, names that it reads, and what else it needs.

    arg       data: the parameter's name
    value     data: a constant, or what a global name or a closure stands for
    name      (x)
    binop     (a, b), data: the function of `operator`; inplace likewise
    unary     (a), data: the function
    getattr   (x), data: the attribute
    getitem   (x, index)
    item      (x), data: the index
    tuple, list  (x …);  unpack  (x), data: how many
    call      (function, x …), data: the names of the last of them, given by keyword;
              starred, the last is a tuple of more
    iterate   (x);  next  (iterator);  first, second  (what next gave)
    refused   data: what it is, in words
    """

    op: str
    names: tuple[str, ...] = ()
    data: Any = None


class Statement(NamedTuple):
    """One line of a block: target = what; "" for none; of a store, target[key] = value.

    what.op == "store": names (array, key, value); "static store": (array, value).
    """

    target: str
    what: Expression
    line: int


class Ending(NamedTuple):
    """Where a block goes: labels, and the name of the condition that chooses."""

    labels: tuple[int, ...]
    condition: str = ""
    line: int = 0
    value: str = ""


class Block(NamedTuple):
    """Statements, and where they lead; RETURN and RAISE are labels, too."""

    statements: tuple[Statement, ...]
    ending: Ending


class Loop(NamedTuple):
    """The labels of a loop's blocks."""

    header: int
    body: frozenset[int]


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A function: its blocks by label, its loops by header, and the names alive there.

    order   labels, such that a block comes after those that lead to it, but for the
            ends of loops
    live    for every label the names that somebody reads from there on
    python  whether it is a plain function, with Python's arithmetic
    """

    function: FunctionType
    name: str
    file: str
    signature: inspect.Signature
    entry: int
    blocks: Mapping[int, Block]
    loops: Mapping[int, Loop]
    order: tuple[int, ...]
    live: Mapping[int, frozenset[str]]
    python: bool = False


def is_function(value: Any) -> bool:
    """Whether it is what @njit gives."""
    return isinstance(value, dispatchers.Dispatcher)


def is_kernel(function: Any) -> bool:
    """Whether it is a kernel of @cuda.jit, which no function can call."""
    options = getattr(function, "targetoptions", {})
    return type(function).__module__.endswith("cuda.dispatcher") and not (
        options.get("device")
    )


def is_elementwise(value: Any) -> bool:
    """Whether it is what @vectorize gives."""
    return isinstance(value, dufunc.DUFunc)


def of_one_element(function: Any) -> Any:
    """The function of numbers that @vectorize was given."""
    return function._dispatcher


def loop_types(
    function: Any, given: Sequence[np.dtype]
) -> tuple[list[np.dtype], np.dtype | None]:
    """The dtypes that a @vectorize function computes with, of those of its arguments.

    Where it was given signatures they are those of the first that fits, with that of
    its result; else its arguments' own, and None.
    """
    if not function._frozen:
        return list(given), None
    for signature in function.types:
        parameters, result = signature.split("->")
        found = [np.dtype(c) for c in parameters]
        pairs = zip(given, found, strict=False)
        if all(np.can_cast(a, b, "safe") for a, b in pairs):
            return found, np.dtype(result)
    raise TypeError(f"{function.__name__} has no signature for {list(map(str, given))}")


def is_parallel_range(value: Any) -> bool:
    """Whether it is Numba's prange."""
    return value is numba.prange


def given(value: Any) -> Any:
    """An argument; the default of one that Numba's call left out."""
    return value.value if isinstance(value, dispatchers.OmittedArg) else value


def dtype_of(value: Any) -> np.dtype | None:
    """The dtype that one of Numba's types stands for, as numba.float64 does."""
    return support.as_dtype(value) if isinstance(value, types.Number) else None


def program(function: Any) -> Program:
    """The blocks of an @njit function, or of a plain one.

    Raises UnsupportedError for what Numba cannot read, or reads otherwise than we know.
    """
    if isinstance(function, FunctionType):
        # What a plain function knows from outside may be another when it is read again.
        return replace(_made(undirected(function)), python=True)
    return _program(function)


@lru_cache(maxsize=512)
def _program(function: Any) -> Program:
    return _made(undirected(function.py_func))


def _made(function: FunctionType) -> Program:
    place = f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"
    try:
        found = compiler.run_frontend(function)
    except numba_errors.NumbaError as error:
        first = next((x for x in str(error).splitlines() if x.strip()), "")
        raise UnsupportedError(
            f"{function.__name__} cannot be read ({place}): Numba says {first!r}; "
            "write it without, or let jitad trace it as a plain function: "
            f"jitad.grad({function.__name__}.py_func)"
        ) from error
    try:
        return _converted(function, found)
    except (AttributeError, KeyError, TypeError) as error:
        raise UnsupportedError(
            f"{function.__name__} cannot be read ({place}): expected the blocks of "
            f"Numba 0.62 to 0.68, but Numba {numba.version_info.string} gives others "
            f"({error!r}); install one of these, or give jitad the plain function, "
            f"{function.__name__}.py_func"
        ) from error


def _converted(function: FunctionType, found: Any) -> Program:
    graph = analysis.compute_cfg_from_blocks(found.blocks)
    use = analysis.compute_use_defs(found.blocks)
    live = analysis.compute_live_map(graph, found.blocks, use.usemap, use.defmap)
    headers = set(graph.loops())
    blocks = _merged({x: _block(b) for x, b in found.blocks.items()}, headers)
    loops = {
        x.header: Loop(x.header, frozenset(x.body) & blocks.keys())
        for x in graph.loops().values()
    }
    return Program(
        function,
        function.__name__,
        function.__code__.co_filename,
        inspect.signature(function),
        graph.entry_point(),
        blocks,
        loops,
        _order(graph.entry_point(), blocks, loops),
        {label: frozenset(names) for label, names in live.items()},
    )


def _merged(blocks: dict[int, Block], headers: set[int]) -> dict[int, Block]:
    """Blocks, of which those that only one leads to, and only there, are part of it.

    In a long function the end of a loop jumps to a block before the one that asks for
    the next item.
    """
    into = Counter(x for b in blocks.values() for x in b.ending.labels)
    for label in list(blocks):
        while label in blocks and len(blocks[label].ending.labels) == 1:
            (after,) = blocks[label].ending.labels
            if into[after] > 1 or after in headers or after not in blocks:
                break
            rest = blocks.pop(after)
            statements = (*blocks[label].statements, *rest.statements)
            blocks[label] = Block(statements, rest.ending)
    return blocks


def _order(
    entry: int, blocks: Mapping[int, Block], loops: Mapping[int, Loop]
) -> tuple[int, ...]:
    """Labels, each behind all that lead to it, but for those at the ends of loops."""

    def ahead(label: int) -> list[int]:
        found = [x for x in blocks[label].ending.labels if x in blocks]
        return [x for x in found if x not in loops or label not in loops[x].body]

    seen, order, stack = {entry}, [], [(entry, iter(ahead(entry)))]
    while stack:
        label, rest = stack[-1]
        following = next((x for x in rest if x not in seen), None)
        if following is None:
            order.append(label)
            stack.pop()
        else:
            seen.add(following)
            stack.append((following, iter(ahead(following))))
    return tuple(order[::-1])


def _block(block: Any) -> Block:
    *statements, last = block.body
    made = [_statement(s) for s in statements if not isinstance(s, _silent())]
    return Block(tuple(made), _ending(last))


def _silent() -> tuple[Any, ...]:
    return ir.Del, ir.PopBlock


def _ending(last: Any) -> Ending:
    line = last.loc.line
    if isinstance(last, ir.Jump):
        return Ending((last.target,), line=line)
    if isinstance(last, ir.Branch):
        return Ending((last.truebr, last.falsebr), last.cond.name, line)
    if isinstance(last, ir.Return):
        return Ending((RETURN,), line=line, value=last.value.name)
    if isinstance(last, ir.Raise | ir.StaticRaise | ir.DynamicRaise):
        return Ending((RAISE,), line=line)
    raise TypeError(f"a block ends in {type(last).__name__}")


def _statement(found: Any) -> Statement:
    line = found.loc.line
    if isinstance(found, ir.Assign):
        return Statement(found.target.name, _expression(found.value), line)
    if isinstance(found, ir.SetItem):
        names = (found.target.name, found.index.name, found.value.name)
        return Statement("", Expression("store", names), line)
    if isinstance(found, ir.StaticSetItem):
        names = (found.target.name, found.value.name)
        return Statement("", Expression("static store", names, found.index), line)
    said = {"EnterWith": "a with statement", "SetAttr": "setting an attribute",
            "DelItem": "del of an item", "StoreMap": "a dict", "Print": "print",
            "TryRaise": "try and except"}  # fmt: skip
    kind = type(found).__name__
    return Statement("", Expression("refused", (), said.get(kind, kind)), line)


_REFUSED = {
    "build_map": "a dict", "build_set": "a set",
    "build_string": "text made of values", "make_function": "a function, or a "
    "comprehension, made inside", "yield": "a generator",
}  # fmt: skip


def _expression(found: Any) -> Expression:
    if isinstance(found, ir.Arg):
        return Expression("arg", (), found.name)
    if isinstance(found, ir.Const | ir.Global | ir.FreeVar):
        if getattr(found.value, "__module__", "") == "numba.core.unsafe.eh":
            return Expression("refused", (), "try and except")
        return Expression("value", (), found.value)
    if isinstance(found, ir.Var):
        return Expression("name", (found.name,))
    if isinstance(found, ir.Yield):
        return Expression("refused", (), "a generator")
    if not isinstance(found, ir.Expr):
        return Expression("refused", (), type(found).__name__)
    made = _OPS.get(found.op)
    if made is None:
        return Expression("refused", (), _REFUSED.get(found.op, f"{found.op!r}"))
    return made(found)


def _call(found: Any) -> Expression:
    keys = [k for k, _ in found.kws]
    names = [v.name for v in (found.func, *found.args, *(v for _, v in found.kws))]
    if found.varkwarg is not None:
        return Expression("refused", (), "**keywords")
    if found.vararg is not None:
        return Expression("call", (*names, found.vararg.name), (tuple(keys), True))
    return Expression("call", tuple(names), (tuple(keys), False))


def _of(op: str, *names: str, data: str = "") -> Any:
    def made(found: Any) -> Expression:
        read = tuple([getattr(found, n).name for n in names])
        return Expression(op, read, getattr(found, data) if data else None)

    return made


_OPS = {
    "binop": _of("binop", "lhs", "rhs", data="fn"),
    "inplace_binop": _of("inplace", "lhs", "rhs", data="immutable_fn"),
    "unary": _of("unary", "value", data="fn"),
    "getattr": _of("getattr", "value", data="attr"),
    "getitem": _of("getitem", "value", "index"),
    "typed_getitem": _of("getitem", "value", "index"),
    "static_getitem": _of("item", "value", data="index"),
    "exhaust_iter": _of("unpack", "value", data="count"),
    "cast": _of("name", "value"),
    "getiter": _of("iterate", "value"),
    "iternext": _of("next", "value"),
    "pair_first": _of("first", "value"),
    "pair_second": _of("second", "value"),
    "build_tuple": lambda e: Expression("tuple", tuple([v.name for v in e.items])),
    "build_list": lambda e: Expression("list", tuple([v.name for v in e.items])),
    "call": _call,
    "undef": lambda e: Expression("value", (), None),
    "null": lambda e: Expression("value", (), None),
}

"""Random programs as users write them: loops and branches, nested to any order.

`Writing` makes the text of one from integers that it is given; `random_cases` says
where they come from.  A `Program` runs with jitad's control flow, and with `Plain`, the
same in ordinary Python, which can also be traced without any of it: it repeats the
decisions that one point took.

Values are scalars, smooth but for a few kinks, and stay small.  Comparisons are with
numbers that nothing else in a program is made of, so that there are no ties.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import jitad
from jitad import tree
from tests.support.random_cases import Maker
from tests.support.random_graphs import Number

Container = tuple[str, tuple[str, ...]]

INPUTS = 3
POINTS = 11
BOUND = 8  # more iterations than any loop of unknown length takes

FLOW = {
    name: getattr(jitad, name)
    for name in ("cond", "switch", "fori_loop", "scan", "while_loop", "checkpoint")
}


# -- control flow in ordinary Python -------------------------------------------


class Plain:
    """jitad's control flow in ordinary Python; `path` is what was decided on the way.

    given  the path of an earlier run, to be taken again whatever the values are
    """

    def __init__(self, given: Sequence[int] | None = None) -> None:
        self.path: list[int] = []
        self.given = None if given is None else iter(given)

    def decide(self, value: Any) -> int:
        """A condition or a whole number, as a number."""
        self.path.append(int(value) if self.given is None else next(self.given))
        return self.path[-1]

    def cond(self, test: Any, then: Any, other: Any, *args: Any) -> Any:
        return then(*args) if self.decide(test) else other(*args)

    def switch(self, index: Any, branches: Sequence[Any], *args: Any) -> Any:
        return branches[min(max(self.decide(index), 0), len(branches) - 1)](*args)

    def fori_loop(
        self, lower: int, upper: Any, body: Any, carry: Any, max_steps: Any = None
    ) -> Any:
        del max_steps
        for i in range(lower, upper if type(upper) is int else self.decide(upper)):
            carry = body(i, carry)
        return carry

    def scan(
        self,
        step: Any,
        carry: Any,
        xs: Any = None,
        length: int | None = None,
        reverse: bool = False,
        checkpoint: Any = None,
    ) -> Any:
        del checkpoint
        leaves, spec = tree.flatten(xs)
        steps = range(len(leaves[0]) if leaves else length or 0)
        rows = []
        for k in reversed(steps) if reverse else steps:
            carry, y = step(carry, tree.unflatten(spec, [x[k] for x in leaves]))
            rows.append(y)
        rows = rows[::-1] if reverse else rows
        columns = zip(*(tree.flatten(y)[0] for y in rows), strict=True)
        stacked = [np.stack(c) for c in columns]
        return carry, tree.unflatten(tree.flatten(rows[0])[1], stacked)

    def while_loop(self, alive: Any, body: Any, carry: Any, max_steps: int) -> Any:
        for _ in range(max_steps):
            if not self.decide(alive(carry)):
                return carry
            carry = body(carry)
        raise AssertionError("a loop takes more iterations than it is given")

    def checkpoint(self, f: Any) -> Any:
        return f


@dataclass(frozen=True)
class Program:
    """A function of a vector as Python source, and points to call it at."""

    lines: tuple[str, ...]
    points: np.ndarray = field(default_factory=lambda: np.zeros((0, INPUTS)))

    def __repr__(self) -> str:
        points = np.array2string(self.points, separator=", ", floatmode="unique")
        return f"\n{self.source}\npoints = np.array({points})\n"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def source(self) -> str:
        """The text of the function."""
        body = "\n".join(f"    {line}" for line in self.lines)
        return f"def f(x):\n{body}\n"

    @property
    def reads_twice(self) -> bool:
        """Whether an array holds the same scalar twice."""
        stacks = re.findall(r"np\.stack\(\[(.*?)\]\)", self.source)
        found = [text.split(", ") for text in stacks]
        return any(len(set(names)) < len(names) for names in found)

    def _compiled(self, source: str, flow: dict[str, Any]) -> Callable[..., Any]:
        space: dict[str, Any] = {"np": np, **flow}
        exec(compile(source, "<random program>", "exec"), space)
        return space["f"]

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function with jitad's control flow."""
        return self._compiled(self.source, FLOW)

    @property
    def total(self) -> Callable[..., Any]:
        """The sum of its results, weighted: a scalar function."""
        return total(self.function)

    def kept(self, checkpoint: Any) -> Callable[..., Any]:
        """The function with another schedule in all of its scans."""
        source = re.sub(r"checkpoint=[^,)]+", f"checkpoint={checkpoint!r}", self.source)
        return self._compiled(source, FLOW)

    def plain(self, flow: Plain) -> Callable[..., Any]:
        """The function in ordinary Python."""
        source = re.sub(r"\bif (.+):", r"if decide(\1):", self.source)
        names = (*FLOW, "decide")
        return self._compiled(source, {name: getattr(flow, name) for name in names})

    def path(self, x: np.ndarray) -> list[int]:
        """What is decided at a point."""
        flow = Plain()
        self.plain(flow)(x)
        return flow.path

    def unrolled(self, x: np.ndarray) -> Callable[..., Any]:
        """The function without loops and branches, as it is around a point."""
        path = self.path(x)
        return lambda x: self.plain(Plain(path))(x)


def total(f: Callable[..., Any]) -> Callable[..., Any]:
    """The sum of a function's results, weighted."""
    return lambda x: sum((0.5 + k) * y for k, y in enumerate(f(x)))


# -- what may stand in a line --------------------------------------------------

EXPRESSIONS = (
    "np.sin({a})", "0.6 * {a} - 0.7 * {b}", "{a} * np.cos({b})", "np.tanh({a} + {b})",
    "{a} / (1.0 + {b} * {b})", "0.5 * np.sqrt(1.0 + {a} * {a})", "np.exp(-{a} * {a})",
    "np.sin({a}) * np.sin({b})", "np.arctan({a}) + 0.3", "0.4 - {a}",
    "np.abs({a} - {k})", "np.maximum({a}, {b} + {k})", "np.minimum({a}, {k})",
    "np.where({a} > {k}, np.sin({b}), {a})",
    "np.where({a} < {b} + {k}, {a} * {b}, 0.5) / (1.0 + {a} * {a})",
    "np.where({a} > {k}, np.sqrt(0.5 + np.abs({a})), {b})",
)  # fmt: skip
CONDITIONS = (
    "{a} > {k}", "{a} < {b} + {k}", "np.sin({a}) * {b} > {k}", "np.abs({a}) < {k}",
    "np.logical_and({a} > {k}, {b} > {k})", "({a} < {k}) | ({b} > {k})",
)  # fmt: skip
# What is handed on: of what was carried and of what the iteration made.
UPDATES = (
    "0.6 * {c} + 0.4 * np.sin({v})", "{v}", "{c} + 0.1 * {v}", "np.tanh({c} - {v})",
    "{c} - 0.2 * {v} - 0.1 * np.cos({v})", "0.5 * {c} + {v} / (1.5 + {v} * {v})",
)  # fmt: skip
# What grows by steps of different lengths.
CLOCKS = ("{c} + 0.45 + 0.1 * np.sin({v})",)
# Containers: how they are made, and how each of their scalars is found again.
PAIR = ("({0}, {1})", ("{c}[0]", "{c}[1]"))
CONTAINERS = (
    ("{0}", ("{c}",)),
    PAIR,
    ("np.stack([{0}, {1}])", ("{c}[0]", "{c}[1]")),
    ("{{'p': {0}, 'q': [{1}, {2}]}}", ("{c}['p']", "{c}['q'][0]", "{c}['q'][1]")),
    ("[np.stack([{0}, {1}]), ({2},)]", ("{c}[0][0]", "{c}[0][1]", "{c}[1][0]")),
)
SUMMARIES = ("{y}[0]", "np.mean({y})", "{y}[-1]", "0.3 * np.sum(np.sin({y}))")


# What may hold other statements: the methods of Writing.
KINDS = (
    "cond", "fork", "repeated", "scan", "until", "counted", "switch", "checkpoint",
)  # fmt: skip


@dataclass
class Scope:
    """What can be seen at a line: scalars, and arrays with their lengths."""

    names: list[str]
    arrays: dict[str, int] = field(default_factory=dict)

    def inner(self, *names: str) -> Scope:
        return Scope([*self.names, *names], dict(self.arrays))


class Writing:
    """A program while it is made up."""

    def __init__(self, number: Number) -> None:
        self.number = number
        self.lines: list[str] = []
        self.indent = ""
        self.fresh = 0
        self.forks = 0

    def program(self, kind: str, statements: int, depth: int) -> list[str]:
        """The lines of a program: one statement of a kind, and so many others."""
        names = [f"x{k}" for k in range(INPUTS)]
        self.line(f"{', '.join(names)} = {', '.join(f'x[{k}]' for k in range(INPUTS))}")
        scope = Scope(list(names))
        getattr(self, kind)(scope, depth)
        self.block(scope, statements, depth)
        *others, last = scope.names
        rest = [f"{0.2 + 0.1 * k:.1f} * {name}" for k, name in enumerate(others)]
        self.line(f"return {last}, {' + '.join(rest)}")
        return self.lines

    # -- parts of lines

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.number(0, len(items) - 1)]

    def line(self, text: str) -> None:
        self.lines.append(self.indent + text)

    def name(self, letter: str) -> str:
        self.fresh += 1
        return f"{letter}{self.fresh}"

    def constant(self) -> str:
        return f"{self.number(-8, 8) / 10 + 0.0371:.4f}"

    def operand(self, scope: Scope) -> str:
        """A scalar; late ones come up more often."""
        return self.pick(scope.names[-4:] if self.number(0, 2) else scope.names)

    def text(self, template: str, scope: Scope) -> str:
        a, b = self.operand(scope), self.operand(scope)
        while "{k}" in template:
            template = template.replace("{k}", self.constant(), 1)
        return template.format(a=a, b=b)

    def expression(self, scope: Scope) -> str:
        return self.text(self.pick(EXPRESSIONS), scope)

    def condition(self, scope: Scope) -> str:
        return self.text(self.pick(CONDITIONS), scope)

    def whole(self, scope: Scope, most: int) -> str:
        """A whole number from 0 to most."""
        size = f"({self.number(2, 5)}.0 * np.abs({self.operand(scope)})).astype(int)"
        return f"np.minimum({size}, {most})"

    def assign(self, scope: Scope, text: str) -> None:
        name = self.name("v")
        self.line(f"{name} = {text}")
        scope.names.append(name)

    def found(self, scope: Scope, name: str, places: Sequence[str]) -> list[str]:
        """Give names to what is in a container."""
        made = [self.name("v") for _ in places]
        found = [place.format(c=name) for place in places]
        self.line(f"{', '.join(made)} = {', '.join(found)}")
        scope.names += made
        return made

    @contextmanager
    def under(self, head: str, *, apart: bool) -> Iterator[None]:
        """The lines under a head; apart: of a function that is traced by itself."""
        self.line(head)
        indent, forks = self.indent, self.forks
        self.indent += "    "
        if apart:
            self.forks = 0
        yield
        self.indent = indent
        if apart:
            self.forks = forks

    # -- statements

    def block(self, scope: Scope, statements: int, depth: int) -> Scope:
        """So many statements, simple ones where depth is 0."""
        kinds = ("plainly", "plainly", *(KINDS if depth else ()))
        for _ in range(statements):
            getattr(self, self.pick(kinds))(scope, depth)
        return scope

    def plainly(self, scope: Scope, depth: int) -> None:
        del depth
        self.assign(scope, self.expression(scope))

    def fork(self, scope: Scope, depth: int) -> None:
        """A Python if; every one doubles the paths through what is traced at once."""
        if self.forks > 1:
            return self.cond(scope, depth)
        self.forks += 1
        name = self.name("v")
        for head in (f"if {self.condition(scope)}:", "else:"):
            with self.under(head, apart=False):
                inner = self.block(scope.inner(), self.number(0, 1), depth - 1)
                self.line(f"{name} = {self.expression(inner)}")
        scope.names.append(name)
        return None

    def cond(self, scope: Scope, depth: int) -> None:
        test = self.condition(scope)
        self.choice(scope, depth, lambda names: f"cond({test}, {', '.join(names)}", 2)

    def switch(self, scope: Scope, depth: int) -> None:
        index = self.whole(scope, 3)
        self.choice(
            scope, depth, lambda names: f"switch({index}, [{', '.join(names)}]", 3
        )

    def choice(
        self, scope: Scope, depth: int, call: Callable[[list[str]], str], sides: int
    ) -> None:
        """Functions of the same two arguments, and a call that chooses one."""
        form, places = self.pick(CONTAINERS)
        names = [self.name("side") for _ in range(sides)]
        operands = self.operand(scope), self.operand(scope)
        for name in names:
            with self.under(f"def {name}(p, q):", apart=False):
                inner = self.block(scope.inner("p", "q"), self.number(0, 2), depth - 1)
                made = [self.expression(inner) for _ in places]
                self.line(f"return {form.format(*made)}")
        result = self.name("c")
        self.line(f"{result} = {call(names)}, {', '.join(operands)})")
        self.found(scope, result, places)

    def checkpoint(self, scope: Scope, depth: int) -> None:
        name = self.name("part")
        with self.under(f"def {name}(p):", apart=True):
            inner = self.block(scope.inner("p"), self.number(0, 2), depth - 1)
            self.line(f"return {self.expression(inner)}")
        self.assign(scope, f"checkpoint({name})({self.operand(scope)})")

    def body(
        self,
        head: str,
        scope: Scope,
        depth: int,
        container: Container,
        *,
        updates: Sequence[Sequence[str]] = (UPDATES,) * 3,
        numbered: bool = False,
        elements: Sequence[str] = (),
        written: int | None = None,
    ) -> None:
        """A function of carried values c: the lines of one iteration.

        updates   for every carried value what may become of it
        numbered  whether there is an i, which not every body looks at
        elements  where what is read lies in x
        written   how many values are stacked, beside the carry; None: no scan
        """
        form, places = container
        inner = scope.inner()
        with self.under(f"def {head}:", apart=True):
            carried = self.found(inner, "c", places)
            if elements:
                self.found(inner, "x", elements)
            if numbered and self.number(0, 1):
                self.assign(inner, "0.3 * i")
            self.block(inner, self.number(0, 2), depth - 1)
            made = [
                self.pick(texts).format(c=c, v=self.operand(inner))
                for c, texts in zip(carried, updates, strict=False)
            ]
            result = form.format(*made)
            if written is not None:
                ys = "".join(f"{self.expression(inner)}, " for _ in range(written))
                result += f", ({ys})" if ys else ", None"
            self.line(f"return {result}")

    def start(self, scope: Scope, container: Container) -> str:
        form, places = container
        starts = [self.pick((self.operand(scope), self.constant())) for _ in places]
        return form.format(*starts)

    def repeated(self, scope: Scope, depth: int) -> None:
        """A loop of a length that is known."""
        self.forward(scope, depth, str(self.number(0, 2 + depth)), "")

    def counted(self, scope: Scope, depth: int) -> None:
        """A loop of a length that points differ in."""
        count = self.whole(scope, 2 + depth)
        self.forward(scope, depth, count, f", max_steps={BOUND}")

    def forward(self, scope: Scope, depth: int, count: str, more: str) -> None:
        container = self.pick(CONTAINERS)
        name, result = self.name("body"), self.name("c")
        self.body(f"{name}(i, c)", scope, depth, container, numbered=True)
        lower, init = self.number(0, 1), self.start(scope, container)
        self.line(f"{result} = fori_loop({lower}, {count}, {name}, {init}{more})")
        self.found(scope, result, container[1])

    def until(self, scope: Scope, depth: int) -> None:
        """A while_loop, in which something grows until it is large enough."""
        name, result = self.name("body"), self.name("c")
        self.body(f"{name}(c)", scope, depth, PAIR, updates=(UPDATES, CLOCKS))
        test = self.pick(("c[1] < 1.5371", "(c[1] < 1.5371) & (c[0] < 0.9371)"))
        init = f"({self.operand(scope)}, np.abs({self.operand(scope)}))"
        call = f"while_loop(lambda c: {test}, {name}, {init}, max_steps={BOUND})"
        self.line(f"{result} = {call}")
        self.found(scope, result, PAIR[1])

    def scan(self, scope: Scope, depth: int) -> None:
        container = self.pick(CONTAINERS)
        length, xs, elements = self.read(scope, depth)
        written = self.number(0, 2)
        name, result, ys = self.name("step"), self.name("c"), self.name("y")
        self.body(
            f"{name}(c, x)", scope, depth, container, elements=elements, written=written
        )
        reverse = self.pick((False, True))
        checkpoint = self.pick((None, "sqrt", 3, 2))
        init = self.start(scope, container)
        self.line(
            f"{result}, {ys} = scan({name}, {init}, {xs}, "
            f"reverse={reverse}, checkpoint={checkpoint!r})"
        )
        self.found(scope, result, container[1])
        for k in range(written):
            array = self.name("y")
            self.line(f"{array} = {ys}[{k}]")
            scope.arrays[array] = length
            self.assign(scope, self.pick(SUMMARIES).format(y=array))

    def read(self, scope: Scope, depth: int) -> tuple[int, str, tuple[str, ...]]:
        """What a scan reads: its length, its text, where its elements lie in x."""
        if scope.arrays and self.number(0, 1):
            name = self.pick(sorted(scope.arrays))
            return scope.arrays[name], name, ("{c}",)
        length = self.number(1, (3, 4, 6)[depth])
        steps = f"np.linspace(-0.7, 0.9, {length})"
        scalars = [self.operand(scope) for _ in range(length)]
        stack = f"np.stack([{', '.join(scalars)}])"
        kinds: tuple[tuple[str, tuple[str, ...]], ...] = (
            (f"None, {length}", ()),
            (steps, ("{c}",)),
            (stack, ("{c}",)),
            (
                f"{{'t': {steps} * {self.operand(scope)}, 'u': {stack}}}",
                ("{c}['t']", "{c}['u']"),
            ),
        )
        return length, *self.pick(kinds)


# -- programs at points --------------------------------------------------------


def structured(kind: str, most: int = 3, depth: int = 2) -> Maker[Program]:
    """Programs of a statement of a kind and up to so many more, nested to a depth."""

    def make(number: Number) -> Program:
        lines = tuple(Writing(number).program(kind, number(0, most), depth))
        return Program(lines, decided(Program(lines), number(0, 2**16)))

    return make


def decided(program: Program, seed: int) -> np.ndarray:
    """Points around which a program decides the same."""
    rng, found = np.random.default_rng(seed), []
    while len(found) < POINTS:
        x = rng.uniform(-1.5, 1.5, INPUTS)
        near = [program.path(x * (1 + s * 1e-6)) for s in (-1, 0, 1)]
        if near[0] == near[1] == near[2]:
            found.append(x)
    return np.stack(found)

"""The contract of a primitive, and the one table that finds it.

A primitive is the unit a graph is made of.  It says everything about itself in one
place: its NumPy meaning, its partial derivatives, and how it is built from smaller
ones.  `Registry` maps NumPy's own functions to what happens when they meet a tracer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jitad.process.late import bring, imported

Kind = Literal["leaf", "elementwise", "structure", "composite", "control", "access"]


@dataclass(frozen=True, slots=True)
class Steep:
    """Where a partial may be infinite: in which operand, at which number, if one alone.

    finite  whether the value is finite there; of a slope, that of its function
    """

    at: float | None = 0.0
    finite: bool = True
    operand: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Primitive:
    """One operation of a graph.

    kind      leaf         input and const
              elementwise  a scalar function, broadcast
              structure    moves elements, computes nothing
              composite    an array function that `expand` reduces to the others
              control      a loop, with graphs of its own (see `ir.loop`)
              access       reads or adds to an array at a computed place (`ir.table`)
    evaluate  (*arrays, **params) -> array: the NumPy meaning, the reference
    partials  (y, *x) -> one partial per operand, in plain NumPy; None where it is zero.
              A scalar function with no partials is differentiated through `expand`.
    expand    (*x, **params) -> y in terms of other primitives, in plain NumPy, over
              scalars (elementwise) or object arrays of scalars (composite)
    word      the machine word that computes it on every target, if there is one
    cost      weighted operations, an addition being 1
    points    operands to test it at, one tuple per point
    unknown   operands whose partial nobody has: a derivative in them is refused
    piece     (*x) -> y: of a function with kinks the one smooth piece that derivatives
              of derivatives take (see `derivatives.pieces`), told by `ahead`
    square    (*x) -> s ≥ 0 where y = √s has a kink at s = 0, in plain NumPy
    steep     where a partial may be infinite, if anywhere
    limit     (line, *types, **params): raises UnsupportedError where `expand` would
              write out too much
    """

    name: str
    kind: Kind
    evaluate: Callable[..., Any]
    partials: Callable[..., Sequence[Any]] | None = None
    expand: Callable[..., Any] | None = None
    word: str | None = None
    cost: float = 1.0
    points: tuple[tuple[float, ...], ...] = ()
    unknown: dict[int, str] = field(default_factory=dict)
    piece: Callable[..., Any] | None = None
    square: Callable[..., Any] | None = None
    steep: Steep | None = None
    limit: Callable[..., None] | None = None

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Registry:
    """What tracers know: primitives by name, and handlers by NumPy function.

    redirects holds the handlers of plain Python functions that ask no protocol; they
    take calls over while a function is traced, and only those of traced values.  So do
    the handlers of the functions in stacking, when what holds traced values is a list
    or an array of objects, of which NumPy's protocol knows nothing.

    families are modules of ours, by the library that they know the functions of: they
    wait until somebody has imported that, without which nobody can call them.  inner
    holds the primitives that no function of NumPy's is, by name: what derivatives are
    made of.
    """

    primitives: dict[str, Primitive] = field(default_factory=dict)
    inner: dict[str, Primitive] = field(default_factory=dict)
    ufuncs: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    functions: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    redirects: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    stacking: set[Any] = field(default_factory=set)
    families: dict[str, str] = field(default_factory=dict)

    def add(self, primitive: Primitive) -> Primitive:
        """Register a primitive under its name, which must be new."""
        assert primitive.name not in self.primitives, primitive.name
        self.primitives[primitive.name] = primitive
        return primitive

    def ufunc(self, ufunc: Any) -> Callable[..., Any] | None:
        """The handler of a ufunc, if there is one."""
        if ufunc not in self.ufuncs:
            self.arrived()
        return self.ufuncs.get(ufunc)

    def arrived(self) -> int:
        """Take in families whose libraries are imported by now; how many still wait."""
        for library in [k for k in self.families if imported(k)]:
            self.take_in(library)
        return len(self.families)

    def complete(self) -> None:
        """Take in all families: for who has to know every name."""
        for library in list(self.families):
            self.take_in(library)

    def take_in(self, library: str) -> None:
        """Take in a family, whether its library is imported or not."""
        room = self.families.get(library)
        if room is not None:
            # Another thread that does so, too, waits here until the module is there.
            bring(room)
            self.families.pop(library, None)

    def add_inner(self, primitive: Primitive) -> Primitive:
        """Note one that derivatives are made of; its name says all about it."""
        self.inner[primitive.name] = primitive
        return primitive

    def named(self, name: str) -> Primitive | None:
        """The primitive of this name, if it is none of the user's."""
        return self.primitives.get(name) or self.inner.get(name)


registry = Registry()

"""Calls of functions with a derivative rule of their own, as nodes.

    call   (x …) -> parts: y …
The value is a graph, and so is the rule; what computes runs the one, what
differentiates the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jitad.process.locks import cached_property

from .graph import Builder, Graph, Static, Type, scalar
from .loop import INT, control, parts_of

CALL = control("call")


@dataclass(frozen=True, eq=False)
class Custom:
    """A function and its rule.

    value    (x …) -> (y …)
    kind     jvp: the rule is  (x …, ẋ …) -> (ẏ …);  vjp:  (x …, ȳ …) -> (x̄ …);
             again: the value's own derivative, from values computed once more
    state    gives the rule's graph when it is first needed: it may call the function
    origin   tells functions apart that have the same value, but another rule
    Seeds and results of a rule belong to the floating-point x and y, in order.
    """

    name: str
    value: Graph
    kind: Literal["jvp", "vjp", "again"]
    state: Callable[[], Graph]
    origin: int

    @cached_property
    def rule(self) -> Graph:
        """The rule's graph."""
        return self.state()

    @cached_property
    def text(self) -> str:
        """Text that tells the function and its rule from others, in one line."""
        value = "; ".join(self.value.text.splitlines())
        return f"{self.name} {{{value}}} {self.kind} {self.origin}"

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Custom) and self.text == other.text

    def types(self) -> list[Type]:
        """The types of the parts."""
        return list(self.value.output_types)


def add_call(
    builder: Builder, custom: Custom, operands: Sequence[int], line: str = ""
) -> list[int]:
    """The parts of a call in a graph."""
    params = (("function", Static(custom)),)
    node = builder.add(CALL, tuple(operands), scalar(INT), params, line)
    return parts_of(builder, node, custom.types(), line)


def custom_of(node: Any) -> Custom:
    """What the node of a call calls."""
    return node.value

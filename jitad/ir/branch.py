"""Branches as nodes: values that only points under a condition need.

    branch  (condition, x …) -> parts: y … where the condition holds, else 0
The graph of its body is run for a vector of points only if one of them needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad.process.locks import cached_property

from .graph import Builder, Graph, Static, Type, scalar
from .loop import INT, control, parts_of

BRANCH = control("branch")


@dataclass(frozen=True, eq=False)
class Branch:
    """What is computed under a condition: (x …) -> (y …), scalars."""

    body: Graph

    @cached_property
    def text(self) -> str:
        """Canonical text, in one line."""
        return f"{{{'; '.join(self.body.text.splitlines())}}}"

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Branch) and self.text == other.text

    def types(self) -> list[Type]:
        """The types of the parts."""
        return list(self.body.output_types)


def branch_of(node: Any) -> Branch:
    """What the node of a branch computes."""
    return node.value


def add_branch(builder: Builder, branch: Branch, operands: Sequence[int]) -> list[int]:
    """The parts of a branch in a graph; the first operand is the condition."""
    params = (("where", Static(branch)),)
    node = builder.add(BRANCH, tuple(operands), scalar(INT), params)
    return parts_of(builder, node, branch.types())


def take(
    branch: Branch,
    operands: Sequence[Any],
    evaluate: Callable[[Graph, Sequence[Any]], list[Any]],
) -> list[Any]:
    """The parts, by computing them everywhere."""
    condition, *inputs = operands
    return [
        np.where(condition, y, np.zeros((), y.dtype))
        for y in evaluate(branch.body, inputs)
    ]

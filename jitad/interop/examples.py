"""A function and examples of its arguments: what is compiled for other people's code.

Start at `prepared`, which checks them for the transformation of a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jitad import tree
from jitad.api import jit
from jitad.calls.function import Function
from jitad.calls.names import argument_names, original
from jitad.errors import InputError
from jitad.ir.graph import COMPUTED, DTYPES
from jitad.ir.source import source_line
from jitad.ir.trace import Input
from jitad.ir.tracer import traced
from jitad.plan.derived import Derived


@dataclass(frozen=True, slots=True)
class Example:
    """A function, with examples of its arguments: numbers and arrays.

    wanted  the name of what is asked for, as "njit"
    """

    wanted: str
    function: Function
    names: list[str]
    spec: tree.PyTreeSpec
    leaves: list[Any]

    def derived(self, inputs: tuple[Input, ...]) -> Derived:
        """What is computed of one point, if it depends on the arguments alone."""
        derived = self.function.derived(self.spec, inputs)
        if derived.captured:
            raise InputError(
                f"{self.wanted}: {self.function.name} uses a traced value "
                f"({source_line()}); expected a function of its arguments alone: call "
                f"jitad.{self.wanted} outside of functions"
            )
        return derived

    def kind(self, name: str, value: Any) -> tuple[np.dtype, tuple[int, ...] | None]:
        """The dtype of an argument or result, and its shape if it is an array."""
        array = np.asarray(value)
        if array.dtype not in DTYPES or not array.dtype.isnative:
            raise InputError(
                f"{self.wanted}: argument {name} of {self.function.name} has dtype "
                f"{array.dtype.str} ({source_line()}); expected native "
                f"{COMPUTED}, as kernels read: convert with astype"
            )
        return array.dtype, array.shape if isinstance(value, np.ndarray) else None


def prepared(wanted: str, function: Callable[..., Any], args: Sequence[Any]) -> Example:
    """The function and its examples; InputError for containers and traced values."""
    wrapped = function if isinstance(function, Function) else jit(function)
    if traced(args):
        raise InputError(
            f"{wanted}: an argument is a traced value ({source_line()}); expected "
            f"examples of the arguments: call jitad.{wanted} outside of the function, "
            "once"
        )
    leaves, spec = tree.flatten((tuple(args), {}))
    names = argument_names(original(wrapped), args, {})
    if len(leaves) != len(args) or tree.flatten((tuple(leaves), {}))[1] != spec:
        raise InputError(
            f"{wanted}: {wrapped.name} takes {', '.join(names)} ({source_line()}); "
            "expected arguments that are numbers or arrays, not containers of them: "
            "unpack them, in a function of the parts"
        )
    return Example(wanted, wrapped, names, spec, leaves)

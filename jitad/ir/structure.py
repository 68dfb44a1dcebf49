"""Applying a structure: one NumPy call, made on whatever stands for its operands.

`bind_structure` takes the call's arguments apart into operands and the rest, makes
the call on stand-ins to learn shapes and views, and adds the node.  The same call is
made again wherever the graph is evaluated or scalarized.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .graph import Slot, Static, Type
from .primitive import Primitive
from .tracer import Tracer, as_tracer, innermost, lift, traced

Call = tuple[Any, dict[str, Any]]


def split_operands(value: Any, operands: list[Any]) -> Any:
    """Replace traced values inside arguments by slots, collecting them.

    What is left is a copy of its own, so that no later write can change it.
    """
    if isinstance(value, Tracer):
        operands.append(value)
        return Slot(len(operands) - 1)
    if isinstance(value, np.ndarray):
        if value.dtype == object and traced(value):
            operands.append(value)
            return Slot(len(operands) - 1)
        return value.copy()
    if isinstance(value, list | tuple):
        parts = [split_operands(v, operands) for v in value]
        return parts if type(value) is list and not traced(value) else tuple(parts)
    return value


def fill_slots(value: Any, operands: Sequence[Any]) -> Any:
    """The inverse of split_operands."""
    if isinstance(value, Slot):
        return operands[value.index]
    if type(value) is tuple:
        return tuple([fill_slots(v, operands) for v in value])
    return value


def fill_call(call: Call, operands: Sequence[Any]) -> tuple[tuple, dict[str, Any]]:
    """The arguments of a structure's NumPy call, with operands in their places."""
    args, kwargs = call
    filled = {k: fill_slots(v, operands) for k, v in kwargs.items()}
    return fill_slots(args, operands), filled


def bind_structure(
    primitive: Primitive, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Apply a structure: a traced array, or several where NumPy's call gives several.

    Of one traced operand the result may be a view; NumPy's call on its stand-in tells.
    """
    operands: list[Any] = []
    call: Call = (
        split_operands(args, operands),
        {k: split_operands(v, operands) for k, v in kwargs.items()},
    )
    trace = innermost(operands)
    tracers = [o if isinstance(o, Tracer) else as_tracer(trace, o) for o in operands]
    stand_ins = [t.stand_in() for t in tracers]
    result = primitive.evaluate(*stand_ins, call=call)
    several = isinstance(result, list | tuple)
    dtype = np.result_type(*[t.dtype for t in tracers])
    indices = tuple([lift(trace, t, dtype) for t in tracers])
    line = trace.line()
    made = []
    for part, piece in enumerate(result if several else [result]):
        params = (("call", Static(call)), *((("part", part),) if several else ()))
        type = Type(dtype, np.shape(piece))
        tracer = Tracer(trace, trace.add(primitive, indices, type, params, line), type)
        if len(tracers) == 1:
            again = _again(primitive, call, part if several else None)
            tracer.adopt_view(piece, tracers[0], stand_ins[0], again)
        else:
            tracer.adopt(piece)
        made.append(tracer)
    if not several:
        return made[0]
    return made if isinstance(result, list) else tuple(made)


def _again(primitive: Primitive, call: Call, part: int | None) -> Any:
    """The call that made a view, to be made on its parent's later value."""

    def again(parent: Any) -> Any:
        result = bind_structure(primitive, *fill_call(call, [parent]))
        return result if part is None else result[part]

    return again

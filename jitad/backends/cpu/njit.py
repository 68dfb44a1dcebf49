"""A kernel as a function for the user's own @njit code: no Python object is touched.

`compile` makes it of an Executable and what its arguments and results are.  Every call
fills a launch block of its own on the stack, so threads may call at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ir
import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.registry import cpu_target
from numba.core.typing.templates import signature
from numba.extending import intrinsic
from numba.np import arrayobj
from numba.np.numpy_support import from_dtype

from jitad.process.late import bring, importing

from .executable import Executable

_WORD = ir.IntType(64)
_BYTES = ir.IntType(8).as_pointer()
_ENTRY = ir.FunctionType(ir.VoidType(), [_BYTES, _WORD, _WORD])
# What Numba imports, beside its registries, when it first compiles a call.
_IMPORTED = "numba.core.boxing", "numba.core.runtime.context"


# What Numba has compiled calls of: it never frees that, so these have to stay.
_called: list[Launch] = []


@dataclass(frozen=True, slots=True)
class Place:
    """An argument or a result: an array in C order, or a number where shape is None.

    word  where the launch block has its address; None if nothing is there to be read
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...] | None
    word: int | None

    def __str__(self) -> str:
        extents = ",".join(map(str, self.shape or ()))
        return str(self.dtype) if self.shape is None else f"{self.dtype}[{extents}]"

    @property
    def type(self) -> types.Type:
        """Numba's type of what is passed."""
        scalar = from_dtype(self.dtype)
        if self.shape is None:
            return scalar
        return types.Array(scalar, len(self.shape), "C")


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel, and the block by which it is started; None where nothing is computed.

    block  its addresses still to be filled in
    lanes  how many to run
    words  number of an argument, or result after them -> where its address goes
    kept   what must live as long as the block
    """

    executable: Executable | None
    block: np.ndarray
    lanes: int
    words: Mapping[int, int]
    kept: Any = None


@dataclass(frozen=True, slots=True)
class Routine:
    """Everything a call needs to know.

    structure  what to return: the number of a result, or a nested tuple of numbers
    """

    name: str
    launch: Launch
    arguments: tuple[Place, ...]
    results: tuple[Place, ...]
    structure: Any

    def __reduce__(self) -> Any:
        raise TypeError(
            f"{self.name}: machine code of this process cannot be sent to another or "
            "kept in a file; leave out cache=True, or call jitad.njit where it is used"
        )


def compile(routine: Routine) -> Callable[..., Any]:
    """An @njit function (*arguments) -> results, for Python and for @njit code."""
    with importing:
        contexts: Any = cpu_target
        contexts.typing_context.refresh()
        contexts.target_context.refresh()
        for name in _IMPORTED:
            bring(name)

    @intrinsic
    def run(typingctx: Any, args: Any) -> Any:
        return _typed(routine, args)

    def call(*args: Any) -> Any:
        return run(args)  # type: ignore[call-arg]

    call.__name__ = call.__qualname__ = routine.name
    return numba.njit(nogil=True)(call)


def _typed(routine: Routine, args: Any) -> tuple[Any, Any]:
    """The signature for a tuple of arguments, and what writes the call."""
    expected = ", ".join(f"{p.name}: {p}" for p in routine.arguments)
    if len(args) != len(routine.arguments):
        raise TypingError(
            f"{routine.name} got {len(args)} arguments; expected ({expected})"
        )
    for place, given in zip(routine.arguments, args, strict=True):
        _check_type(routine, place, types.unliteral(given))
    returned = _nested(
        routine.structure,
        [p.type for p in routine.results],
        types.BaseTuple.from_types,
    )

    def write(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        return _Writer(routine, context, builder).call(sig, values)

    return signature(returned, args), write


def _check_type(routine: Routine, place: Place, given: Any) -> None:
    wanted = place.type
    fits = given == wanted
    if isinstance(given, types.Array) and isinstance(wanted, types.Array):
        fits = (
            (given.dtype, given.ndim, given.layout) == (wanted.dtype, wanted.ndim, "C")
            and given.aligned
        )  # fmt: skip
    if not fits:
        order = "" if place.shape is None else ", in C order"
        remedy = "convert it, or compile for arguments of that type"
        if isinstance(given, types.Array) and given.layout != "C":
            remedy = "pass np.ascontiguousarray(x)"
        raise TypingError(
            f"{routine.name}: argument {place.name} is {given}; expected "
            f"{place}{order}: {remedy}"
        )


def _nested(structure: Any, leaves: Sequence[Any], pack: Callable[..., Any]) -> Any:
    """Leaves in a nested tuple of their numbers, every tuple made by pack."""
    if isinstance(structure, tuple):
        return pack(tuple([_nested(part, leaves, pack) for part in structure]))
    return leaves[structure]


class _Writer:
    """The LLVM code of one call."""

    def __init__(self, routine: Routine, context: Any, builder: Any) -> None:
        self.routine, self.context, self.builder = routine, context, builder
        self.addresses: dict[int, Any] = {}

    def call(self, sig: Any, values: Sequence[Any]) -> Any:
        """Check shapes, make the results, fill the block and run the kernel."""
        routine, given = self.routine, sig.args[0]
        parts = cgutils.unpack_tuple(self.builder, values[0], len(given))
        for place, type, value in zip(routine.arguments, given, parts, strict=True):
            self.argument(place, type, value)
        made = [self.result(place) for place in routine.results]
        if routine.launch.executable is not None:
            self.run(routine.launch.executable)
        loaded = [read() for read in made]
        return self.packed(routine.structure, sig.return_type, loaded)

    def argument(self, place: Place, type: Any, value: Any) -> None:
        """Note where an argument lies, if it is of the right shape."""
        if place.shape is None:
            data = self.context.data_model_manager[type].as_data(self.builder, value)
            slot = cgutils.alloca_once_value(self.builder, data)
            self.note(place, slot)
            return
        array = self.context.make_array(type)(self.context, self.builder, value)
        extents = cgutils.unpack_tuple(self.builder, array.shape, type.ndim)
        for got, wanted in zip(extents, place.shape, strict=True):
            other = self.builder.icmp_signed("!=", got, ir.Constant(got.type, wanted))
            with self.builder.if_then(other, likely=False):
                text = (
                    f"{self.routine.name}: argument {place.name} has another shape "
                    f"than {place}, which it is compiled for; call jitad.njit with an "
                    "example of that shape"
                )
                self.context.call_conv.return_user_exc(
                    self.builder, ValueError, (text,)
                )
        self.note(place, array.data)

    def result(self, place: Place) -> Callable[[], Any]:
        """Make room for a result; what reads it once the kernel has run."""
        if place.shape is not None:
            extents = [ir.Constant(_WORD, n) for n in place.shape]
            array = arrayobj._empty_nd_impl(
                self.context, self.builder, place.type, extents
            )
            self.note(place, array.data)
            return array._getvalue
        model = self.context.data_model_manager[place.type]
        slot = cgutils.alloca_once(self.builder, model.get_data_type())
        self.note(place, slot)
        return lambda: model.from_data(self.builder, self.builder.load(slot))

    def note(self, place: Place, pointer: Any) -> None:
        if place.word is not None:
            self.addresses[place.word] = self.builder.ptrtoint(pointer, _WORD)

    def run(self, executable: Executable) -> None:
        """Fill a block on the stack, and call the kernel on all lanes."""
        _called.append(self.routine.launch)
        builder, words = self.builder, self.routine.launch.block.tolist()
        block = cgutils.alloca_once(builder, _WORD, size=len(words))
        for k, word in enumerate(words):
            value = self.addresses.get(k, ir.Constant(_WORD, word))
            place = builder.gep(block, [ir.Constant(ir.IntType(32), k)])
            builder.store(value, place)
        # A dynamic address: Numba then keeps the code out of its cache on disk.
        entry = self.context.add_dynamic_addr(
            builder, executable.address, "jitad kernel"
        )
        function = builder.bitcast(entry, _ENTRY.as_pointer())
        lo, hi = ir.Constant(_WORD, 0), ir.Constant(_WORD, self.routine.launch.lanes)
        builder.call(function, [builder.bitcast(block, _BYTES), lo, hi])

    def packed(self, structure: Any, type: Any, leaves: Sequence[Any]) -> Any:
        """The results in the tuples that are to be returned."""
        if not isinstance(structure, tuple):
            return leaves[structure]
        pairs = zip(structure, type.types, strict=True)
        values = [self.packed(part, inner, leaves) for part, inner in pairs]
        return self.context.make_tuple(self.builder, type, values)

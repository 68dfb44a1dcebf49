"""A function in CUDA C for the user's own kernels in Numba, which are linked with it.

`compile` makes it of a Routine: Numba writes a call of a foreign function, by C's
conventions.  Numba's CUDA is imported here, when it is first needed: the target that
comes with Numba, or the package numba-cuda, which takes its place.
"""

from __future__ import annotations

import hashlib
import inspect
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.core.typing.templates import signature

from jitad.backends.cpu.njit import Place
from jitad.lowering.cuda.device_function import strided
from jitad.lowering.kernel import Kernel, Kernels

from . import device_words, nvrtc
from .best_order import AsCards, chosen
from .card import DeviceError
from .executable import Maker

# For cards of this kind orders are compared: what they need is much the same on all.
_TYPICAL = (9, 0)
_ADDRESS = ir.IntType(8).as_pointer()


@dataclass(frozen=True, slots=True)
class Ordered:
    """A kernel in the order that was chosen."""

    kernel: Kernel
    compile_seconds: float


@dataclass(frozen=True, slots=True)
class AnyCard(AsCards):
    """Cards of any kind, as what kernels are ordered for; make: CUDA C -> code."""

    make: Maker = device_words.compiled

    def compile(
        self, kernels: Kernels, name: bytes | None, extents: Sequence[int]
    ) -> Ordered:
        """The kernel that suits a card best."""
        del name, extents  # it is the caller that compiles
        start = time.perf_counter()
        best = chosen(
            kernels(),
            lambda text, _: self.make(text, _TYPICAL),
            _TYPICAL,
            limits=(None,),
        )
        return Ordered(best.kernel, time.perf_counter() - start)


ANY_CARD = AnyCard()


@dataclass(frozen=True, slots=True)
class Routine:
    """A function in CUDA C, as `device_function` prints it, and its parameters.

    A place whose word is None is no parameter: nothing of it is read or written.
    """

    name: str
    symbol: str
    text: str
    arguments: tuple[Place, ...]
    results: tuple[Place, ...]

    @property
    def places(self) -> tuple[Place, ...]:
        """What is given in a call: the arguments, then results that are arrays."""
        written = [p for p in self.results if p.shape is not None]
        return (*self.arguments, *written)


def compile(routine: Routine) -> Any:
    """A device function (*arguments, *arrays) -> numbers, and link for its kernels.

    Raises DeviceError where there is no Numba for CUDA, CompilerError without NVRTC.
    """
    cuda, intrinsic = _numba_cuda()
    codes = _codes(routine)
    linked = [_source(cuda, code) for code in codes] if _knows_sources(cuda) else []

    def call(typingctx: Any, *args: Any) -> Any:
        return _typed(routine, linked, args)

    call.__name__ = call.__qualname__ = routine.name
    names = ("typingctx", *(f"a{k}" for k in range(len(routine.places))))
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, either) for name in names]
    vars(call)["__signature__"] = inspect.Signature(parameters)
    made = intrinsic(call)
    made.link = [] if linked else [_file(code) for code in codes]
    return made


def _codes(routine: Routine) -> list[str]:
    """The PTX of a function, then of what it calls."""
    text, twins = device_words.linked(routine.text)
    return [_compiled(routine.symbol, text), *device_words.parts(twins)]


def _typed(
    routine: Routine, linked: Sequence[Any], args: Sequence[Any]
) -> tuple[Any, Any]:
    """The signature for arguments, and what writes the call."""
    places = routine.places
    if len(args) != len(places):
        expected = ", ".join(f"{p.name}: {p}" for p in places)
        raise TypingError(
            f"{routine.name} got {len(args)} arguments; expected ({expected})"
        )
    count = len(routine.arguments)
    for k, (place, given) in enumerate(zip(places, args, strict=True)):
        _check_type(routine, place, types.unliteral(given), written=k >= count)
    numbers = [p.type for p in routine.results if p.shape is None]
    returned: Any = types.BaseTuple.from_types(numbers) if numbers else types.none
    if len(numbers) == 1:
        returned = numbers[0]

    def write(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        for source in linked:
            context.active_code_library.add_linking_file(source)
        return _Writer(routine, context, builder).call(sig, values)

    return signature(returned, *args), write


def _check_type(routine: Routine, place: Place, given: Any, *, written: bool) -> None:
    wanted = place.type
    fits = given == wanted
    if isinstance(given, types.Array) and isinstance(wanted, types.Array):
        fits = (given.dtype, given.ndim) == (wanted.dtype, wanted.ndim)
        fits = fits and given.aligned and (given.mutable or not written)
    if not fits:
        what = "result" if written else "argument"
        able = " that can be written" if written else ""
        raise TypingError(
            f"{routine.name}: {what} {place.name} is {given}; expected {place}{able}: "
            "convert it, or compile for arguments of that type"
        )


class _Writer:
    """The LLVM code of one call."""

    def __init__(self, routine: Routine, context: Any, builder: Any) -> None:
        self.routine, self.context, self.builder = routine, context, builder

    def call(self, sig: Any, values: Sequence[Any]) -> Any:
        """Check shapes, make room for numbers, and call the function."""
        builder, routine = self.builder, self.routine
        arrays = [t for t in sig.args if isinstance(t, types.Array)]
        apart = any(t.layout != "C" for t in arrays)
        given = iter(zip(sig.args, values, strict=True))
        passed, slots = [], []
        for place in (*routine.arguments, *routine.results):
            if place in routine.places:
                own = self.given(place, *next(given), apart=apart)
            else:
                model = self.context.data_model_manager[place.type]
                slot = cgutils.alloca_once(builder, model.get_data_type())
                slots.append((model, slot))
                own = [builder.bitcast(slot, _ADDRESS)]
            passed += own if place.word is not None else []
        symbol = strided(routine.symbol) if apart else routine.symbol
        kind = ir.FunctionType(ir.VoidType(), [value.type for value in passed])
        function = cgutils.get_or_insert_function(builder.module, kind, symbol)
        builder.call(function, passed)
        numbers = [model.from_data(builder, builder.load(s)) for model, s in slots]
        if len(numbers) > 1:
            return self.context.make_tuple(builder, sig.return_type, numbers)
        return numbers[0] if numbers else self.context.get_dummy_value()

    def given(self, place: Place, type: Any, value: Any, *, apart: bool) -> list[Any]:
        """A number, or an address and strides if they are apart, of the right shape."""
        if place.shape is None:
            if place.dtype.itemsize >= 4:
                return [value]
            signed = place.dtype.kind == "i"
            extend = self.builder.sext if signed else self.builder.zext
            return [extend(value, ir.IntType(32))]
        array = self.context.make_array(type)(self.context, self.builder, value)
        self.check_shape(place, cgutils.unpack_tuple(self.builder, array.shape))
        strides = cgutils.unpack_tuple(self.builder, array.strides) if apart else []
        return [self.builder.bitcast(array.data, _ADDRESS), *strides]

    def check_shape(self, place: Place, extents: Sequence[Any]) -> None:
        """Leave with ValueError if an array has another shape."""
        assert place.shape is not None
        # In numba-cuda a function has a convention, in Numba all have that of a target.
        context = self.context
        convention = getattr(context.fndesc, "call_conv", None) or context.call_conv
        text = (
            f"{self.routine.name}: {place.name} has another shape than {place}, which "
            "it is compiled for; call jitad.cuda_device with an example of that shape"
        )
        for got, wanted in zip(extents, place.shape, strict=True):
            other = self.builder.icmp_signed("!=", got, ir.Constant(got.type, wanted))
            with self.builder.if_then(other, likely=False):
                convention.return_user_exc(self.builder, ValueError, (text,))


# -- Numba's CUDA --------------------------------------------------------------


def _numba_cuda() -> tuple[Any, Any]:
    """Numba's CUDA, and what makes a function whose calls we write."""
    try:
        import numba.cuda
        import numba.cuda.extending
    except (ImportError, AttributeError) as error:  # by what is too old for the other
        raise DeviceError(
            f"expected Numba's CUDA, to call a function from its kernels ({error}); "
            "install one that fits: pip install numba-cuda"
        ) from error
    return numba.cuda, numba.cuda.extending.intrinsic


def _knows_sources(cuda: Any) -> bool:
    """Whether a function can say itself what its callers are linked with."""
    return hasattr(cuda, "PTXSource")


@cache
def _compiled(symbol: str, text: str) -> str:
    return nvrtc.compile_ptx(text, nvrtc.PORTABLE, relocatable=True)


@cache
def _source(cuda: Any, code: str) -> Any:
    """The same object for the same code, which must be linked once only."""
    return cuda.PTXSource(code.encode(), name=_digest(code))


@cache
def _file(code: str) -> str:
    """A file of the code, for as long as this process lives."""
    path = Path(_folder().name) / f"{_digest(code)}.ptx"
    path.write_text(code)
    return str(path)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jitad-")

"""Scalar functions that the user compiled with Numba, for kernels on GPUs to call.

What Numba made of a function for the host is LLVM's text, which becomes that of a GPU:
so it computes, and raises, as on the host, but for the mathematical functions, which
are CUDA's.  Start at `compiled`: CUDA C that calls functions by `words.symbol`
becomes machine code that is linked with them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import llvmlite.binding as llvm
from numba.core.compiler_lock import global_compiler_lock

from jitad.backends.cpu import scalars
from jitad.errors import UnsupportedError

from . import cubins, nvjitlink, nvrtc
from .nvrtc import Capability, Cubin

NAME = "jitad_function"

# Functions that C++ has, by the names that LLVM and Numba have for those of doubles.
_FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        **{
            name: name
            for name in (
                *("acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt"),
                *("ceil", "copysign", "cos", "cosh", "erf", "erfc", "exp", "exp10"),
                *("exp2", "expm1", "fabs", "floor", "fmod", "frexp", "hypot", "ldexp"),
                *("lgamma", "log", "log10", "log1p", "log2", "nextafter", "pow"),
                *("rint", "round", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"),
            )
        },
        **{"gamma": "tgamma", "powi": "pow"},
    }
)
_C_TYPES = {"double": "double", "float": "float", "i32": "int", "ptr": "int *"}
# What else LLVM declares becomes instructions.
_INSTRUCTION = re.compile(
    r"llvm\.(abs|assume|bitreverse|bswap|ceil|copysign|ctlz|ctpop|cttz|expect|fabs"
    r"|floor|fma|fmuladd|fsh[lr]|lifetime|maximum|maxnum|mem(cpy|move|set)|minimum"
    r"|minnum|nearbyint|rint|roundeven|[su](add|mul|sub)\.(sat|with)|[su]max|[su]min"
    r"|sqrt|trunc|experimental\.noalias|vector\.reduce)\."
)
_OPERAND = r'(%"[^"]*"|[^\s,]+)'
_REMAINDER = re.compile(rf"= frem (?:\w+ )*?(double|float) {_OPERAND}, {_OPERAND}")
_WHOLE = re.compile(rf"= fptosi (double|float) {_OPERAND} to (i32|i64)\b")
_DEFINED = re.compile(r"^(define .*?)((?: #\d+)?(?: !dbg !\d+)? \{)$", re.M)
_DECLARED = re.compile(r"^(declare .*?(\w+) @([\w.]+)\((.*?)\).*\n)", re.M)
_CALLED = re.compile(r'extern "C" __device__ \w+ (own_\w+)\(')

_REMAINDERS = """
declare double @fmod.double(double, double)
declare float @fmod.float(float, float)
"""

# What does not fit becomes the least integer, as on the host, and in kernels.
_WHOLES = [
    f"""\
define internal i{bits} @whole.{kind}.i{bits}({kind} %x) alwaysinline {{
  %size = call {kind} @llvm.fabs.{short}({kind} %x)
  %fits = fcmp olt {kind} %size, {limit}
  %whole = fptosi {kind} %x to i{bits}
  %y = select i1 %fits, i{bits} %whole, i{bits} {-(2 ** (bits - 1))}
  ret i{bits} %y
}}"""
    for kind, short in (("double", "f64"), ("float", "f32"))
    for bits, limit in ((32, "0x41E0000000000000"), (64, "0x43E0000000000000"))
]


@dataclass(frozen=True, slots=True)
class Twin:
    """A function of numbers for GPUs, NaN where that on the host raises.

    symbol  its name, a digest of what it is
    calls   the functions that it calls, each in CUDA C
    """

    symbol: str
    ptx: str
    calls: tuple[str, ...]


def compiled(
    text: str, capability: Capability, *, registers: int | None = None
) -> Cubin:
    """As `cubins.compiled`, of CUDA C that may call functions that Numba compiled.

    Raises UnsupportedError for a function that no GPU can have.
    """
    whole, twins = linked(text)
    if not twins:
        return cubins.compiled(text, capability, registers=registers)

    def compile(text: str, capability: Capability, *, registers: int | None) -> Cubin:
        capability = nvrtc.known(capability)
        own = nvrtc.compile_ptx(text, capability, relocatable=True)
        return nvjitlink.link([own, *parts(twins)], capability, registers=registers)

    return cubins.compiled(
        whole, capability, registers=registers, compile=compile, version=_version
    )


def linked(text: str) -> tuple[str, list[Twin]]:
    """CUDA C whose functions go by digests of what they are, and these functions."""
    twins: dict[str, Twin] = {}
    for symbol in dict.fromkeys(_CALLED.findall(text)):
        name, number, dtype = symbol.removeprefix("own_").rsplit("_", 2)
        twins[symbol] = _twin(f"{name}.{number}", dtype)
        text = re.sub(rf"\b{symbol}\b", twins[symbol].symbol, text)
    return text, list(dict.fromkeys(twins.values()))


def parts(twins: Sequence[Twin]) -> list[str]:
    """The PTX that what calls these functions is linked with, more than once or not."""
    calls = dict.fromkeys(call for twin in twins for call in twin.calls)
    return [*(twin.ptx for twin in twins), *map(_called, calls)]


@cache
def _called(text: str) -> str:
    ptx = nvrtc.compile_ptx(text, nvrtc.PORTABLE, relocatable=True)
    return ptx.replace(".visible .func", ".weak .func")


def _version() -> tuple[int, ...]:
    return *nvrtc.version(), *nvjitlink.version()


@global_compiler_lock
@cache
def _twin(word: str, dtype: str) -> Twin:
    code, calls = translated(word, dtype)
    # Comments count calls, of functions before it too.
    ptx = re.sub("//.*", "", _machine().emit_assembly(llvm.parse_assembly(code)))
    symbol = f"jitad_{hashlib.sha256(ptx.encode()).hexdigest()[:24]}"
    return Twin(symbol, ptx.replace(NAME, symbol), calls)


def translated(word: str, dtype: str) -> tuple[str, tuple[str, ...]]:
    """The LLVM text of a function for GPUs, by the name NAME, and what it calls.

    Raises UnsupportedError for what no GPU can have.
    """
    result = scalars.native(word, dtype)
    text, calls = _with_calls(result.library.get_llvm_str())
    lane = scalars.lane(NAME, result, f'@"{result.fndesc.llvm_func_name}"', dtype)
    machine = _machine()
    module = llvm.parse_assembly("\n".join([text, lane]))
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    _optimize(module, machine)
    left = [v.name for v in module.functions if v.is_declaration]
    _check(word, module, [name for name in left if name not in calls])
    return str(module), tuple([calls[name] for name in left if name in calls])


def _optimize(module: llvm.ModuleRef, machine: llvm.TargetMachine) -> None:
    """Inline into the one function all but what calls itself; remove the rest."""
    for value in (*module.functions, *module.global_variables):
        if not value.is_declaration:
            value.linkage = "internal"
    # As often as it is linked with, it is there once.
    module.get_function(NAME).linkage = "weak_odr"
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = False
    builder = llvm.create_pass_builder(machine, tuning)
    builder.getModulePassManager().run(module, builder)


def _with_calls(text: str) -> tuple[str, dict[str, str]]:
    """LLVM text that calls functions of kernels, and these by name, in CUDA C."""
    text = re.sub(r"(?m)^(attributes .*)\bnoinline\b", r"\1cold", text)
    text = _DEFINED.sub(r"\1 alwaysinline\2", text)
    text = _REMAINDER.sub(r"= call \1 @fmod.\1(\1 \2, \1 \3)", text)
    text = _WHOLE.sub(r"= call \3 @whole.\1.\3(\1 \2)", text)
    declared, calls = {}, {}
    for line, kind, name, given in _DECLARED.findall(text + _REMAINDERS):
        types = [part.partition(" ")[0] for part in given.split(", ")]
        base = re.sub(r"^(llvm\.|numba_)|\.(f64|f32|i32|double|float)\b", "", name)
        base = base if base in _FUNCTIONS else base.removesuffix("f")
        if (
            base not in _FUNCTIONS
            or _INSTRUCTION.match(name)
            or not _C_TYPES.keys() >= {kind, *types}
        ):
            continue
        suffix = "f" if kind == "float" else ""
        symbol = f"jitad_{base}{suffix}"
        text = text.replace(line, "").replace(f"@{name}(", f"@{symbol}(")
        # What it reads and writes at most are its arguments.
        pure = "nounwind willreturn memory(argmem: readwrite)"
        declared[symbol] = f"declare {kind} @{symbol}({', '.join(types)}) {pure}"
        parameters = ", ".join([f"{_C_TYPES[t]} x{k}" for k, t in enumerate(types)])
        numbers = ", ".join([f"x{k}" for k in range(len(types))])
        value = f"{_FUNCTIONS[base]}{suffix}({numbers})"
        calls[symbol] = (
            f'extern "C" __device__ {kind} {symbol}({parameters}) {{ '
            f"return {value}; }}\n"
        )
    return "\n".join([text, *_WHOLES, *declared.values()]), calls


def _check(word: str, module: llvm.ModuleRef, left: Sequence[str]) -> None:
    """Raise UnsupportedError for what no GPU has."""
    missing = [name for name in left if not _INSTRUCTION.match(name)]
    missing += [v.name for v in module.global_variables if v.is_declaration]
    code = str(module)
    if sum(not function.is_declaration for function in module.functions) > 1:
        missing.append("room for calls of itself")
    if "inttoptr" in code:
        missing.append("an array, or a function, at an address of the host")
    if " frem " in code:
        missing.append("remainders of vectors")
    if missing:
        raise UnsupportedError(
            f"{word.partition('.')[0]}: a GPU cannot have what Numba compiled: it "
            f"needs {', '.join(missing)}; expected a function of numbers that makes no "
            "arrays or other objects and prints nothing, whose arrays are global "
            "constants of at most 1 MB: change it, state its value in NumPy terms, or "
            "run it on the CPU"
        )


def _machine() -> llvm.TargetMachine:
    try:
        _initialized()
        target = llvm.Target.from_triple("nvptx64-nvidia-cuda")
    except RuntimeError as error:
        raise UnsupportedError(
            f"this LLVM writes no code for GPUs ({error}); expected llvmlite as "
            "distributed by Numba: pip install llvmlite"
        ) from error
    major, minor = nvrtc.PORTABLE
    return target.create_target_machine(cpu=f"sm_{major}{minor}", opt=3)


@cache
def _initialized() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()

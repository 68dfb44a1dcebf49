"""Functions on vectors that a kernel calls: declared, or defined around scalar ones.

A word that is no instruction becomes a call.  The target names a vector function for
it, or a C function that a helper calls lane by lane, or a NumPy inner loop that a
helper runs over the lanes.  Helpers are printed once per kernel, but series are once in
a process where code is made quickly (`without_series`).
"""

from __future__ import annotations

import re

import numpy as np

from jitad.errors import UnsupportedError

from .series import METADATA, exponential, sine
from .staging import QUICK
from .target import Target, register_type, value_type

# Words that can be computed in place of a call.  A kernel does so where they are a good
# part of it, and not so many that its body is compiled slowly: with 48 uses of `exp` it
# took 2.5 times as long, with 50 of `cos` 4.6 times, to run a sixth faster.
_SERIES = frozenset(
    {("exp", "float64"), ("exp", "float32"), ("sin", "float64"), ("cos", "float64")}
)
_MOST_INLINE = 40
_PART = 20
# How functions are called that compute a series, and where a text defines one, and what
# it calls far from 0.
SERIES = "series."
_NAMED = re.compile(r"series\.(\w+)\.v(\d+)f(\d+)")
_DEFINED = re.compile(
    rf"\ndefine internal (<[^>]*>) @({_NAMED.pattern})(\.far)?\(.*?\n\}}(?=\n)",
    re.DOTALL,
)


class Calls:
    """The functions a kernel needs: their declarations and helper definitions."""

    def __init__(self, target: Target, width: int) -> None:
        self.target = target
        self.width = width
        self.declarations: dict[str, str] = {}
        self.helpers: dict[str, str] = {}
        self._series: dict[str, str] = {}
        self._intrinsics: dict[tuple[str, int, np.dtype, int], str] = {}
        self._symbols: dict[tuple[str, np.dtype], str] = {}
        self._uses = 0

    def texts(self, operations: int) -> list[str]:
        """Declarations and definitions of what a body of operations asked for."""
        fits = operations <= _PART * self._uses <= _PART * _MOST_INLINE
        inline = "alwaysinline" if fits else "noinline"
        series = [text.format(inline=inline) for text in self._series.values()]
        return [*self.declarations.values(), *self.helpers.values(), *series]

    def declare(self, symbol: str, text: str) -> None:
        """Note a function that is defined elsewhere."""
        self.declarations[symbol] = text

    def intrinsic(
        self, function: str, arity: int, dtype: np.dtype, flags: int = 0
    ) -> str:
        """The symbol of an LLVM intrinsic on values of dtype, with i1 flags last."""
        asked = (function, arity, dtype, flags)
        found = self._intrinsics.get(asked)
        if found is not None:
            return found
        kind = "f" if dtype.kind == "f" else "i"
        lanes = "" if self.width == 1 else f"v{self.width}"
        symbol = f"@llvm.{function}.{lanes}{kind}{8 * dtype.itemsize}"
        self._intrinsics[asked] = symbol
        kept = value_type(dtype, self.width)
        types = ", ".join([kept] * arity + ["i1"] * flags)
        self.declare(symbol, f"declare {kept} {symbol}({types})")
        return symbol

    def function(self, word: str, arity: int, dtype: np.dtype) -> str:
        """The symbol of `word` on vectors of dtype; declares or defines it if new."""
        found = self._symbols.get((word, dtype))
        if found is None:
            found = self._symbols[word, dtype] = self._function(word, arity, dtype)
        elif found in self._series:
            self._uses += 1
        return found

    def _function(self, word: str, arity: int, dtype: np.dtype) -> str:
        """The same, of one that nothing has asked for yet."""
        key = (word, dtype.name)
        symbol = f"@{word}.{dtype.name}"
        if self.target.fused and self.width > 1 and key in _SERIES:
            symbol = f"@{SERIES}{word}.v{self.width}f{8 * dtype.itemsize}"
            self._uses += 1
            self._series[symbol] = self._own(symbol, word, dtype)
            return symbol
        return self._foreign(symbol, key, arity, dtype)

    def _own(self, symbol: str, word: str, dtype: np.dtype) -> str:
        """The text of a function that is ours, for the compiler to see inside."""
        self.intrinsic("fma", 3, dtype)
        if word == "exp":
            return exponential(symbol, dtype, self.width)
        self.intrinsic("fabs", 1, dtype)
        reduce = f"@llvm.vector.reduce.or.v{self.width}i1"
        self.declare(reduce, f"declare i1 {reduce}(<{self.width} x i1>)")
        far = f"{symbol}.far"
        text = self._lane_by_lane(far, (word, dtype.name), 1, dtype)
        self.helpers[far] = text.replace("noinline nounwind", QUICK, 1)
        return sine(symbol, self.width, far, cosine=word == "cos")

    def _foreign(
        self, symbol: str, key: tuple[str, str], arity: int, dtype: np.dtype
    ) -> str:
        """The symbol of a library's function, or of a helper around it."""
        word, vector = key[0], value_type(dtype, self.width)
        ready = self.target.vectors.get((*key, self.width))
        if ready is not None:
            types = ", ".join([vector] * arity)
            self.declare(ready, f"declare {vector} @{ready}({types}) nounwind")
            return f"@{ready}"
        pieces = self._pieces(word) if dtype == np.float32 else 0
        if pieces:
            self.helpers[symbol] = self._widened(symbol, word, arity, pieces)
        elif key in self.target.scalars and self.width == 1:
            return self._scalar(key, arity, dtype)
        elif key in self.target.scalars:
            self.helpers[symbol] = self._lane_by_lane(symbol, key, arity, dtype)
        elif key in self.target.loops:
            self.helpers[symbol] = self._inner_loop(symbol, key, arity, dtype)
        else:
            raise UnsupportedError(
                f"expected a word that the target knows, got {word!r} on {dtype}; "
                "write it with other words or add it to the target's table"
            )
        return symbol

    def _pieces(self, word: str) -> int:
        """Into how many pieces to cut a vector for the float64 function; 0 if none."""
        for pieces in (1, 2):
            if (word, "float64", self.width // pieces) in self.target.vectors:
                return pieces
        return 0

    def _widened(self, symbol: str, word: str, arity: int, pieces: int) -> str:
        """Compute in float64 where the float32 function is missing or too rough."""
        width = self.width // pieces
        narrow, wide = f"<{self.width} x float>", f"<{width} x double>"
        part = f"<{width} x float>"
        scalar = self.target.vectors[word, "float64", width]
        types = ", ".join([wide] * arity)
        self.declare(scalar, f"declare {wide} @{scalar}({types}) nounwind")
        lines, results = [], []
        for k in range(pieces):
            picks = ", ".join(f"i32 {k * width + i}" for i in range(width))
            for j in range(arity):
                lines += [
                    f"  %p{j}.{k} = shufflevector {narrow} %x{j}, {narrow} poison, "
                    f"<{width} x i32> <{picks}>",
                    f"  %w{j}.{k} = fpext {part} %p{j}.{k} to {wide}",
                ]
            arguments = ", ".join(f"{wide} %w{j}.{k}" for j in range(arity))
            lines += [
                f"  %y.{k} = call {wide} @{scalar}({arguments})",
                f"  %n.{k} = fptrunc {wide} %y.{k} to {part}",
            ]
            results.append(f"%n.{k}")
        picks = ", ".join(f"i32 {i}" for i in range(self.width))
        second = results[1] if pieces == 2 else "poison"
        lines += [
            f"  %r = shufflevector {part} {results[0]}, {part} {second}, "
            f"<{self.width} x i32> <{picks}>",
            f"  ret {narrow} %r",
        ]
        return self._define(symbol, arity, narrow, lines)

    def _scalar(self, key: tuple[str, str], arity: int, dtype: np.dtype) -> str:
        """The symbol of a function on one lane."""
        lane, scalar = register_type(dtype), self.target.scalars[key]
        types = ", ".join([lane] * arity)
        self.declare(scalar, f"declare {lane} @{scalar}({types}) nounwind")
        return f"@{scalar}"

    def _lane_by_lane(
        self, symbol: str, key: tuple[str, str], arity: int, dtype: np.dtype
    ) -> str:
        lane = register_type(dtype)
        vector = f"<{self.width} x {lane}>"
        scalar = self._scalar(key, arity, dtype)
        lines, result = [], "poison"
        for i in range(self.width):
            lines += [
                f"  %x{j}.{i} = extractelement {vector} %x{j}, i64 {i}"
                for j in range(arity)
            ]
            arguments = ", ".join(f"{lane} %x{j}.{i}" for j in range(arity))
            lines.append(f"  %y.{i} = call {lane} {scalar}({arguments}) nobuiltin")
            lines.append(
                f"  %r.{i} = insertelement {vector} {result}, {lane} %y.{i}, i64 {i}"
            )
            result = f"%r.{i}"
        return self._define(symbol, arity, vector, [*lines, f"  ret {vector} {result}"])

    def _inner_loop(
        self, symbol: str, key: tuple[str, str], arity: int, dtype: np.dtype
    ) -> str:
        """Call loop(char **args, intp *count, intp *strides, void *data)."""
        vector = value_type(dtype, self.width)
        loop, data = self.target.loops[key]
        self.declare(loop, f"declare void @{loop}(ptr, ptr, ptr, ptr)")
        if data != "null":
            self.declare(data, f"{data} = external global i8")
        count = arity + 1
        lines = [
            "  %n = alloca i64",
            f"  store i64 {self.width}, ptr %n",
            f"  %args = alloca [{count} x ptr]",
            f"  %steps = alloca [{count} x i64]",
        ]
        for j in range(count):
            lines += [
                f"  %m{j} = alloca {vector}",
                f"  %a{j} = getelementptr ptr, ptr %args, i64 {j}",
                f"  store ptr %m{j}, ptr %a{j}",
                f"  %s{j} = getelementptr i64, ptr %steps, i64 {j}",
                f"  store i64 {dtype.itemsize}, ptr %s{j}",
            ]
            if j < arity:
                lines.append(f"  store {vector} %x{j}, ptr %m{j}")
        lines += [
            f"  call void @{loop}(ptr %args, ptr %n, ptr %steps, ptr {data})",
            f"  %y = load {vector}, ptr %m{arity}",
            f"  ret {vector} %y",
        ]
        return self._define(symbol, arity, vector, lines)

    def _define(self, symbol: str, arity: int, vector: str, lines: list[str]) -> str:
        parameters = ", ".join(f"{vector} %x{j}" for j in range(arity))
        head = f"define internal {vector} {symbol}({parameters}) noinline nounwind {{"
        return "\n".join([head, *lines, "}"])


def without_series(text: str) -> str:
    """The text of a kernel that calls series which it does not define itself."""
    return _DEFINED.sub(_declared, text)


def _declared(defined: re.Match[str]) -> str:
    vector, symbol, *_, far = defined.groups()
    return "" if far else f"\ndeclare {vector} @{symbol}({vector}) nounwind"


def series_of(symbol: str, target: Target) -> str | None:
    """The module that defines a series for other modules; None for other names."""
    named = _NAMED.fullmatch(symbol)
    if named is None:
        return None
    word, width, bits = named.groups()
    calls = Calls(target, int(width))
    calls.function(word, 1, np.dtype(f"f{int(bits) // 8}"))
    functions = "\n".join(calls.texts(operations=1 << 30))
    return f"{functions}\n{METADATA}\n".replace("define internal", "define")

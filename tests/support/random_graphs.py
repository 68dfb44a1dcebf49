"""Random programs: NumPy source that is made up, line by line, and runs.

`Growing` makes one from integers that it is given; `random_cases` says where they come
from.  A `Program` is text, so a failing example prints as a function to paste.  Every
line is run while it is made up: operands are mapped smoothly into the domain of what is
applied, and results that grow are bent back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.special

from jitad.ir.bind import bind
from jitad.ir.primitive import registry
from jitad.ir.tracer import Tracer
from tests.support.own import OWN

LARGEST = 12  # elements of any value

# number(low, high): some integer from low to high, which are among them.
Number = Callable[[int, int], int]


@dataclass(frozen=True)
class Program:
    """A function of arrays as NumPy source, and arguments for it in C order."""

    names: tuple[str, ...]
    lines: tuple[str, ...]
    results: tuple[str, ...]
    inputs: tuple[np.ndarray, ...]

    def __repr__(self) -> str:
        args = [f"{n} = np.{x!r}" for n, x in zip(self.names, self.inputs, strict=True)]
        return "\n".join(["", *args, self.source])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def source(self) -> str:
        """The text of the function."""
        lines = (*self.lines, f"return {', '.join(self.results)},")
        body = "\n".join(f"    {line}" for line in lines)
        return f"def f({', '.join(self.names)}):\n{body}\n"

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function, compiled from its text."""
        space = dict(MODULES)
        exec(compile(self.source, "<random program>", "exec"), space)
        return space["f"]  # type: ignore[return-value]

    @property
    def total(self) -> Callable[..., Any]:
        """The sum of all results, weighted: a scalar function."""

        def total(*args: Any) -> Any:
            parts = self.function(*args)
            return sum(np.sum(p) * (0.5 + k) for k, p in enumerate(parts))

        return total


# -- what may happen in a line -------------------------------------------------

# Functions of one, two or three values that broadcast.
ELEMENTWISE = (
    "{a} + {b}", "{a} - {b}", "{a} * {b}", "-{a}", "{a} / (1.5 + {b} * {b})",
    "1.25 - {a}", "2.0 * {a}", "{a} * {b} + {c}", "np.positive({a})", "np.sin({a})",
    "np.cos({a})", "np.tan(np.tanh({a}))", "np.sinc({a})",
    "np.arcsin(0.9 * np.tanh({a}))", "np.arccos(0.9 * np.sin({a}))", "np.arctan({a})",
    "np.arctan2({a}, 0.5 + {b} * {b})", "np.arctan2(2.5, {a})",
    "np.hypot({a}, 0.5 + np.cos({b}))", "np.sinh(np.sin({a}))", "np.cosh(np.sin({a}))",
    "np.tanh({a})", "np.arcsinh({a})", "np.arccosh(1.5 + {a} * {a})",
    "np.arctanh(0.8 * np.sin({a}))", "np.exp(np.sin({a}))", "np.exp(-({a} * {a}))",
    "np.exp2(np.sin({a}))", "np.expm1(np.tanh({a}))", "np.log(0.5 + {a} * {a})",
    "np.log2(1.5 + np.sin({a}))", "np.log10(0.5 + {a} * {a})", "np.log1p({a} * {a})",
    "np.deg2rad({a})", "np.rad2deg(0.01 * {a})", "np.degrees(0.01 * {a})",
    "np.radians({a})", "np.sqrt(0.25 + {a} * {a})", "np.cbrt(2.0 + np.sin({a}))",
    "np.square({a})", "np.reciprocal(1.5 + np.sin({a}))", "np.abs({a})", "np.fabs({a})",
    "{a} ** 2", "np.sin({a}) ** 3", "(1.5 + np.sin({a})) ** -1", "({a} * {a}) ** 1.5",
    "(0.5 + {a} * {a}) ** np.sin({b})", "np.power(1.5 + np.cos({a}), {b})",
    "np.float_power(1.5 + np.sin({a}), 0.5)", "np.sin({a}) ** 5",
    "np.maximum({a}, {b})", "np.minimum({a}, {b})", "np.maximum({a}, 0.25)",
    "np.fmax({a}, {b})", "np.fmin({a}, {b})", "np.maximum({a}, {a})",
    "np.clip({a}, -0.5, 0.75)", "np.clip({a}, {b}, {b} + 1.0)", "np.nan_to_num({a})",
    "np.copysign({a}, {b})", "np.sign({a}) * {b}",
    "np.where({a} > {b}, {a} * {a}, {c})", "np.where({a} < 0.25, {a}, np.sin({a}))",
    "np.where({a} > 0, np.log({a}), {b})", "np.where({a} != 0, np.sin({a}) / {a}, 1.0)",
    "np.select([{a} > 0.5, {a} > -0.5], [{b}, {c}], 0.5)",
    "np.where(np.logical_and({a} > -0.5, {b} <= 0.5), {a}, {b})",
    "np.where(({a} >= {b}) | ({b} < -0.5), {a}, {c})",
    "np.where(np.logical_xor({a} > 0, {b} > 0), {a}, {b})",
    "np.where(~({a} == {b}), {a}, {b})", "np.where(np.logical_not({a} > 0), {a}, {b})",
    "np.where(np.isfinite({a}) & ~np.isnan({b}) & ~np.isinf({b}), {a}, {b})",
    "np.where(np.signbit({a}), {b}, {a})", "({a} > {b}) * {a}",
    "np.heaviside({a}, 0.5) * {b}", "np.nextafter({a}, {b})", "np.spacing({a}) + {b}",
    "np.floor({a}) + {b}", "np.ceil({a}) * {b}", "np.trunc({a}) + {b}",
    "np.rint({a}) - {b}", "np.fix({a}) + {b}", "np.round({a}, 1) + {b}",
    "np.fmod({a}, 1.5 + {b} * {b})", "np.mod({a}, 1.5 + {b} * {b})",
    "np.remainder({a}, 0.75) + {b}", "np.floor_divide({a}, 1.5 + {b} * {b}) + {a}",
    "np.divmod({a}, 1.25)[1]", "np.modf({a})[0]", "np.ldexp({a}, -1)",
    "(3.0 * {a}).astype(int) % 4 * {b}", "(3.0 * {a}).astype(int) // 2 * {b}",
    "((9.0 * {a}).astype(int) << 2 >> 1) * {b}",
    "(5.0 * {a}).astype(np.int32) + {b}", "np.logaddexp({a}, {b})",
    "np.logaddexp2({a}, {b})", "np.interp({a}, [-1.0, 0.0, 0.5], [0.5, -0.5, 1.0])",
    "special.erf({a})", "special.erfc({a})", "special.erfinv(0.9 * np.tanh({a}))",
    "special.ndtr({a})", "special.gammaln(2.5 + {a} * {a})",
    "special.digamma(2.5 + {a} * {a})", "special.zeta(2.5, 0.5 + {a} * {a})",
    "special.expit({a})", "special.log_expit({a})",
    "special.logit(0.5 + 0.4 * np.sin({a}))", "special.xlogy({a}, 0.5 + {b} * {b})",
    "special.xlog1py({a}, {b} * {b})", "special.entr(0.5 + {a} * {a})",
    "{a}.astype(np.float32)", "{a}.astype(np.float64)",
    "np.sin({a}).astype(np.float32) * {b}", "np.full_like({a}, 0.5) * {b}",
    "np.zeros_like({a}) - {b}", "np.ones_like({a}) * {b}",
)  # fmt: skip


def primitive(name: str) -> Callable[..., Any]:
    """A scalar primitive as a function of arrays and of traced arrays."""
    found = registry.primitives[name]

    def apply(*xs: Any) -> Any:
        with np.errstate(all="ignore"):
            if not any(isinstance(x, Tracer) for x in xs):
                return found.evaluate(*np.broadcast_arrays(*xs))
            dtype = np.result_type(*(x.dtype for x in xs))
            result = np.asarray(found.evaluate(*(np.ones((), dtype) for _ in xs))).dtype
        return bind(found, xs, [dtype] * len(xs), result)

    return apply


def _near_points() -> Iterator[str]:
    """Every scalar primitive, those that NumPy has no name for too, near a point."""
    for p in (registry.primitives[name] for name in OWN):
        # A stopped gradient is not what differences find; factors are told of by rules.
        hidden = p.name == "stop_gradient" or p.name.startswith("factor_")
        usable = p.kind == "elementwise" and not hidden
        for point in p.points if usable else ():
            radius = [0.02 * (abs(v) or 1) for v in point]
            with np.errstate(all="ignore"):
                ends = [
                    np.asarray(p.evaluate(*(np.float64(v + s * r) for v, r in pairs)))
                    for s in (-1, 1)
                    for pairs in [list(zip(point, radius, strict=True))]
                ]
            if not all(np.isfinite(e) and 1e-3 < abs(e) < 30 for e in ends):
                continue
            args = [
                f"np.asarray({float(v)})"
                if k in p.unknown
                else f"{float(v)} + {r:.3g} * np.sin({{{letter}}})"
                for k, (v, r, letter) in enumerate(
                    zip(point, radius, "abcabcabc", strict=False)
                )
            ]
            also = "" if ends[0].dtype.kind == "f" else " + {a}"
            yield f"primitive('{p.name}')({', '.join(args)}){also}"
            break


ELEMENTWISE = (*ELEMENTWISE, *_near_points())
MODULES = {"np": np, "special": scipy.special, "primitive": primitive}

# Functions of one value: (least number of axes, text); n is an axis, k a small number.
STRUCTURES = (
    (0, "np.reshape({a}, -1)"), (0, "{a}.ravel()"), (0, "np.transpose({a})"),
    (1, "{a}.T"), (1, "{a}[::-1]"), (1, "{a}[..., ::2]"), (1, "{a}[None]"),
    (1, "{a}[..., None]"), (1, "{a}[1:]"), (1, "{a}[:-1]"), (1, "{a}[:0]"),
    (1, "{a}[-1:]"), (2, "{a}[:, 0]"), (2, "{a}[:, ::-1]"), (1, "{a}[0]"),
    (1, "{a}[[0, -1, 0]]"), (1, "{a}[np.arange({m}) % 2 == 0]"), (1, "{a}[..., -1]"),
    (2, "{a}[[0, -1], [-1, 0]]"), (1, "{a}[np.array([[0], [-1]])]"),
    (0, "np.expand_dims({a}, {n})"), (0, "np.squeeze({a})"), (1, "np.flip({a})"),
    (1, "np.flip({a}, {n})"), (1, "np.roll({a}, {k}, {n})"), (1, "np.roll({a}, {k})"),
    (1, "np.repeat({a}, 2, {n})"), (1, "np.tile({a}, 2)"), (1, "np.flipud({a})"),
    (2, "np.moveaxis({a}, 0, -1)"), (2, "np.swapaxes({a}, 0, 1)"),
    (2, "np.rollaxis({a}, 1)"), (2, "np.rot90({a})"), (2, "np.fliplr({a})"),
    (2, "np.matrix_transpose({a})"), (2, "np.diagonal({a})"), (2, "np.tril({a})"),
    (2, "np.triu({a})"), (2, "np.linalg.diagonal({a})"), (1, "np.diagflat({a})"),
    (0, "np.broadcast_to({a}, (2, *np.shape({a})))"), (0, "np.resize({a}, (2, 3))"),
    (1, "np.split({a}, [1], {n})[1]"), (1, "np.array_split({a}, 2)[0]"),
    (1, "np.hsplit({a}, [1])[0]"), (2, "np.vsplit({a}, [1])[0]"),
    (3, "np.dsplit({a}, [1])[0]"), (0, "np.atleast_1d({a})"), (0, "np.atleast_2d({a})"),
    (0, "np.atleast_3d({a})"), (1, "np.delete({a}, 0, 0)"),
    (1, "np.insert({a}, 1, 0.5, 0)"), (1, "np.append({a}, {a}, {n})"),
    (1, "np.pad({a}, 1)"), (1, "np.pad({a}, 1, constant_values=0.5)"),
    (1, "np.pad({a}, (0, 1), 'edge')"), (1, "np.pad({a}, (1, 0), 'wrap')"),
    (1, "np.take({a}, [0, -1], {n})"), (1, "np.take({a}, [[0, -1]])"),
    (1, "np.take_along_axis({a}, np.zeros((1,) * np.ndim({a}), int), 0)"),
    (1, "np.compress([True], {a}, 0)"),
    (1, "np.extract(np.ones({m}, bool), {a}[..., 0])"),
    (1, "np.concatenate([{a}, {a}[::-1]], {n})"), (0, "np.stack([{a}, {b}[()]], -1)"),
    (0, "np.hstack([{a}, 2.0 * {a}])"), (0, "np.vstack([{a}, {a} + 1.0])"),
    (0, "np.dstack([{a}, -{a}])"),
    (0, "np.column_stack([np.ravel({a}), np.ravel({a})])"),
    (0, "np.block([np.ravel({a}), np.ravel({b})])"),
    (0, "np.concatenate([np.ravel({a}), np.ravel({b})])"),
    (0, "np.meshgrid(np.ravel({a})[:3], np.ravel({b})[:2])[0]"),
    (1, "np.lib.stride_tricks.sliding_window_view({a}, 1, {n})"),
    (0, "np.diag(np.ravel({a})[:3])"), (1, "np.unstack({a})[0]"),
    (1, "{a}[np.argmax({a}, 0) * 0]"), (1, "np.broadcast_arrays({a}, {a}[:1])[1]"),
    (2, "np.einsum('...ij->...ji', {a})"),
)  # fmt: skip

# Functions of one value that has elements; n is an axis.
REDUCTIONS = (
    "np.sum({a}, {n})", "np.sum({a})", "{a}.sum(axis={n}, keepdims=True)",
    "np.mean({a}, {n})", "{a}.mean()", "np.prod(np.cos(0.3 * {a}), {n})",
    "np.prod(1.0 + 0.1 * {a})", "np.max({a}, {n})", "np.min({a})",
    "{a}.max(axis={n}, keepdims=True) - {a}", "np.ptp({a}, {n})", "np.var({a}, {n})",
    "np.std({a} * [0.5, 1.5][0] + np.arange({s}).reshape(np.shape({a})), {n})",
    "np.cumsum({a}, {n})", "np.cumprod(1.0 + 0.1 * {a}, {n})", "np.cumsum({a})",
    "np.linalg.norm(np.ravel({a}))", "np.linalg.norm({a}, axis={n})",
    "np.median({a}, {n})", "np.quantile({a}, 0.3, {n})", "np.sort({a}, {n})",
    "np.argsort({a}, {n}) * {a}", "np.where(np.any({a} > 0, {n}), 0.5, 1.5)",
    "np.where(np.all({a} > -1, {n}), 0.5, 1.5) + {a}[..., :1].sum()",
    "np.argmax({a}, {n}) + np.mean({a}, {n})", "np.argmin({a}) * {a}",
    "np.count_nonzero({a} > 0) * {a}", "np.average({a}, {n})", "np.nansum({a}, {n})",
    "np.nanmean({a}, {n})", "np.nanmax({a}, {n})", "np.add.reduce({a}, {n})",
    "np.maximum.reduce({a}, {n})", "np.add.accumulate({a}, {n})",
    "np.multiply.outer(np.ravel({a})[:2], np.ravel({a})[:2])",
    "np.take_along_axis({a}, np.argsort({a}, {n}), {n})",
    "np.ravel({a})[np.argmax({a})]", "np.linalg.norm(np.ravel({a}), 1)",
    "np.linalg.norm(np.ravel({a}), np.inf)", "np.trapezoid({a}, axis={n})",
    "np.diff({a}, axis={n})", "np.ediff1d({a})", "special.logsumexp({a})",
    "special.logsumexp({a}, b=0.5 + {a} * {a})",
    "special.logsumexp({a}, b={a}, return_sign=True)[0]",
    "special.logsumexp({a}, b={a}, return_sign=True)[1] * {a}",
    "special.logsumexp({a}, axis={n})", "special.softmax({a}, axis={n})",
    "special.log_softmax({a}, axis={n})",
)  # fmt: skip

# Functions of vectors u, v and of a well-conditioned symmetric matrix m.
LINALG = (
    "{m} @ {u}", "{u} @ {v}", "np.dot({m}, {m})", "np.vdot({m}, {m})",
    "np.inner({m}, {u})", "np.outer({u}, {v})", "np.tensordot({m}, {u}, 1)",
    "np.einsum('ij,j->i', {m}, {u})", "np.einsum('ij,ij,j->', {m}, {m}, {v})",
    "np.kron({u}[:2], {v}[:2])", "np.cross(np.resize({u}, 3), np.resize({v}, 3))",
    "np.trace({m})", "np.linalg.det({m})", "np.linalg.inv({m})",
    "np.linalg.solve({m}, {u})", "np.linalg.solve({m}, {m} + np.outer({u}, {u}))",
    "np.linalg.cholesky({m})", "np.linalg.slogdet({m})[1]",
    "np.linalg.slogdet({m})[0] * {u}", "np.linalg.matrix_power({m}, 2)",
    "np.linalg.norm({m})", "np.linalg.multi_dot([{u}, {m}, {v}])",
    "np.linalg.eigvalsh({m})", "np.abs(np.linalg.eigh({m})[1])",
    "np.convolve({u}, {v})", "np.polyval({u}, np.sin({v}))", "np.vecdot({u}, {v})",
    "np.matvec({m}, {u})", "np.convolve({u}, {v}, 'same')", "np.correlate({u}, {v})",
    "{m}[{u}.argmax(), :] * {v}",
)  # fmt: skip

# Statements on a copy y of an array that has elements, through views too.
WRITES = (
    "y[0] = 0.5", "y[...] = y * y", "y[1:] += 0.5 * y[:-1]", "y[-1:] *= {b}.sum()",
    "y[y > 0] = 0.25", "y.ravel()[0] = {b}.sum()", "y.reshape(-1)[::2] *= 2.0",
    "y.T[...] = y.T + 1.0", "y[[0, -1]] = 0.75", "np.add.at(y, [0, 0], 0.5)",
    "np.put(y, [0], {b}.sum())", "np.putmask(y, y > 0.5, 0.5)",
    "np.putmask(y, np.arange(y.size).reshape(y.shape) == 1, 0.5)",
    "np.copyto(y, 0.5 * y)",
    "np.place(y, np.arange(y.size).reshape(y.shape) == 0, 0.5)", "y -= y.mean()",
    "np.sin(y, out=y)", "np.multiply(y, 0.5, out=y, where=y > 0)", "y[::-1] = y.copy()",
    "y[...] = {b}.sum()", "y[np.argmax(y, 0) * 0] = 0.5", "y[..., 0] += 1.0",
    "y.swapaxes(0, -1)[0] -= 0.5", "y.flat[-1] = 2.0", "np.fill_diagonal(y, 0.5)",
    "y[:0] = 7.0", "y **= 2", "y /= 1.5 + y * y",
)  # fmt: skip

COPIES = ("{a}.copy()", "{a} * 1.5", "{a}.T.copy()", "np.flip({a}) + 0.5")


class Growing:
    """A program while it is made up: its lines and the values they gave."""

    def __init__(self, number: Number, inputs: Sequence[np.ndarray]) -> None:
        self.number = number
        self.lines: list[str] = []
        self.values = {f"x{k}": x for k, x in enumerate(inputs)}
        self.unused: list[str] = list(self.values)

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.number(0, len(items) - 1)]

    def operand(self, fits: Callable[[Any], bool] = lambda x: True) -> str | None:
        """The name of a value that fits; late and unused ones come up more often."""
        names = [n for n, x in self.values.items() if fits(x)]
        if not names:
            return None
        recent = [n for n in names[-4:] if n in self.unused] or names[-4:]
        return self.pick(recent if self.number(0, 2) else names)

    def run(self, *lines: str) -> bool:
        """Add lines that end in an assignment, unless the value is out of bounds."""
        name = f"v{len(self.values)}"
        made = [re.sub(r"\bnew\b", name, line) for line in lines]
        space: dict[str, Any] = {**MODULES, **self.values}
        with np.errstate(all="ignore"):
            try:
                for line in made:
                    exec(line, space)
            except (IndexError, TypeError, ValueError):
                # What NumPy refuses for these shapes is no program.
                return False
            value = np.asarray(space[name])
            if not _usable(value):
                return False
            if np.max(np.abs(value), initial=0) > 3:
                made.append(f"{name} = {name} / np.sqrt(1.0 + 0.2 * {name} * {name})")
                exec(made[-1], space)
        self.lines += made
        self.values[name] = space[name]
        text = " ".join(made)
        self.unused = [n for n in self.unused if not _mentions(text, n)] + [name]
        return True

    def elementwise(self) -> bool:
        text = self.pick(ELEMENTWISE)
        names = [self.operand() or "x0"]
        shape = np.shape(self.values[names[0]])
        for letter in "bc":
            used = "{" + letter + "}" in text
            other = self.operand(_broadcasts_with(shape)) if used else None
            names.append(other or names[0])
            shape = np.broadcast_shapes(shape, np.shape(self.values[names[-1]]))
        return self.apply(text, *names)

    def apply(self, text: str, a: str, b: str, c: str) -> bool:
        """A line with names in the places of {a}, {b}, {c}."""
        return self.run(f"new = {text.format(a=a, b=b, c=c)}")

    def structure(self) -> bool:
        least, text = self.pick(STRUCTURES)
        a = self.operand(lambda x: np.ndim(x) >= least and (not least or len(x) > 0))
        if a is None:
            return False
        shape = np.shape(self.values[a])
        b = self.operand(lambda x: np.shape(x) == shape) or a
        return self.structured(text, a, b)

    def reduction(self) -> bool:
        a = self.operand(lambda x: np.size(x) and np.ndim(x))
        return a is not None and self.structured(self.pick(REDUCTIONS), a, a)

    def structured(self, text: str, a: str, b: str) -> bool:
        """A line with {n} for an axis, {k} for a number, {m} and {s} for sizes."""
        shape = np.shape(self.values[a])
        n = self.number(-1, len(shape) - 1) if shape else 0
        first, size = (shape or (1,))[0], math.prod(shape)
        k = self.number(-2, 2)
        return self.run(f"new = {text.format(a=a, b=b, n=n, k=k, m=first, s=size)}")

    def linalg(self) -> bool:
        a, b = (self.operand(lambda x: np.size(x) > 0) for _ in "ab")
        if a is None or b is None:
            return False
        return self.factored(self.pick(LINALG), a, b, self.pick((2, 3, 2, 1)))

    def factored(self, text: str, a: str, b: str, n: int) -> bool:
        """A line of linear algebra, after those that make its n-vectors and matrix."""
        u, v, m = (f"{letter}{len(self.values)}_" for letter in "uvm")
        return self.run(
            f"{u} = np.resize(np.sin({a}), {n})",
            f"{v} = np.resize({b}, {n})",
            f"{m} = np.diag([2.0, 4.5, 7.5][:{n}]) + 0.4 * np.outer({u}, {u})",
            f"new = {text.format(u=u, v=v, m=m)}",
        )

    def write(self) -> bool:
        a = self.operand(lambda x: np.size(x) and np.ndim(x))
        b = self.operand()
        if a is None or b is None:
            return False
        lines = [self.pick(WRITES) for _ in range(self.number(1, 3))]
        return self.written(lines, self.pick(COPIES), a, b)

    def written(self, lines: Sequence[str], copied: str, a: str, b: str) -> bool:
        """Statements on a copy of an array."""
        body = [re.sub(r"\by\b", "new", line).format(b=b) for line in lines]
        return self.run(f"new = {copied.format(a=a)}", *body)

    def grow(self, steps: int, factors: bool = True) -> None:
        """Add about so many lines; factors: linear algebra among them."""
        kinds = (self.elementwise,) * 5 + (self.structure,) * 3
        kinds += (self.reduction,) * 2 + (self.write,) + (self.linalg,) * factors
        for _ in range(steps):
            if not self.pick(kinds)():
                self.elementwise()

    def finish(self) -> Program:
        """Two results: a small array, and one number that needs everything else."""
        small = [
            n for n, x in self.values.items() if 0 < np.size(x) <= 4 and n[0] == "v"
        ]
        results = small[-1:]
        left = [n for n in self.unused if n not in results]
        if left:
            parts = " + ".join(f"np.sum({n})" for n in left)
            self.lines.append(f"rest = {parts}")
            results.append("rest")
        if not results:
            results = [list(self.values)[-1]]
        inputs = {n: x for n, x in self.values.items() if n[0] == "x"}
        return Program(
            tuple(inputs), tuple(self.lines), tuple(results), tuple(inputs.values())
        )


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text) is not None


def _usable(value: np.ndarray) -> bool:
    return (
        value.dtype.kind == "f"
        and value.size <= LARGEST
        and value.ndim <= 4
        and bool(np.all(np.isfinite(value)))
    )


def _broadcasts_with(shape: tuple[int, ...]) -> Callable[[Any], bool]:
    """Whether a value broadcasts with a shape, to no more than a few elements."""

    def fits(x: Any) -> bool:
        try:
            whole = np.broadcast_shapes(shape, np.shape(x))
        except ValueError:
            return False
        return math.prod(whole) <= LARGEST

    return fits

"""The symbolic Jacobian of a scalar graph: forward, reverse or cross-country.

What counts is not multiplications but the weighted operations that are left to execute
after simplification, so each candidate is built, and the cheapest kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from jitad.errors import UnsupportedError
from jitad.ir.graph import PACK, Graph, Node, Type
from jitad.ir.loop import LOOP, loop_of
from jitad.ir.table import add_scatter, pick
from jitad.ir.tracer import Trace
from jitad.transforms.rewrite.tidy import tidy, weight
from jitad.transforms.scalars.whole import MOST

from . import differentiate as ad
from .eliminate import cross
from .ends import Ends
from .entries import METHODS, Entries, Mode, cost
from .joined import joined
from .linearized import Linearized, at_places
from .modes import HOPELESS, SELDOM, choose
from .pieces import opened
from .segments import MOST_RECORDED, recorded

MODES: tuple[Mode, ...] = ("forward", "reverse", "cross")

# Operations in the body of a loop up to which its Jacobian is sought.
_LONG_BODY = 2_000
_PASSES = "it takes a pass for each element of a large array"


@dataclass(frozen=True, slots=True)
class Accumulated:
    """A Jacobian graph, what each mode would cost, and the mode taken.

    untried says of the other modes, in words, why they were not built.
    """

    graph: Graph
    mode: Mode
    costs: dict[str, float]
    untried: dict[str, str]


def jacobian(
    graph: Graph,
    wrt: Sequence[int],
    *,
    mode: Mode | None = None,
    value: bool = False,
    twins: Sequence[tuple[int, int]] | None = None,
    of: Sequence[int] | None = None,
) -> Accumulated:
    """(x -> y)  ->  (x -> [y,] ∂y/∂x), the cheapest mode unless one is given.

    One output of shape y.shape + x.shape for every y in `of` (default: all outputs)
    and every x in wrt, y varying slowest.  Where ∂y/∂x is made of symmetric matrices
    (Hessians), twins has for every row the matrix and the row in it; then only upper
    triangles are computed.
    """
    line = opened(graph, wrt)
    of = range(len(line.outputs)) if of is None else of
    untried: dict[str, str] = {}
    large = [k for k in wrt if line.whole(k)]
    _check_sizes(line, large, of)
    if large:
        mode = _reverse_only(line, large, mode)
        untried |= dict.fromkeys(("forward", "cross"), _PASSES)
    rows = [int(v) for k in of for v in line.outputs[k].ravel()]
    columns = [int(e) for k in wrt for e in line.elements[k].ravel()]
    arrays = [line.inputs[k] for k in large]
    roots = [int(v) for o in line.values for v in o.ravel()] if value else []
    if large:
        twins = None
    ends = Ends(line, rows, () if large else line.slopes)
    # Beside loops slopes are rows like the others, so that loops are run once.
    every = ends.rows if line.loops else rows

    def wanted(entries: Entries) -> Entries:
        if not twins:
            return entries
        first = [column for _, column in twins] + [0] * len(ends.slopes)
        return {(r, c): v for (r, c), v in entries.items() if c >= first[r]}

    def settled(entries: Entries) -> Entries:
        if ends.slopes and not line.loops:
            grown = METHODS["reverse"](line, ends.slopes, columns)
            entries |= {(len(rows) + k, c): v for (k, c), v in grown.items()}
        return ends.settled(entries)

    def finished(entries: Entries) -> Graph:
        if twins:
            row = {twin: r for r, twin in enumerate(twins)}
            mirrored = [(*twins[r], c, v) for (r, c), v in entries.items()]
            entries = entries | {(row[m, c], r): v for m, r, c, v in mirrored}
        return tidy(_assemble(line, wrt, of, entries, value))

    def built(mode: Mode, *, search: bool) -> Entries:
        if mode != "cross":
            found = METHODS[mode](line, every, [*columns, *arrays])
        else:
            steps = joined(line, columns) if line.loops else line
            found = cross(steps, every, columns, roots, search=search)
        return settled(wanted(found))

    if line.loops:
        # The loops of a mode are fused before they run: count what is left.
        modes: list[Mode] = (
            [mode] if mode else _candidates(line, len(rows), len(columns), untried)
        )
        made = {m: finished(built(m, search=bool(mode))) for m in modes}
        costs: dict[str, float] = {m: weight(graph) for m, graph in made.items()}
        best = min(modes, key=costs.__getitem__)
        return Accumulated(made[best], best, costs, untried)
    counted: dict[str, float] = {}
    if mode:
        best, entries = mode, built(mode, search=True)
    else:
        choice = choose(line, rows, columns, roots, wanted)
        best, counted, untried = choice.mode, choice.costs, choice.untried
        entries = settled(wanted(choice.entries(line, rows, columns)))
    costs = {best: cost(line, [*roots, *entries.values()])}
    costs |= {
        m: costs[best] + count - counted[best]
        for m, count in counted.items()
        if m != best
    }
    return Accumulated(finished(entries), best, costs, untried)


def twins_of(outputs: Sequence[Type], inputs: Sequence[Type]) -> list[tuple[int, int]]:
    """For every row of ∂(∂y/∂x)/∂x the number of the y it belongs to, and of the x."""
    found, first = [], 0
    for y in outputs:
        column = 0
        for x in inputs:
            pairs = product(range(y.size), range(x.size))
            found += [(first + i, column + j) for i, j in pairs]
            column += x.size
        first += y.size
    return found


def _candidates(
    line: Linearized, rows: int, columns: int, untried: dict[str, str]
) -> list[Mode]:
    """The modes worth building where loops are on the way.

    A seed costs about one more run of them.

    Reverse mode runs them twice, and keeps a record.  Cross-country has no estimate:
    it multiplies the Jacobians of bodies.
    """
    estimates: dict[Mode, float] = {
        "reverse": 3.0 + 2.0 * rows,
        "forward": 1.0 + columns,
    }
    nodes = line.builder.nodes
    loops = [v for v in line.order if nodes[v].primitive is LOOP]
    if _longest(nodes[v] for v in loops) > MOST_RECORDED:
        untried["reverse"] = "a loop has no bound that its record would need"
        del estimates["reverse"]
    least = min(estimates.values())
    for mode, estimate in list(estimates.items()):
        if estimate > HOPELESS * least:
            untried[mode] = f"about {estimate / least:.0f} times as many operations"
            del estimates[mode]
    modes = list(estimates)
    longest = max([len(loop_of(nodes[v]).body.nodes) for v in loops], default=0)
    wide = max([loop_of(nodes[v]).carried for v in loops], default=0)
    if rows <= 1 or columns <= 1:
        untried["cross"] = SELDOM.format("output" if rows <= 1 else "input")
    elif at_places(line):
        untried["cross"] = "arrays are read, or added to, at computed places"
    elif wide > columns:
        untried["cross"] = f"a loop carries {wide} values, more than there are inputs"
    elif longest > _LONG_BODY:
        untried["cross"] = f"a loop's body of {longest:,} operations is long to search"
    else:
        modes.append("cross")
    return modes


def _longest(nodes: Iterable[Node]) -> int:
    """The length of the longest record of loops, and of those inside of loops."""
    longest = 0
    for loop in [loop_of(n) for n in nodes if n.primitive is LOOP]:
        longest = max(longest, recorded(loop), _longest(loop.body.nodes))
    return longest


def _assemble(
    line: Linearized,
    wrt: Sequence[int],
    of: Sequence[int],
    entries: Entries,
    value: bool,
) -> Graph:
    builder = line.builder
    outputs = ad.values(line) if value else []
    large = [k for k in wrt if line.whole(k)]
    last = sum(line.elements[k].size for k in wrt)
    row = 0
    for o in of:
        ids, type = line.outputs[o], line.types[o]
        column = 0
        for k in wrt:
            x = builder.nodes[line.inputs[k]].type
            if line.whole(k):
                found = [
                    entries.get((row + i, last + large.index(k)))
                    for i in range(ids.size)
                ]
                outputs.append(
                    _stacked(builder, found, Type(x.dtype, type.shape + x.shape), x)
                )
                continue
            zero = builder.number(0.0, x.dtype)
            flat = [
                builder.cast(entries.get((row + i, column + j), zero), x.dtype)
                for i in range(ids.size)
                for j in range(x.size)
            ]
            shape = type.shape + x.shape
            outputs.append(builder.add(PACK, tuple(flat), Type(x.dtype, shape)))
            column += x.size
        row += ids.size
    return builder.finish(outputs)


# -- large arrays that are read at computed places -------------------------------------


def _check_sizes(line: Linearized, large: Sequence[int], of: Sequence[int]) -> None:
    """Refuse to write out derivatives of large arrays, or many in large arrays."""
    size = sum(line.outputs[k].size for k in of)
    whole = [line.types[k] for k in of if ad.is_array(line, line.outputs[k])]
    types = [line.builder.nodes[line.inputs[k]].type for k in large]
    many = size > 1 and size * sum(t.size for t in types) > MOST
    if whole or many:
        what = ", ".join(map(str, (*whole, *types)))
        raise UnsupportedError(
            f"a Jacobian of or in {what}, where elements are read at computed places, "
            f"is too large to be written out: expected at most {MOST:,} entries; use "
            "jitad.grad of a sum, jitad.hvp, jitad.jvp or jitad.vjp"
        )


def _reverse_only(line: Linearized, large: Sequence[int], mode: Mode | None) -> Mode:
    """The one mode there is for derivatives in large arrays, as arrays."""
    type = line.builder.nodes[line.inputs[large[0]]].type
    if mode not in (None, "reverse"):
        raise UnsupportedError(
            f"mode={mode!r} of the derivative in {type}, which is read at computed "
            "places: it takes a pass for each of its elements; expected mode='auto' or "
            "'reverse', or use jitad.jvp"
        )
    return "reverse"


def _stacked(builder: Trace, arrays: Sequence[int | None], type: Type, x: Type) -> int:
    """The array nodes of several rows, one after the other, as one."""
    if len(arrays) == 1:
        (found,) = arrays
        return add_scatter(builder, type, [] if found is None else [found], [])
    zero = builder.number(0.0, x.dtype)
    flat = [
        zero if found is None else pick(builder, found, j)
        for found in arrays
        for j in range(x.size)
    ]
    return builder.add(PACK, tuple(flat), type)

"""The pipeline: from the scalar graph of one point to the code of a kernel.

lowered    graph -> graph in machine words, with branches where they pay
lower      graph, request -> Kernels, one for each variant that a machine asks for
compiled   graph, request -> an executable; functions that are traced alike share it
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jitad.backends.cpu.tiers import Effort
from jitad.ir.graph import Graph
from jitad.kept import entries, graphs
from jitad.lowering.kernel import Kernel
from jitad.lowering.schedule import FIRST, Request, Variant, schedule
from jitad.lowering.validate import validate
from jitad.process.waiting import stage
from jitad.transforms.rewrite.branches import sink
from jitad.transforms.rewrite.expand import expand

from .machine import Machine


def lower(
    graph: Graph, request: Request, variants: Sequence[Variant] = (FIRST,)
) -> Iterator[Kernel]:
    """The kernels of a scalar graph, which compute the same, one for each variant.

    None for a variant without branches where there is no branch.
    """
    expanded = expand(graph)
    branched = sink(expanded)
    for variant in variants:
        if variant.branches or branched is not expanded:
            form = branched if variant.branches else expanded
            kernel = schedule(form, request, variant.ordering)
            validate(kernel)
            yield kernel


def lowered(graph: Graph) -> Graph:
    """A scalar graph as it becomes a kernel: in machine words, with branches."""
    return sink(expand(graph))


def compiled(
    graph: Graph,
    request: Request,
    machine: Machine,
    extents: Sequence[int],
    *,
    keep: bool,
    effort: Effort = "auto",
) -> tuple[Any, dict[str, float]]:
    """The executable of a scalar graph, and the seconds that it took to make it.

    extents  of its first launch, as far as they are known
    keep     whether its code may be read from the disk, and kept there
    effort   how much is done for the speed of the code
    """
    try:
        source = _Source(graphs.digest(graph), graph)
    except graphs.UnknownError:
        source = _Source(graph.digest.encode(), graph, known=False)
    with entries.only_if(keep):
        return _compiled(source, request, machine.at(effort), _First(tuple(extents)))


@dataclass(frozen=True, slots=True)
class _Source:
    """A graph that is equal to every graph of the same digest.

    known  whether the digest says the same in another process
    """

    digest: bytes
    graph: Graph = field(compare=False)
    known: bool = True


@dataclass(frozen=True, slots=True)
class _First:
    """The extents of a first launch; of later ones the executable sees for itself."""

    extents: tuple[int, ...] = field(compare=False)


@lru_cache(maxsize=512)
def _compiled(
    source: _Source, request: Request, machine: Machine, first: _First
) -> tuple[Any, dict[str, float]]:
    start = time.perf_counter()
    graph, name = source.graph, None
    if source.known:
        name = entries.digest(source.digest, repr(request).encode()).encode()
    with stage("compiled", lambda: len(graph.nodes)):
        executable = machine.compile(
            lambda: lower(graph, request, machine.variants), name, first.extents
        )
    whole, spent = time.perf_counter() - start, executable.compile_seconds
    return executable, {"lower": whole - spent, "compile": spent}

"""Jacobians that an earlier process derived of the same graph, kept on disk.

To find the cheapest order takes many times as long as to read what was found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from jitad.ir.graph import Graph
from jitad.kept import entries, graphs
from jitad.kept.stamp import stamp

from . import accumulate
from .accumulate import Accumulated

# Seconds that it takes to make what is worth a place on the disk.
_WORTH = 0.005


def jacobian(graph: Graph, wrt: Sequence[int], **options: Any) -> Accumulated:
    """As `accumulate.jacobian`, or what it once made of the same."""
    if not entries.allowed():
        return accumulate.jacobian(graph, wrt, **options)
    outside = graphs.Outside()
    key, folder = _key(graph, wrt, options, outside), entries.folder_of(entries.KERNELS)
    found = key and entries.read(folder, key)
    if found:
        packed, *others = graphs.from_bytes(found)
        try:
            return Accumulated(graphs.unpack(packed, outside), *others)
        except graphs.UnknownError:  # what is only made where derivatives are
            pass
    start = time.perf_counter()
    made = accumulate.jacobian(graph, wrt, **options)
    if key and time.perf_counter() - start > _WORTH:
        with suppress(graphs.UnknownError):
            entries.add(folder, key, _payload(made, outside))
    return made


def _key(
    graph: Graph, wrt: Sequence[int], options: Any, outside: graphs.Outside
) -> str | None:
    """The name of a Jacobian; outside gets what is not in it."""
    made_by = stamp()
    if made_by is None:
        return None
    try:
        packed = graphs.to_bytes(graphs.pack(graph, outside))
    except graphs.UnknownError:
        return None
    outside.closed = True
    rest = repr((list(wrt), sorted(options.items())))
    return entries.digest(made_by, packed, rest.encode())


def _payload(made: Accumulated, outside: graphs.Outside) -> bytes:
    packed = graphs.pack(made.graph, outside)
    return graphs.to_bytes((packed, made.mode, made.costs, made.untried))

"""Where a function runs: the host's threads, the interpreter, or cards.

`where` makes a Where of what the user says of a function and of what is derived of it,
and `chosen_cards` adds what arguments say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from jitad import tree
from jitad.backends.cpu.tiers import Effort
from jitad.backends.exchange.foreign import Foreign
from jitad.errors import InputError

Backend = Literal["cpu", "numpy"]
Precision = Literal["full", "mixed"]

_CARD = re.compile(r"cuda(?::(\d+))?")


@dataclass(frozen=True, slots=True)
class Where:
    """A back end of the host, and the cards that are to be used instead.

    cards    their numbers; none: where the arguments are
    cache    whether compiled code is kept on disk
    compile  how much is done for the speed of code on the host
    """

    backend: Backend = "cpu"
    cards: tuple[int, ...] = ()
    precision: Precision = "full"
    cache: bool = True
    compile: Effort = "auto"


HERE = Where()


def where_of(f: Any) -> Where:
    """What a transform was told of a function, which holds for what is derived of it.

    Of a plain function nothing is known.
    """
    found = getattr(f, "where", None)
    return found if isinstance(found, Where) else HERE


def where(
    name: str,
    f: Any = None,
    *,
    backend: Backend | None = None,
    device: str | None = None,
    devices: Sequence[str] | None = None,
    precision: Precision | None = None,
    cache: bool | None = None,
    compile: Effort | None = None,
) -> Where:
    """That of f, changed by what is not None; name is that of what it becomes.

    Raises InputError for what there is not.
    """
    if backend is not None and backend not in get_args(Backend):
        raise InputError(f'{name}: backend is {backend!r}; expected "cpu" or "numpy"')
    if precision is not None and precision not in get_args(Precision):
        raise InputError(
            f'{name}: precision is {precision!r}; expected "full" or "mixed"'
        )
    if compile is not None and compile not in get_args(Effort):
        raise InputError(
            f'{name}: compile is {compile!r}; expected "auto", "full" or "fast"'
        )
    if cache is not None and not isinstance(cache, bool):
        raise InputError(f"{name}: cache is {cache!r}; expected True or False")
    if device is not None and devices is not None:
        raise InputError(f"{name}: expected device or devices, got both")
    base = where_of(f)
    found = replace(
        base,
        backend=backend or base.backend,
        precision=precision or base.precision,
        cache=base.cache if cache is None else cache,
        compile=compile or base.compile,
    )
    if device is not None:
        found = replace(found, cards=() if device == "cpu" else (_card(name, device),))
    if devices is not None:
        numbers = tuple([_card(name, d) for d in devices])
        if isinstance(devices, str) or not numbers or len({*numbers}) < len(numbers):
            raise InputError(
                f"{name}: devices is {devices!r}; expected different cards in a list, "
                'as ["cuda:0", "cuda:1"]'
            )
        found = replace(found, cards=numbers)
    if found.cards and found.backend == "numpy":
        raise InputError(
            f'{name}: expected backend="cpu" or a device, got backend="numpy", which '
            "interprets on the host, and cuda:" + str(found.cards[0])
        )
    return found


def _card(name: str, device: Any) -> int:
    found = _CARD.fullmatch(device) if isinstance(device, str) else None
    if found is None:
        raise InputError(
            f'{name}: device is {device!r}; expected "cpu", "cuda", or a card by its '
            'number, as "cuda:1"'
        )
    return int(found[1] or 0)


def chosen_cards(
    chosen: Where, leaves: Sequence[Any], spec: tree.PyTreeSpec, name: str
) -> tuple[int, ...]:
    """The cards on which a call runs; none: it runs on the host.

    leaves  arguments, some of which may be `Foreign`
    Raises InputError where they are not all on one card.
    """
    there = [k for k, x in enumerate(leaves) if isinstance(x, Foreign)]
    if not there:
        return chosen.cards
    names = tree.argument_names(spec)
    first = leaves[there[0]].card
    found = f"{name}: argument {names[there[0]]} is on cuda:{first}, but"
    for k in there:
        if leaves[k].card != first:
            raise InputError(
                f"{found} {names[k]} on cuda:{leaves[k].card}; expected all on one "
                "card: copy some"
            )
    if chosen.backend == "numpy":
        raise InputError(
            f'{found} backend="numpy" interprets on the host; pass NumPy arrays'
        )
    if chosen.cards and chosen.cards != (first,):
        wanted = ", ".join(f"cuda:{n}" for n in chosen.cards)
        raise InputError(
            f"{found} {wanted} was asked for; copy it there, or pass NumPy arrays, "
            "which are sent there"
        )
    for k, x in enumerate(leaves):
        if isinstance(x, np.ndarray) and x.ndim and not chosen.cards:
            raise InputError(
                f"{found} {names[k]} is a NumPy array; copy it there once, as by "
                f'cupy.asarray, or say device="cuda:{first}", which sends it each time'
            )
    return (first,)

"""jitad on a card: arrays that are there in, arrays that stay there out."""

from __future__ import annotations

from functools import cache
from typing import Any

import jitad
from benchmarks.harness import Participant, Runner
from benchmarks.participants.with_jitad import flat, transformed
from benchmarks.work import Setting, Work
from jitad.calls import cards


def participants(work: Work, setting: Setting) -> list[Participant]:
    """Fresh results, and into those of an earlier call."""
    given = cache(lambda: jitad.device_put(work.inputs))

    def fresh() -> Runner:
        call, inputs = transformed(work), given()
        return Runner(lambda: call(*inputs), flat, wait)

    def into_earlier() -> Runner:
        call, inputs = transformed(work), given()
        out = call(*inputs)
        return Runner(lambda: call(*inputs, out=out), flat, wait)

    return [
        Participant("jitad, fresh results", fresh),
        Participant("jitad, out=earlier result", into_earlier),
    ]


def wait(_: Any = None) -> None:
    """Wait for all that jitad's own stream was asked for."""
    card = cards.card(0)
    with card.current():
        card.sync(card.stream)

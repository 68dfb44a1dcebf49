"""A copy on the card of as many bytes as the work moves: half read, half written."""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.harness import Participant, Runner
from benchmarks.participants.on_card_jitad import wait
from benchmarks.work import Setting, Work
from jitad.backends.exchange.device_array import DeviceArray
from jitad.calls import cards


def participants(work: Work, setting: Setting) -> list[Participant]:
    """One, where the Work is to be compared with it."""
    return [Participant("device copy", partial(prepare, work))] if work.copies else []


def prepare(work: Work) -> Runner:
    """Between two arrays of half of the inputs and outputs."""
    card = cards.card(0)
    with card.current():
        source, target = (
            DeviceArray(card, (work.nbytes // 16,), np.dtype(float), card.stream)
            for _ in range(2)
        )
        card.clear(source.address, work.nbytes // 16 * 8, card.stream)

    def call() -> None:
        nbytes = work.nbytes // 16 * 8
        card.copy(target.address, source.address, nbytes, card.stream)

    return Runner(call, lambda _: None, wait)

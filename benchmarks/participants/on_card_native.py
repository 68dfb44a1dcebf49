"""CUDA C written by hand, compiled by NVRTC, launched by cuda.core with no more.

It is compiled with jitad's own options: products are fused where the text says so.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import jitad
from benchmarks.harness import Participant, Runner, UnavailableError
from benchmarks.participants.on_card_jitad import wait
from benchmarks.work import Setting, Work
from jitad.backends.cuda import cubins
from jitad.backends.exchange.device_array import DeviceArray
from jitad.calls import cards

FOLDER = Path(__file__).parent.parent / "native"
THREADS = 128  # of a block


def participants(work: Work, setting: Setting) -> list[Participant]:
    """One, where the Work names its CUDA C."""
    if work.native is None:
        raise UnavailableError("no CUDA C was written for this")
    return [Participant("CUDA C by hand", partial(prepare, work))]


def prepare(work: Work) -> Runner:
    """Compile and load ``void symbol(points, inputs …, outputs …)``."""
    file, symbol = str(work.native).split(":")
    card = cards.card(0)
    cubin = cubins.compiled((FOLDER / file).read_text(), card.capability)
    kernel = card.load(cubin.code, [symbol])[symbol]
    inputs = jitad.device_put(work.inputs)
    with card.current():
        outputs = tuple(
            [
                DeviceArray(card, shape, np.dtype(float), card.stream)
                for shape in work.output_shapes()
            ]
        )
    numbers = [work.points, *(x.address for x in (*inputs, *outputs))]
    blocks = -(-work.points // THREADS)

    def call() -> tuple[DeviceArray, ...]:
        card.launch(kernel, blocks, THREADS, numbers, card.stream)
        return outputs

    return Runner(call, lambda made: (inputs, tuple(map(np.asarray, made)))[1], wait)

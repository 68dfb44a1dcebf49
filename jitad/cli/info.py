"""`jitad info`: versions, threads, vectors, math library, bandwidth, CUDA cards."""

from __future__ import annotations

import argparse

from jitad.show.info import info


def run(options: argparse.Namespace) -> int:
    """Print what jitad runs on."""
    del options
    print(info())
    return 0

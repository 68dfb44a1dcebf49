"""How many blocks a multiprocessor holds: known values, and NVIDIA's own formulas."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from pathlib import Path

import pytest

from jitad.backends.cuda.occupancy import like, resident
from jitad.errors import UnsupportedError
from tests.support.cuda_host import COMPILER

# warps, kilobytes of shared memory: of a multiprocessor, and of a block at most
KNOWN = {
    (7, 5): (32, 64, 64),
    (8, 0): (64, 164, 163),
    (8, 6): (48, 100, 99),
    (8, 7): (48, 164, 163),
    (8, 9): (48, 100, 99),
    (9, 0): (64, 228, 227),
    (10, 0): (64, 228, 227),
    (10, 3): (64, 228, 227),
    (11, 0): (48, 228, 227),
    (12, 0): (48, 100, 99),
    (12, 1): (48, 100, 99),
}
HEADERS = (*Path("/usr/local").glob("cuda*/include"), Path("/usr/include"))
HEADER = next((p for p in HEADERS if (p / "cuda_occupancy.h").exists()), None)
PROGRAM = """
#include <cuda_occupancy.h>
extern "C" int blocks(int major, int minor, int warps, int shared, int block,
                      int registers, int own, int threads) {
  cudaOccDeviceProp device;
  device.computeMajor = major, device.computeMinor = minor;
  device.maxThreadsPerBlock = 1024, device.maxThreadsPerMultiprocessor = 32 * warps;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536, device.warpSize = 32;
  device.sharedMemPerBlock = 48 * 1024, device.sharedMemPerBlockOptin = block * 1024;
  device.sharedMemPerMultiprocessor = shared * 1024, device.numSms = 1;
  device.reservedSharedMemPerBlock = major < 8 ? 0 : 1024;
  cudaOccFuncAttributes kernel;
  kernel.maxThreadsPerBlock = 1024, kernel.numRegs = registers;
  kernel.sharedSizeBytes = 0, kernel.maxDynamicSharedSizeBytes = own;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN, kernel.numBlockBarriers = 1;
  cudaOccDeviceState state;
  state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
  cudaOccResult found;
  cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(
      &found, &device, &kernel, &state, threads, own);
  return error ? -error : found.activeBlocksPerMultiprocessor;
}
"""


@pytest.mark.parametrize(
    ("capability", "registers", "shared", "threads", "blocks", "limits"),
    [
        ((8, 0), 128, 0, 128, 4, ("registers",)),
        ((9, 0), 96, 0, 128, 5, ("registers",)),
        ((9, 0), 97, 0, 128, 4, ("registers",)),  # as 104: a unit is 8 of a thread
        ((9, 0), 255, 0, 128, 2, ("registers",)),
        ((9, 0), 32, 0, 128, 16, ("registers", "warps")),
        ((7, 5), 32, 0, 128, 8, ("warps",)),
        ((7, 5), 32, 32 * 1024, 128, 2, ("shared memory",)),
        ((8, 6), 16, 49 * 1024, 64, 2, ("shared memory",)),
        ((8, 6), 16, 50 * 1024, 64, 1, ("shared memory",)),  # and a kilobyte reserved
        ((8, 9), 32, 0, 32, 24, ("blocks",)),
        ((9, 0), 32, 6 * 1024, 128, 16, ("registers", "warps")),
        ((10, 0), 24, 227 * 1024, 1024, 1, ("shared memory",)),
        ((12, 0), 80, 0, 256, 3, ("registers",)),
        ((8, 0), 128, 0, 1024, 0, ("registers",)),
        ((8, 6), 16, 100 * 1024, 32, 0, ("shared memory",)),
        ((9, 0), 16, 0, 1025, 0, ("warps",)),
    ],
)
def test_hand_values(capability, registers, shared, threads, blocks, limits):
    found = resident(capability, registers=registers, shared=shared, threads=threads)
    assert (found.blocks, found.limits) == (blocks, limits)
    assert found.warps == blocks * -(-threads // 32)
    assert found.most == KNOWN[capability][0]


def test_a_card_is_like_the_one_before_it():
    assert [like(c) for c in ((7, 0), (9, 0), (8, 8), (12, 5), (13, 0))] == [
        (7, 5), (9, 0), (8, 7), (12, 1), (12, 1),
    ]  # fmt: skip


def test_an_unknown_card_is_told_with_the_remedy():
    with pytest.raises(UnsupportedError, match=r"\(7\.5, .* got 6\.1; add it"):
        resident((6, 1), registers=32, shared=0, threads=128)


@pytest.mark.skipif(
    HEADER is None or COMPILER is None, reason="no cuda_occupancy.h, or no compiler"
)
@pytest.mark.parametrize("capability", KNOWN)
def test_it_is_as_nvidia_computes_it(capability, tmp_path):
    assert COMPILER is not None
    source, made = tmp_path / "occupancy.cpp", tmp_path / "occupancy.so"
    source.write_text(PROGRAM)
    options = ["-O1", "-w", "-fPIC", "-shared", f"-I{HEADER}"]
    subprocess.run([COMPILER, *options, str(source), "-o", str(made)], check=True)
    blocks = ctypes.CDLL(str(made)).blocks
    most = KNOWN[capability][2] * 1024
    sizes = (0, 1, 1024, 5000, 16384, 33000, 49152, 60000, 90000, most, most + 1)
    threads = (1, 32, 64, 100, 128, 256, 384, 1024)
    for registers, own, count in itertools.product(range(1, 256, 3), sizes, threads):
        found = resident(capability, registers=registers, shared=own, threads=count)
        want = blocks(*capability, *KNOWN[capability], registers, own, count)
        assert found.blocks == want, (registers, own, count)

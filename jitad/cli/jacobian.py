"""`jitad jacobian`: Jacobians of a batch that lies on disk, written to disk.

Files are mapped chunk by chunk, so that memory holds one chunk of each at a time.  The
result is written beside its place and moved there when it is complete.
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from jitad import api
from jitad.calls.function import Function
from jitad.errors import InputError

from . import named
from .named import UsageError

_CHUNK_BYTES = 64 << 20


def run(options: argparse.Namespace) -> int:
    """Evaluate vmap(jacobian(f)) over the files."""
    f = named.function(options.function)
    inputs = [_input(path) for path in options.inputs]
    _need_fit(options, named.parameters(f), inputs)
    J = api.jacobian(f, options.argnum, mode=options.mode)
    try:
        function = api.vmap(J, device=options.device)
    except InputError as error:
        raise UsageError(f"--device: {error}") from error
    empty = function(*[np.asarray(x[:0]) for x in inputs])
    if not isinstance(empty, np.ndarray):
        raise UsageError(
            f"expected {options.function} to take and return arrays, got nested "
            "results; return one array (np.concatenate, np.stack)"
        )
    shape = (len(inputs[0]), *empty.shape[1:])
    target: Path = options.output
    _need_space(target, math.prod(shape) * empty.itemsize)
    partial = target.with_name(target.name + ".part")
    try:
        whole = np.lib.format.open_memmap(partial, "w+", empty.dtype, shape)
        _evaluate(function, [*inputs, whole], options.chunk, options.quiet)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{target}: {empty.dtype} of shape {shape}")
    return 0


def _evaluate(
    function: Function, arrays: Sequence[np.memmap], chunk: int | None, quiet: bool
) -> None:
    """Inputs, and last the result, chunk by chunk."""
    count = len(arrays[0])
    per_point = sum(math.prod(x.shape[1:]) * x.itemsize for x in arrays)
    chunk = chunk or max(1, _CHUNK_BYTES // max(per_point, 1))
    scaled = count >= 1000
    with tqdm(total=count, unit=" points", unit_scale=scaled, disable=quiet) as bar:
        for start in range(0, count, chunk):
            stop = min(start + chunk, count)
            *given, result = [_rows(x, start, stop) for x in arrays]
            function(*given, out=result)
            bar.update(stop - start)


def _rows(whole: np.memmap, start: int, stop: int) -> np.ndarray:
    """Rows start to stop, mapped by themselves, so that they can be let go of."""
    if not whole.flags.c_contiguous:
        return whole[start:stop]
    row = math.prod(whole.shape[1:]) * whole.itemsize
    assert whole.filename is not None
    return np.memmap(
        whole.filename, whole.dtype, "r" if whole.mode == "r" else "r+",
        whole.offset + start * row, (stop - start, *whole.shape[1:]),
    )  # fmt: skip


def _input(path: Path) -> np.memmap:
    found = named.load(path, mmap_mode="r")
    if not isinstance(found, np.memmap) or not found.ndim:
        raise UsageError(
            f"expected {path} to hold one array of shape (points, *argument), got "
            f"{'a number' if isinstance(found, np.memmap) else 'several'}; save it "
            "with np.save"
        )
    return found


def _need_fit(
    options: argparse.Namespace, names: Sequence[str], inputs: Sequence[np.memmap]
) -> None:
    if len(inputs) != len(names):
        raise UsageError(
            f"expected {len(names)} input files for {options.function} "
            f"({', '.join(names)}), got {len(inputs)}; give one for each argument, and "
            "then the output"
        )
    if not -len(inputs) <= options.argnum < len(inputs):
        raise UsageError(
            f"expected --argnum from 0 to {len(inputs) - 1}, got {options.argnum}"
        )
    if options.chunk is not None and options.chunk < 1:
        raise UsageError(f"expected --chunk of at least 1, got {options.chunk}")
    lengths = {str(p): len(x) for p, x in zip(options.inputs, inputs, strict=True)}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{path}: {n}" for path, n in lengths.items())
        raise UsageError(f"expected inputs of one length, the points, got {shown}")
    target: Path = options.output
    if any(target.exists() and target.samefile(path) for path in options.inputs):
        raise UsageError(
            f"expected an output of its own, got the input {target}; name another file"
        )
    if not target.parent.is_dir():
        raise UsageError(
            f"expected the directory {target.parent} for the output, got none; make it"
        )


def _need_space(target: Path, size: int) -> None:
    free = shutil.disk_usage(target.parent).free
    if size > free:
        raise UsageError(
            f"expected {size / 1e9:.1f} GB free for {target}, got {free / 1e9:.1f} GB; "
            "write to another disk, or fewer points"
        )

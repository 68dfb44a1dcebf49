"""What is kept on disk of compiled GPU kernels; with a compiler that only counts."""

from __future__ import annotations

import os
import stat
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from jitad.backends.cuda import cubins
from jitad.backends.cuda.nvrtc import Cubin, Usage
from jitad.kept import entries

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="about POSIX modes")


class Compiler:
    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __call__(self, text: str, capability: tuple[int, int], *, registers=None):
        self.calls.append((text, capability, registers))
        used = {"kernel": Usage(40, 8, 0, 0, 1024)}
        return Cubin(f"\n\0{text}{capability}{registers}".encode(), used)


def get(
    folder: Path, compiler: Compiler, text="a", cc=(9, 0), registers=None, v=13,
    most=entries.MOST,
):  # fmt: skip
    return cubins.compiled(
        text, cc, registers=registers, folder=folder, compile=compiler,
        version=lambda: (v, 0), most=most,
    )  # fmt: skip


def test_what_was_compiled_is_found_again(tmp_path):
    folder, compiler = tmp_path / "a" / "b", Compiler()
    first = get(folder, compiler)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert get(folder, compiler) == first
    assert compiler.calls == [("a", (9, 0), None)]
    assert [len(p.name) for p in folder.iterdir()] == [64]


@pytest.mark.parametrize(
    "change", [{"text": "b"}, {"cc": (8, 0)}, {"registers": 128}, {"v": 12}], ids=str
)
def test_all_that_code_depends_on_is_in_its_name(tmp_path, change):
    folder, compiler = tmp_path / "own", Compiler()
    get(folder, compiler)
    get(folder, compiler, **change)
    assert len(compiler.calls) == 2
    assert len(list(folder.iterdir())) == 2


def flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "spoil", [flipped, lambda data: data[:-1], lambda data: b"", lambda data: data[1:]]
)
def test_a_broken_entry_is_compiled_again(tmp_path, spoil):
    folder, compiler = tmp_path / "own", Compiler()
    first = get(folder, compiler)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    entry.write_bytes(spoil(whole))
    assert get(folder, compiler) == first
    assert len(compiler.calls) == 2
    assert entry.read_bytes() == whole


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_open_to_others_is_not_used(tmp_path, mode):
    folder, compiler = tmp_path / "open", Compiler()
    first = get(folder, compiler)
    (entry,) = folder.iterdir()
    folder.chmod(mode)
    assert get(folder, compiler) == first
    assert len(compiler.calls) == 2
    entry.unlink()
    get(folder, compiler)
    assert not list(folder.iterdir())


def test_a_link_is_no_folder_of_our_own(tmp_path):
    (tmp_path / "there").mkdir(mode=0o700)
    folder, compiler = tmp_path / "link", Compiler()
    folder.symlink_to(tmp_path / "there")
    get(folder, compiler)
    get(folder, compiler)
    assert len(compiler.calls) == 2


def test_a_place_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    compiler = Compiler()
    assert get(tmp_path / "file" / "own", compiler).code
    assert len(compiler.calls) == 1


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def age(folder: Path) -> None:
    """Let a second pass for what is kept: clocks of file systems may be coarse."""
    for path in folder.iterdir():
        last = path.stat().st_mtime_ns - 10**9
        os.utime(path, ns=(last, last))


def test_what_was_not_used_for_longest_goes(tmp_path):
    folder, compiler = tmp_path / "own", Compiler()
    get(folder, compiler, "a")
    each = size(folder)
    for text in ("b", "c", "a", "d"):  # a is used again, so b is the oldest
        age(folder)
        get(folder, compiler, text, most=3 * each)
    assert size(folder) == 3 * each
    asked = [text for text, *_ in compiler.calls]
    assert asked == ["a", "b", "c", "d"]
    for text in ("a", "c", "d"):
        get(folder, compiler, text, most=3 * each)
    assert len(compiler.calls) == 4
    age(folder)
    get(folder, compiler, "b", most=3 * each)
    assert len(compiler.calls) == 5
    assert size(folder) == 3 * each


def test_what_a_process_left_half_written_goes_too(tmp_path):
    folder, compiler = tmp_path / "own", Compiler()
    get(folder, compiler, "a")
    each = size(folder)
    (folder / "tmp0").write_bytes(bytes(each))
    age(folder)
    get(folder, compiler, "a")
    get(folder, compiler, "b", most=2 * each)
    assert not (folder / "tmp0").exists()
    assert size(folder) == 2 * each
    get(folder, compiler, "c", most=0)
    assert size(folder) == 0


def use(folder: Path, seed: int, most: int) -> None:
    """Ask for entries in an order of one's own, and see that they are right."""
    rng = np.random.default_rng(seed)
    for k in rng.integers(0, 12, 150):
        text = "abcdefghijkl"[k]
        assert get(folder, Compiler(), text, most=most) == Compiler()(text, (9, 0))


@pytest.mark.slow
def test_several_processes_evict_at_once(tmp_path):
    folder = tmp_path / "own"
    get(folder, Compiler())
    most = 4 * size(folder)
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        for done in [pool.submit(use, folder, seed, most) for seed in range(3)]:
            done.result()
    get(folder, Compiler(), "z", most=most)
    assert 0 < size(folder) <= most
    assert {len(path.name) for path in folder.iterdir()} == {64}


def test_the_folder_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert entries.folder_of("cubins") == tmp_path / "jitad" / "cubins"

"""What is kept on disk of compiled GPU kernels; with a compiler that only counts."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from jitad.backends import cubins
from jitad.backends.nvrtc import Cubin, Usage

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="about POSIX modes")


class Compiler:
    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def __call__(self, text: str, capability: tuple[int, int], *, registers=None):
        self.calls.append((text, capability, registers))
        used = {"kernel": Usage(40, 8, 0, 0, 1024)}
        return Cubin(f"\n\0{text}{capability}{registers}".encode(), used)


def get(folder: Path, compiler: Compiler, text="a", cc=(9, 0), registers=None, v=13):
    return cubins.compiled(
        text, cc, registers=registers, folder=folder, compile=compiler,
        version=lambda: (v, 0),
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


def test_the_folder_is_where_caches_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cubins.default_folder() == tmp_path / "jitad" / "cubins"

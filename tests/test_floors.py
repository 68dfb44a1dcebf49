"""The house: imports go down its floors, and only the back ends know Numba."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jitad

ROOT = Path(jitad.__file__).parent
FLOORS = {
    "errors": 0,
    "locks": 0,
    "tree": 0,
    "ir": 1,
    "primitives": 2,
    "transforms": 3,
    "sparse": 3,
    "lowering": 4,
    "backends": 5,
    "plan": 6,
    "nests": 6,
    "seeds": 6,
    "where": 6,
    "explanation": 6,
    "facts": 6,
    "arrays": 6,
    "program": 6,
    "steps": 6,
    "rows": 6,
    "call": 7,
    "cards": 7,
    "device": 7,
    "function": 7,
    "operator": 7,
    "api": 7,
    "deriving": 7,
    "documentation": 7,
    "residuals": 7,
}
TOP = 8
LATE = (
    "jitad.backends.cuda_device",
    "jitad.interop.device_routine",
    "cuda.",
    "numba.cuda",
    "jitad.cards",
    "jitad.backends.libraries",
    "jitad.backends.card",
)
COMPILERS = {"numba", "llvmlite", "cuda"}


def sources() -> list[Path]:
    return [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


def room(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """Names of the modules that a module imports, absolute."""
    package = ("jitad", *path.relative_to(ROOT).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1])
            module = node.module or ""
            whole = f"{base}.{module}".strip(".") if node.level else module
            yield from (f"{whole}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_keeps_to_its_floor(path: Path) -> None:
    tree = ast.parse(path.read_text())
    here = room(path)
    for name in imported(tree, path):
        parts = name.split(".")
        if parts[0] in COMPILERS:
            assert here == "backends", f"{path} imports {name}"
        if parts[0] == "jitad" and len(parts) > 1 and parts[1] != here:
            below = FLOORS.get(parts[1], TOP)
            assert below <= FLOORS.get(here, TOP), f"{path} imports {name} from above"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_at_its_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} does not say what it is"
    heads = [s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)]
    first = {n.split(".")[0] for s in heads for n in imported(s, path)}
    assert "cuda" not in first, f"{path} imports CUDA's packages with jitad"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            # CUDA's packages are imported when they are needed, if they are there.
            inside = [n for n in imported(node, path) if not n.startswith(LATE)]
            assert not inside, f"{path}: {node.name} imports {inside}"
        assert not isinstance(node, ast.Global), f"{path} has a global"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_property_computes_without_a_lock(path: Path) -> None:
    # On Python 3.11 a child forked while a thread computes one would wait for ever.
    names = set(imported(ast.parse(path.read_text()), path))
    assert "functools.cached_property" not in names

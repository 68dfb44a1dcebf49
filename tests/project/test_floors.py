"""The house: imports go down; only the back ends, and one reader, know Numba."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import jitad

ROOT = Path(jitad.__file__).parent
# Every room, and every module that stands in none, from the ground up.  What is on a
# floor knows what is below it, and nothing beside it.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "process"),
    ("tree",),
    ("ir",),
    ("kept", "random", "lowering", "primitives.define"),
    ("primitives.stated",),
    ("primitives.scalar",),
    ("primitives.arrays", "primitives.control"),
    ("primitives.matrices", "primitives.protocol"),
    ("primitives",),
    ("reading",),
    ("lowering.llvm", "lowering.cuda", "transforms.scalars"),
    ("transforms.rewrite",),
    ("transforms", "transforms.derivatives"),
    ("backends", "backends.cpu"),
    ("backends.cuda",),
    ("backends.exchange",),
    ("plan",),
    ("elements",),
    ("calls",),
    ("deriving",),
    ("asking",),
    ("documentation",),
    ("api",),
    ("directions",),
    ("residuals", "testing", "implicit", "interop", "show"),
    ("custom", "demo"),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}
# Packages that may be there or not.
OPTIONAL = ("cuda.", "numba.cuda")
# What takes long to import, and what few programs need.
HEAVY = (
    *("numba", "scipy", "matplotlib", "tqdm", "numpy.random", "numpy.polynomial"),
    *("importlib.metadata", "unittest", "html", "email", "numpy.ma"),
    *("jitad.primitives.scalar.special", "jitad.primitives.arrays.polynomials"),
    *("jitad.backends.cuda", "jitad.calls.cards", "jitad.backends.cpu.njit"),
    *("jitad.show.explanation", "jitad.show.facts", "jitad.show.nests"),
    *("jitad.show.passes",),
    *("jitad.show.picture", "jitad.show.dot", "jitad.show.formula"),
    *("jitad.implicit", "jitad.testing", "jitad.residuals", "jitad.lowering.cuda"),
    *("jitad.reading", "jitad.elements"),
)
COMPILERS = {"numba", "llvmlite", "cuda"}
FRONT_END = ROOT / "reading" / "frontend.py"  # which asks Numba what a function says


def sources() -> list[Path]:
    return [p for p in sorted(ROOT.rglob("*.py")) if p != ROOT / "__init__.py"]


def room(name: str) -> str | None:
    """The room that a module of jitad stands in, or itself where it stands in none."""
    parts = name.split(".")
    heads = [".".join(parts[1:k]) for k in range(len(parts), 1, -1)]
    return next((head for head in heads if head in FLOOR), None)


def name_of(path: Path) -> str:
    """The full name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(["jitad", *(p for p in parts if p != "__init__")])


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
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "late":
            yield ast.literal_eval(node.args[0])


@pytest.mark.slow
def test_no_test_module_is_imported() -> None:
    for path in Path(__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = f"{getattr(node, 'module', '')}." + ".".join(
                    alias.name for alias in node.names
                )
                assert ".test_" not in f".{names}", f"{path} imports {names}"


def test_every_room_has_its_floor() -> None:
    assert {room(name_of(path)) for path in sources()} == FLOOR.keys()


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_knows_what_is_below_it(path: Path) -> None:
    here = room(name_of(path))
    assert here is not None
    for name in imported(ast.parse(path.read_text()), path):
        if name.split(".")[0] in COMPILERS:
            ours = here.split(".")[0] == "backends" or path == FRONT_END
            assert ours, f"{path} imports {name}"
        if name.startswith("jitad."):
            there = room(name) or "cli"  # what `jitad` itself gives, as its version
            below = there == here or FLOOR[there] < FLOOR[here]
            assert below, f"{path} imports {name}, which is not below it"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_at_its_top(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} does not say what it is"
    heads = [s for s in tree.body if isinstance(s, ast.Import | ast.ImportFrom)]
    first = {n.split(".")[0] for s in heads for n in imported(s, path)}
    assert "cuda" not in first, f"{path} imports CUDA's packages with jitad"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            inside = [n for n in imported(node, path) if not n.startswith(OPTIONAL)]
            assert not inside, f"{path}: {node.name} imports {inside}"
        assert not isinstance(node, ast.Global), f"{path} has a global"


def run(text: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


_FIRST = """
import sys, numpy, jitad
print([name for name in {heavy} if name in sys.modules])
x = numpy.ones((3, 2))
jitad.vmap(lambda x: (x, jitad.jacobian(lambda x: numpy.sin(x) * x[0])(x)))(x)
jitad.jit(jitad.grad(lambda x: numpy.sum(x * x)))(x)
print([name for name in {heavy} if name in sys.modules])
"""


@pytest.mark.slow
def test_a_first_call_needs_no_heavy_room() -> None:
    assert run(_FIRST.format(heavy=HEAVY)).split("\n") == ["[]", "[]", ""]


def test_a_late_module_is_copied_and_looked_at_without_it() -> None:
    found = run(
        "import copy, inspect, pickle, sys; from jitad.process.late import late\n"
        "there = late('colorsys'); made = pickle.loads(pickle.dumps(there))\n"
        "inspect.unwrap(there); inspect.getmembers(there); copy.deepcopy(there)\n"
        "print('colorsys' in sys.modules, made.rgb_to_hsv(1, 1, 1), there)"
    )
    assert found == "False (0.0, 0.0, 1) <colorsys, imported when needed>\n"


def test_heavy_rooms_are_there() -> None:
    assert all(importlib.util.find_spec(name) for name in HEAVY)


@pytest.mark.slow
def test_every_public_name_is_there() -> None:
    names = [*jitad.__all__, "testing", "__version__"]
    text = f"import jitad\nfor name in {names}: getattr(jitad, name)\nprint('all')"
    assert run(text) == "all\n"
    assert run("from jitad import *; print(check, CheckError, njit)").count("<") == 3
    # Where a module has the name of a function, it must not come in its place.
    text = "import jitad; from jitad.show import explain, info; "
    assert run(f"{text}print(jitad.info, jitad.explain)").count("<function") == 2


def test_what_comes_late_is_what_is_said_to() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    (block,) = [s for s in tree.body if isinstance(s, ast.If)]
    said = {n.rpartition(".")[::2] for n in imported(block, ROOT / "__init__.py")}
    rooms = {("jitad", "interop"), ("jitad", "testing")}
    assert {(v, k) for k, v in jitad._LATE.items()} == said - rooms


# An order of imports, and a function that is imported in: who traces it meets SciPy.
_ORDERS = (
    "import scipy.special, jitad",
    "import jitad, scipy.special",
    "import jitad, scipy",
    "import jitad",
)


@pytest.mark.slow
@pytest.mark.parametrize("order", _ORDERS)
def test_functions_are_known_whenever_their_library_is_imported(order: str) -> None:
    text = f"""
{order}
import numpy as np
x, c = np.array([0.3, 1.5]), np.array([1.0, 2.0, 3.0])
def f(x):
    import scipy.special as s
    first = s.softmax(x) * s.logsumexp(x)
    inner = jitad.vmap(jitad.grad(s.erf))(x)
    from numpy.polynomial import polynomial
    return first + inner + s.polygamma(2, x) + polynomial.polyval(x, c), s.gammaln(x)
def g(x):
    return np.polynomial.chebyshev.chebval(x, c) + __import__("scipy").special.ndtr(x)
import jitad
for h in (f, g):
    got = jitad.jit(h, backend="numpy")(x)
    with np.errstate(all="raise"):
        slope = jitad.jacobian(h, backend="numpy")(x)
want = np.polynomial.chebyshev.chebval(x, c) + __import__("scipy").special.ndtr(x)
np.testing.assert_allclose(got, want, rtol=1e-14)
normal = np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
np.testing.assert_allclose(np.diag(slope), 2 + 12 * x + normal, rtol=1e-14)
print("right")
"""
    assert run(text) == "right\n"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_property_computes_without_a_lock(path: Path) -> None:
    # On Python 3.11 a child forked while a thread computes one would wait for ever.
    names = set(imported(ast.parse(path.read_text()), path))
    assert "functools.cached_property" not in names

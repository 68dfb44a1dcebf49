"""The command line: what it prints and writes, and how it refuses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import jitad
from jitad.backends.cuda import cubins
from jitad.backends.cuda.card import Card
from jitad.calls import cards
from jitad.cli import demo, main
from jitad.cli import jacobian as on_disk
from tests.support.cuda_core import Core, machine_code
from tests.support.cuda_host import needs_compiler

MODELS = """
import numpy as np
import jitad

three = 3

def residual(camera, point):
    return camera[:2] * (point[:2] / point[2]) + camera[2] * np.sin(point[2])

def valley(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

def square(x):
    return x**2

def logarithm(x):
    return np.log(x)

def gradient_stopped(x):
    return jitad.stop_gradient(x) * x

def concrete(x):
    return x * float(x)

def eighth(x):
    return x[7]

def pair(x):
    return x, 2 * x

class Holder:
    cube = staticmethod(lambda x: x**3)
"""


@pytest.fixture
def there(tmp_path, monkeypatch):
    """A directory with a module of functions, to run commands in."""
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "broken.py").write_text("import numpy as np\ndef f(x) return x\n")
    (tmp_path / "lacking.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("models", "broken", "lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def ran(capsys, *arguments):
    """Exit status and output; errors are refusals."""
    status = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert err == "" or status == 2 or "points/s" in err
    return status, out, err


def test_info_says_what_there_is(capsys):
    status, out, _ = ran(capsys, "info")
    assert status == 0
    facts = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert facts["numpy"] == np.__version__
    assert facts["threads"] == str(jitad.get_threads())
    assert "bits" in facts["vectors"]
    assert "GB/s" in out
    assert "math library" in out


@pytest.mark.slow
def test_it_runs_as_a_module():
    call = [sys.executable, "-m", "jitad", "--help"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    for command in ("info", "demo", "check", "explain", "jacobian"):
        assert command in done.stdout


# -- check ---------------------------------------------------------------------


def test_check_at_random_points(capsys, there):
    status, out, _ = ran(
        capsys, "check", "models:residual", "--shapes", "3", "3", "--count", "2"
    )
    assert status == 0
    assert out.startswith("check of residual: 2 results, 6 inputs")
    assert out.endswith("2 of 2 points passed\n")


@pytest.mark.slow
def test_check_at_given_points(capsys, there):
    points = {"camera": np.ones((3, 3)), "point": np.full((3, 3), 2.0)}
    np.savez("named.npz", **points)
    np.savez("ordered.npz", *points.values())
    np.save("single.npy", np.linspace(1, 2, 4))
    for file in ("named.npz", "ordered.npz"):
        call = ("check", "models:residual", "--points", file, "--count", 1)
        status, out, _ = ran(capsys, *call, "--argnums", 1)
        assert status == 0
        assert "2 results, 3 inputs" in out
    status, out, _ = ran(
        capsys, "check", "models:Holder.cube", "--points", "single.npy"
    )
    assert (status, out.splitlines()[-1]) == (0, "4 of 4 points passed")


def test_check_tells_wrong_from_vacuous(capsys, there):
    np.save("negative.npy", np.array([-1.0, -2.0]))
    np.save("mixed.npy", np.array([-1.0, 2.0]))
    status, out, _ = ran(
        capsys, "check", "models:logarithm", "--points", "negative.npy"
    )
    assert status == 1
    assert "0 of 2 points passed, 2 vacuous: nothing there could be compared" in out
    status, out, _ = ran(capsys, "check", "models:logarithm", "--points", "mixed.npy")
    assert status == 0
    assert "1 of 2 points passed, 1 vacuous" in out
    call = ("check", "models:gradient_stopped", "--count", 1)
    status, out, _ = ran(capsys, *call)
    assert status == 1
    assert "finite differences: expected" in out
    assert ran(capsys, *call, "--no-differences")[0] == 0


# -- explain -------------------------------------------------------------------


def test_explain(capsys, there):
    call = ("explain", "models:valley", "--shapes", "2", "--count", "1000")
    for transform in ("jit", "grad", "value_and_grad", "jacobian", "hessian"):
        status, out, _ = ran(capsys, *call, "--transform", transform)
        assert status == 0
        assert out.startswith(f"vmap({transform}(valley)) at 1,000 points")
    status, out, _ = ran(capsys, *call, "--mode", "forward")
    assert "as asked" in out
    call = ("explain", "models:residual", "--shapes", "3", "3", "--argnums", "1")
    assert "result  float64[2,3]" in ran(capsys, *call)[1]


# -- jacobian ------------------------------------------------------------------


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1000, 3)), rng.normal(size=(1000, 3)) + 3


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("chunk", [(), ("--chunk", 7), ("--chunk", 1000)])
def test_jacobian_of_files(capsys, there, batch, order, chunk):
    camera, point = batch
    np.save("camera.npy", np.asarray(camera, order=order))
    np.save("point.npy", point)
    call = ("jacobian", "models:residual", "camera.npy", "point.npy", "J.npy")
    status, out, err = ran(capsys, *call, "--argnum", 1, *chunk)
    assert (status, out) == (0, "J.npy: float64 of shape (1000, 2, 3)\n")
    assert "1.00k/1.00k" in err
    function = importlib.import_module("models").residual
    want = jitad.vmap(jitad.jacobian(function, 1))(camera, point)
    assert np.array_equal(np.load("J.npy"), want)
    assert not list(there.glob("*.part"))


@pytest.mark.slow
@needs_compiler
def test_jacobian_of_files_on_a_card(capsys, there, batch, monkeypatch):
    camera, point = batch
    for name, x in (("camera", camera), ("point", point)):
        np.save(f"{name}.npy", x)
    core = Core(cards=2)
    monkeypatch.setattr(cards, "card", lambda n: Card(n, core))
    monkeypatch.setattr(cubins, "compiled", machine_code)
    call = ("jacobian", "models:residual", "camera.npy", "point.npy", "J.npy")
    status, _, _ = ran(capsys, *call, "--device", "cuda:1", "--chunk", 300)
    assert status == 0
    want = jitad.vmap(jitad.jacobian(importlib.import_module("models").residual))
    np.testing.assert_allclose(np.load("J.npy"), want(camera, point), rtol=1e-12)
    assert {s[2] for s in core.streams if s[0] == "launch"} == {1}


def test_jacobian_keeps_single_precision_and_empty_batches(capsys, there):
    np.save("x.npy", np.float32([[1, 2], [3, 4]]))
    np.save("none.npy", np.zeros((0, 2)))
    assert ran(capsys, "jacobian", "models:square", "x.npy", "J.npy", "--quiet")[0] == 0
    J = np.load("J.npy")
    assert J.dtype == np.float32
    assert np.array_equal(J, [np.diag([2, 4]), np.diag([6, 8])])
    assert ran(capsys, "jacobian", "models:square", "none.npy", "J.npy")[0] == 0
    assert np.load("J.npy").shape == (0, 2, 2)


def test_jacobian_leaves_nothing_behind_when_stopped(capsys, there, monkeypatch):
    np.save("x.npy", np.ones((10, 2)))
    Path("J.npy").write_bytes(b"precious")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(on_disk, "_evaluate", stop)
    status, _, err = ran(capsys, "jacobian", "models:square", "x.npy", "J.npy")
    assert (status, err) == (2, "jitad jacobian: stopped\n")
    assert Path("J.npy").read_bytes() == b"precious"
    assert not list(there.glob("*.part"))


def test_jacobian_maps_one_chunk_at_a_time(there):
    np.save("x.npy", np.arange(60.0).reshape(20, 3))
    whole = np.load("x.npy", mmap_mode="r")
    rows = on_disk._rows(whole, 5, 9)
    assert np.array_equal(rows, whole[5:9])
    assert rows.base is not whole.base
    assert not rows.flags.writeable


# -- refusals ------------------------------------------------------------------

REFUSED = {
    "no colon": ("check models", "expected module:function, got 'models'"),
    "a file": ("check models.py:square", "write for example models:square"),
    "no module": ("check nowhere:f", "expected a module nowhere, got none in"),
    "lacking": ("check lacking:f", "No module named 'nothing_of_that_name'"),
    "syntax": ("check broken:f", "SyntaxError"),
    "no function": ("check models:f", "it defines residual, valley, square"),
    "no callable": ("check models:three", "to be a function, got int"),
    "too few shapes": (
        "check models:residual --shapes 3",
        "expected 2 --shapes (camera, point), got 1",
    ),
    "no shape": ("check models:square --shapes big", "expected a shape such as 3"),
    "no points": ("check models:square --count 0", "--count of at least 1, got 0"),
    "no such argument": ("check models:square --argnums 3", "from 0 to 0, got 3"),
    "no file": ("check models:square --points no.npz", "a file no.npz, got none"),
    "no arrays": ("check models:square --points models.py", "to be a .npy or .npz"),
    "other names": (
        "check models:residual --points other.npz",
        "expected arrays camera, point in other.npz, got camera, x",
    ),
    "other lengths": (
        "check models:residual --points lengths.npz",
        "got camera [2, 3], point [3, 3]",
    ),
    "wrong shape": (
        "check models:eighth",
        "(models.py, line 26); choose them with --points",
    ),
    "float": ("check models:concrete", "use NumPy's function"),
    "wrong shape on disk": (
        "jacobian models:eighth x.npy J.npy",
        "(models.py, line 26); each file holds the points along its first axis",
    ),
    "grad of a vector": (
        "explain models:square --shapes 2 --transform grad",
        "expected a scalar result",
    ),
    "too few inputs": (
        "jacobian models:residual x.npy J.npy",
        "expected 2 input files for models:residual (camera, point), got 1",
    ),
    "lengths on disk": (
        "jacobian models:residual x.npy y.npy J.npy",
        "of one length, the points, got x.npy: 4, y.npy: 5",
    ),
    "over its input": (
        "jacobian models:square x.npy x.npy",
        "expected an output of its own",
    ),
    "nowhere": (
        "jacobian models:square x.npy no/J.npy",
        "expected the directory no for the output, got none",
    ),
    "nested": ("jacobian models:pair x.npy J.npy", "got nested results"),
    "device": ("jacobian models:square x.npy J.npy --device gpu", 'expected "cpu"'),
    "chunk": ("jacobian models:square x.npy J.npy --chunk 0", "at least 1, got 0"),
    "argnum": ("jacobian models:square x.npy J.npy --argnum 2", "from 0 to 0, got 2"),
    "several": ("jacobian models:square other.npz J.npy", "got several"),
    "a number": ("jacobian models:square number.npy J.npy", "got a number"),
    "integers": ("jacobian models:square whole.npy J.npy", "expected floating-point"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_gets_one_line_and_status_two(capsys, there, case):
    np.savez("other.npz", camera=np.ones((2, 3)), x=np.ones((2, 3)))
    np.savez("lengths.npz", camera=np.ones((2, 3)), point=np.ones((3, 3)))
    np.save("x.npy", np.ones((4, 3)))
    np.save("y.npy", np.ones((5, 3)))
    np.save("number.npy", np.float64(3))
    np.save("whole.npy", np.ones((4, 3), int))
    command, said = REFUSED[case]
    status, out, err = ran(capsys, *command.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"jitad {command.split()[0]}: ")
    assert said in err
    assert "Traceback" not in err
    assert not Path("J.npy").exists()


def test_a_full_disk_is_noticed_before(capsys, there, monkeypatch):
    np.save("x.npy", np.ones((4, 3)))
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(on_disk.shutil, "disk_usage", lambda _: usage)
    status, _, err = ran(capsys, "jacobian", "models:square", "x.npy", "J.npy")
    assert status == 2
    assert "write to another disk" in err


def test_our_own_errors_are_not_hidden(there, monkeypatch):
    monkeypatch.setattr("jitad.cli.named.points", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["check", "models:square"])


# -- demo ----------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(demo, "_POINTS", 4096)
    monkeypatch.setattr(demo, "_REPETITIONS", 2)


@pytest.mark.slow
def test_demo_fits_draws_and_measures(capsys, there, quick):
    pytest.importorskip("matplotlib")
    status, out, _ = ran(capsys, "demo")
    assert status == 0
    lines = out.splitlines()
    fits = [line for line in lines if " reverse " in line or " forward " in line]
    assert len(fits) == 16
    assert "15 of 16 fits agree with all certified parameters to 6 digits" in out
    assert f"Data and fits: {there / 'jitad-demo.png'}" in lines
    assert (there / "jitad-demo.png").read_bytes().startswith(b"\x89PNG")
    assert "the 2×15 Jacobian of 4,096 reprojections" in out
    assert "million points per second" in out


def test_demo_without_matplotlib(capsys, there, quick, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("jitad.demo.nist.problems", lambda: ())
    status, out, _ = ran(capsys, "demo")
    assert status == 0
    assert "pip install 'jitad[plot]'" in out
    assert not list(there.glob("*.png"))


@pytest.mark.slow
def test_the_demo_differentiates_correctly():
    camera, point, weight, observed = (a[3] for a in demo.observations(4))
    args = (camera, point, weight, observed)
    assert jitad.check(demo.reprojection, *args, argnums=(0, 1, 2)).passed
    camera[:3] = 0
    assert jitad.check(demo.reprojection, *args, argnums=(0, 1, 2)).passed

"""From words on the command line to Python: functions by name, points from files."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import sys
import traceback
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jitad.errors import JitadError

_TEXTS = (".csv", ".tsv", ".txt", ".dat", ".json")


class UsageError(JitadError):
    """A mistake on the command line."""


def function(name: str) -> Callable[..., Any]:
    """The function that module:function names.

    Raises UsageError where there is none, or where its module cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute or module_name.endswith(".py"):
        stem = module_name.removesuffix(".py") or "module"
        raise UsageError(
            f"expected module:function, got {name!r}; write for example "
            f"{stem}:{attribute or 'function'}, with the module's name as in import"
        )
    module = _module(module_name)
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        public = [
            k
            for k, v in vars(module).items()
            if callable(v) and getattr(v, "__module__", "") == module_name
        ]
        raise UsageError(
            f"expected a function {attribute} in {module_name}, got none there; it "
            f"defines {', '.join(public) or 'no functions'}"
        )
    if not callable(found):
        raise UsageError(
            f"expected {name} to be a function, got {type(found).__name__}; name a "
            "function of that module"
        )
    return found


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"expected to import {name}, got: {error}; install what it imports"
            ) from error
        raise UsageError(
            f"expected a module {name}, got none in {here} or in Python's path; go to "
            "its directory, or install it"
        ) from error
    except Exception as error:
        raise UsageError(
            f"expected to import {name}, got {_described(error)}; try: python -c "
            f"'import {name}'"
        ) from error


def parameters(f: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters that have no default."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        return ["x"] * getattr(f, "nin", 1)
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        p.name
        for p in signature.parameters.values()
        if p.kind in kinds and p.default is p.empty
    ]


def points(options: argparse.Namespace, f: Callable[..., Any]) -> list[np.ndarray]:
    """For every argument of f an array of shape (points, *argument).

    Raises UsageError where files or shapes do not fit the function.
    """
    names = parameters(f)
    if options.count < 1:
        raise UsageError(f"expected --count of at least 1, got {options.count}")
    if options.points != "random":
        return _loaded(Path(options.points), names, options.count)
    shapes = [()] * len(names)
    if options.shapes is not None:
        shapes = [_shape(text) for text in options.shapes]
    if len(shapes) != len(names):
        raise UsageError(
            f"expected {len(names)} --shapes ({', '.join(names)}), got {len(shapes)}; "
            "give one for each argument, such as 3, 2x2 or scalar"
        )
    rng = np.random.default_rng(options.seed)
    return [rng.normal(size=(options.count, *shape)) for shape in shapes]


def _shape(text: str) -> tuple[int, ...]:
    if text == "scalar":
        return ()
    try:
        return tuple([int(part) for part in text.split("x")])
    except ValueError:
        raise UsageError(
            f"expected a shape such as 3, 2x2 or scalar, got {text!r}; separate "
            "lengths with x"
        ) from None


def load(path: Path, **options: Any) -> Any:
    """What np.load gives.

    Raises UsageError where the file is missing or not NumPy's.
    """
    if path.suffix.lower() in _TEXTS and path.exists():
        raise UsageError(
            f"expected a .npy or .npz file, got {path}, a text; convert it: python -c "
            f"\"import numpy as np; np.save('{path.with_suffix('.npy')}', "
            f"np.loadtxt('{path}', delimiter=','))\" (with skiprows=1 if its first "
            "line has names)"
        )
    try:
        return np.load(path, **options)
    except FileNotFoundError:
        raise UsageError(
            f"expected a file {path}, got none; save arrays with np.save or np.savez"
        ) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"expected {path} to be a .npy or .npz file of numbers, got: {error}; save "
            "arrays with np.save or np.savez"
        ) from error


def _loaded(path: Path, names: Sequence[str], count: int) -> list[np.ndarray]:
    found = load(path)
    if isinstance(found, np.ndarray):
        found = {names[0]: found} if len(names) == 1 else {"arr_0": found}
    given = list(found)
    wanted = list(names)
    if set(wanted) - set(given):
        wanted = [f"arr_{k}" for k in range(len(names))]
    if set(wanted) - set(given):
        raise UsageError(
            f"expected arrays {', '.join(names)} in {path}, got {', '.join(given)}; "
            f"save them with np.savez({str(path)!r}, {names[0]}=…)"
        )
    arrays = [found[name] for name in wanted]
    lengths = {name: np.shape(a)[:1] for name, a in zip(names, arrays, strict=True)}
    if (
        () in lengths.values()
        or len(set(lengths.values())) > 1
        or (0,) in lengths.values()
    ):
        shown = ", ".join(
            f"{name} {list(a.shape)}" for name, a in zip(lengths, arrays, strict=True)
        )
        raise UsageError(
            f"expected arrays of one length along axis 0, the points, got {shown}; "
            "repeat what points share with np.broadcast_to"
        )
    return [a[:count] for a in arrays]


def argnums(
    options: argparse.Namespace, arrays: Sequence[np.ndarray]
) -> tuple[int, ...]:
    """The arguments to differentiate in: as asked, or all that are floats."""
    if options.argnums is None:
        return tuple([k for k, a in enumerate(arrays) if a.dtype.kind == "f"])
    for k in options.argnums:
        if not -len(arrays) <= k < len(arrays):
            raise UsageError(
                f"expected --argnums from 0 to {len(arrays) - 1}, got {k}; the "
                f"function has {len(arrays)} arguments"
            )
    return tuple(options.argnums)


def mistake(error: Exception, options: argparse.Namespace) -> str | None:
    """One line for an error that came out of the user's own function, else None."""
    name = getattr(options, "function", None)
    module = sys.modules.get((name or "").partition(":")[0])
    source = getattr(module, "__file__", None)
    frames = traceback.extract_tb(error.__traceback__)
    if source is None or not any(_same(frame.filename, source) for frame in frames):
        return None
    remedy = "choose them with --points, or their shapes with --shapes"
    if options.command == "jacobian":
        remedy = "each file holds the points along its first axis, then the argument's"
    return f"expected {name} to run at these points, got {_described(error)}; {remedy}"


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()


def _described(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{text} ({error.filename}, line {error.lineno})"
    here = str(Path.cwd())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(here):
            place = Path(frame.filename).relative_to(here)
            return f"{text} ({place}, line {frame.lineno})"
    return text

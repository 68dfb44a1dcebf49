"""Programs that failed once: statements, their results, and the arguments."""

from __future__ import annotations

import numpy as np

from .program import Program

X = np.array([0.5, -1.25, 2.0])
H = X.astype(np.float32)
A = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]])


def program(*statements: str, **arguments: object) -> Program:
    """A program that returns all the variables that its statements make."""
    made = [s.partition(" = ")[0] for s in statements]
    results = tuple(dict.fromkeys([m for m in made if m.isidentifier()]))
    point = tuple(arguments.values())
    return Program(tuple(arguments), (point,), statements, results or tuple(arguments))


FOUND = {
    "linspace keeps float32": program("v = np.linspace(0, h, 3)", h=H),
    "linspace to integers": program("v = np.linspace(x, 2, 4, dtype=int)", x=X),
    "scan of a Python number": program(
        "v = jitad.scan(lambda c, z: (c * 0.5 + z, c), 0.0, np.ones(3, np.float32))[1]",
        x=X,
    ),
}

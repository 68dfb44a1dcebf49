"""OpenMDAO: explicit components whose partials are exact."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jitad.api import jacobian, jit
from jitad.errors import InputError
from jitad.ir.source import source_line
from jitad.process.late import late

from .adapting import name_of

om = late("openmdao.api")


def openmdao_component(
    f: Callable[..., Any],
    outputs: str | Sequence[str],
    units: Mapping[str, str] | None = None,
    **inputs: Any,
) -> Any:
    """((*x) -> y)  ->  an ExplicitComponent of OpenMDAO.

        wing = jitad.interop.openmdao_component(lift, "L", {"v": "m/s"}, v=10.0)
        problem.model.add_subsystem("wing", wing, promotes=["*"])

    outputs  the name of what f returns, or the names of a tuple of results
    units    of inputs and outputs by name, as OpenMDAO writes them
    inputs   values of f's arguments by name, which give their shapes and where OpenMDAO
             begins; those that have defaults may be left out
    All results depend on all inputs; partials are dense, (results, entries of inputs).
    In complex steps, which check them, f runs as it is, in NumPy.
    Raises InputError where f takes other names than inputs or returns more or fewer
    results than outputs.
    (J. S. Gray and others, OpenMDAO, Structural and Multidisciplinary Optimization 59,
    2019, section 4.)

    >>> def lift(v, area=2.0):
    ...     return 0.5 * 1.2 * v**2 * area
    >>> problem = openmdao.api.Problem(reports=False)
    >>> wing = jitad.interop.openmdao_component(lift, "L", v=10.0)
    >>> _ = problem.model.add_subsystem("wing", wing, promotes=["*"])
    >>> _ = problem.setup()
    >>> problem.run_model()
    >>> problem.compute_totals(of=["L"], wrt=["v"])["L", "v"]
    array([[24.]])
    """
    units = units or {}
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    values = {k: np.asarray(v, np.float64) for k, v in _inputs(f, inputs).items()}

    def results(*args: Any) -> tuple[Any, ...]:
        y = f(**dict(zip(values, args, strict=True)))
        return (y,) if isinstance(outputs, str) else tuple(y)

    slopes = jacobian(results, tuple(range(len(values))))
    value = jit(results)
    first = value(*values.values())
    if len(first) != len(names):
        raise InputError(
            f"openmdao_component: {name_of(f)} returns {len(first)} results "
            f"({source_line()}); expected {len(names)}, as there are names: "
            f"{', '.join(names)}"
        )
    shapes = {k: np.shape(y) for k, y in zip(names, first, strict=True)}

    class Component(om.ExplicitComponent):
        def setup(self) -> None:
            for k, x in values.items():
                self.add_input(k, x, units=units.get(k))
            for k, shape in shapes.items():
                self.add_output(k, np.zeros(shape), units=units.get(k))
            self.declare_partials("*", "*")

        def compute(self, inputs: Any, outputs: Any) -> None:
            run = results if self.under_complex_step else value
            for k, y in zip(names, run(*self._read(inputs)), strict=True):
                outputs[k] = y

        def compute_partials(self, inputs: Any, partials: Any) -> None:
            found = slopes(*self._read(inputs))
            for k, row in zip(names, found, strict=True):
                size = int(np.prod(shapes[k]))
                for name, slope in zip(values, row, strict=True):
                    partials[k, name] = np.reshape(slope, (size, -1))

        def _read(self, inputs: Any) -> list[Any]:
            return [np.reshape(inputs[k], x.shape) for k, x in values.items()]

    return Component()


def _inputs(f: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A value for every argument of f, in f's order."""
    parameters = inspect.signature(f).parameters
    known = {k: p.default for k, p in parameters.items() if p.default is not p.empty}
    known = {**known, **given}
    wrong = [k for k in given if k not in parameters]
    missing = [k for k in parameters if k not in known]
    if wrong or missing:
        raise InputError(
            f"openmdao_component: {name_of(f)} takes {', '.join(parameters)}, got "
            f"{', '.join(given) or 'none'} ({source_line()}); expected a value for "
            "every argument, by name"
        )
    return {k: known[k] for k in parameters}

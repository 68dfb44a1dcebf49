"""pints: forward models with the sensitivities that its gradient methods ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from jitad.process.late import late

from .adapting import fitting, name_of
from .rows import Rows

pints = late("pints")


def pints_model(
    simulate: Callable[..., Any], n_parameters: int, n_outputs: int = 1
) -> Any:
    """((parameters, times) -> y)  ->  a ForwardModelS1 of pints.

        model = jitad.interop.pints_model(simulate, n_parameters=2)
        problem = pints.SingleOutputProblem(model, times, values)

    simulate takes parameters of shape (n_parameters,) and times of shape (n_times,) and
    returns y of shape (n_times,), or (n_times, n_outputs) of several outputs.  The
    sensitivities are (n_times, n_parameters) or (n_times, n_outputs, n_parameters).
    With one output a model that computes each time from that time alone is
    differentiated as a batch of times, others as a whole.
    Raises InputError for y of another shape, which pints would reshape.
    (M. Clerx and others, PINTS, Journal of Open Research Software 7, 2019.)

    >>> def simulate(p, times):
    ...     return p[0] * np.exp(-p[1] * times)
    >>> model = jitad.interop.pints_model(simulate, 2)
    >>> model.simulateS1([2.0, 0.0], np.array([1.0, 2.0, 3.0]))[1]
    array([[ 1., -2.],
           [ 1., -4.],
           [ 1., -6.]])
    """
    rows = Rows(simulate)

    class Model(pints.ForwardModelS1):
        def n_parameters(self) -> int:
            return n_parameters

        def n_outputs(self) -> int:
            return n_outputs

        def simulate(self, parameters: Any, times: Any) -> np.ndarray:
            p, times = np.asarray(parameters, np.float64), np.asarray(times, np.float64)
            remedy = f"{n_parameters} numbers, as pints_model was told"
            fitting("pints_model: parameters", p, (n_parameters,), remedy)
            outputs = () if n_outputs == 1 else (n_outputs,)
            what = f"pints_model: what {name_of(simulate)} returns"
            remedy = "an entry or row for every time"
            y = np.asarray(simulate(p, times))
            return fitting(what, y, (len(times), *outputs), remedy)

        def simulateS1(self, parameters: Any, times: Any) -> Any:  # noqa: N802
            y = self.simulate(parameters, times)
            p, times = np.asarray(parameters, np.float64), np.asarray(times, np.float64)
            return y, rows(p, times, y)

    return Model()

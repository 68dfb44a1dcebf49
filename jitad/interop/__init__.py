"""What lets other libraries use what jitad compiled.

Where a library calls a derivative in a form of its own, a function here gives it that
form.  Each has the name of its library and that library's word for the callback, and
imports the library only when it is used:

    lmfit_dfun             Dfun= of lmfit's fits
    iminuit_model_grad     grad= of iminuit's LeastSquares, UnbinnedNLL and others
    iminuit_cost_grad      grad= of Minuit itself
    nlopt_objective        objectives and constraints of NLopt
    nlopt_mconstraint      several constraints of NLopt at once
    pyceres_cost           cost functions of pyceres
    gtsam_error            error functions of GTSAM's CustomFactor
    openmdao_component     components of OpenMDAO
    pints_model            models of pints, with sensitivities
    cvode_rhsfn, cvode_jacfn, ida_resfn, ida_jacfn
                           right-hand sides, residuals and Jacobians of scikit-sundae
    uncertainties_wrap     functions of arrays of numbers of uncertainties
    salib_dgsm             the derivative-based sensitivities of SALib
    pygmo_problem          problems of pygmo

`help(jitad.interop.lmfit_dfun)` and so on say how.  SciPy, emcee and others that call
functions of arrays take jitad's functions as they are: `.github/docs/solvers.md` shows
those calls.
"""

from importlib import import_module
from typing import Any

_ROOMS = {
    "cvode_jacfn": "sundae",
    "cvode_rhsfn": "sundae",
    "gtsam_error": "gtsam",
    "ida_jacfn": "sundae",
    "ida_resfn": "sundae",
    "iminuit_cost_grad": "iminuit",
    "iminuit_model_grad": "iminuit",
    "lmfit_dfun": "lmfit",
    "nlopt_mconstraint": "nlopt",
    "nlopt_objective": "nlopt",
    "openmdao_component": "openmdao",
    "pints_model": "pints",
    "pygmo_problem": "pygmo",
    "pyceres_cost": "pyceres",
    "salib_dgsm": "salib",
    "uncertainties_wrap": "uncertainties",
}

__all__ = list(_ROOMS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """An adapter, whose module is imported when it is first asked for."""
    if name in _ROOMS:
        return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

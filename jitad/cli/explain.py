"""`jitad explain`: how a derivative of a function would be computed over a batch."""

from __future__ import annotations

import argparse

from jitad import api
from jitad.show.explain import explain

from . import named

TRANSFORMS = ("jit", "grad", "value_and_grad", "jacobian", "hessian")


def run(options: argparse.Namespace) -> int:
    """Print the explanation of vmap(transform(f)) at the points."""
    f = named.function(options.function)
    arrays = named.points(options, f)
    argnums = named.argnums(options, arrays)
    wrt = argnums[0] if len(argnums) == 1 else argnums
    if options.transform == "jit":
        transformed = api.jit(f)
    elif options.transform in ("jacobian", "hessian"):
        transform = getattr(api, options.transform)
        transformed = transform(f, wrt, mode=options.mode)
    else:
        transformed = getattr(api, options.transform)(f, wrt)
    print(explain(api.vmap(transformed), *arrays))
    return 0

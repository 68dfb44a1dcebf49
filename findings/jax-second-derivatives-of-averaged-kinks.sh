#!/usr/bin/env bash
# JAX's second derivative of max(x, 0)² at 0 is neither side's and not their mean.
#
# Versions   jax 0.10.2, jaxlib 0.10.2 (Python 3.11)
# Expected   max(x, 0)² has the second derivatives 0 (from the left) and 2 (from the
#            right) at 0; one of them, or their mean 1, or NaN.
# Seen       0.5: the averages of both first derivatives are multiplied, 2 · ½ · ½.
#            jax.nn.relu(x)², the same function, has 0; |x|², which is smooth, has 2.
# Source     the average at ties is a convention for first derivatives, after autograd
#            (jax pull request 2342); the chain rule then squares it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet jax==0.10.2 jaxlib==0.10.2
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)


def second(f):
    return float(jax.hessian(f)(0.0))


found = [
    second(lambda x: jnp.maximum(x, 0) ** 2),
    second(lambda x: jax.nn.relu(x) ** 2),
    second(lambda x: jnp.abs(x) ** 2),
]
print("maximum(x, 0)², relu(x)², |x|²:", found)
assert found == [0.5, 0.0, 2.0]
PYTHON

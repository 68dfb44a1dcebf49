"""Certified problems of nonlinear regression, which `jitad demo` fits."""

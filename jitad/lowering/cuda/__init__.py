"""A kernel printed as CUDA C."""

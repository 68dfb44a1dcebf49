"""Graphs of scalars become loop-level kernels, kernels become text."""

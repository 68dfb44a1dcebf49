"""Floor 4: graphs of scalars become loop-level kernels, kernels become text."""

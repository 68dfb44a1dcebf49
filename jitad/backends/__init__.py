"""Floor 5: the machines that run kernels; the only floor that imports Numba."""

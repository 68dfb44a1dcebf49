"""The machines that run kernels; the only floor that imports Numba."""

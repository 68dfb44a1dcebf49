"""Small matrices: solve, inverse, determinant, factors, eigenvalues."""

"""Functions of arrays: what moves, picks, sorts, sums and multiplies elements."""

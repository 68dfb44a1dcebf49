"""Functions of scalars, applied to arrays element by element."""

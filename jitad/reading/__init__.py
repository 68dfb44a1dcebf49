"""Numba functions, read: their loops become loops of the graph, and no iteration more.

`frontend` asks Numba for a function's blocks, and is all that knows Numba; `door` takes
over the calls of Numba functions with traced values; `frame` runs blocks on them, and
joins what branches give; `loops` turns a loop into one node; `calls` says what may be
called, and `numbers` what Numba's arithmetic gives.  Start reading in `frame`.
"""

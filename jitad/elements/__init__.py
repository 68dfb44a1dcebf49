"""Large arrays at one point: the schedule whose lanes are the elements of arrays.

flow     what a function computes of whole arrays, statement by statement
repeated a loop as one of them
derive   flow -> flow: forward and reverse; loops: those of loops
library  statements that NumPy computes; matrices: those that LAPACK does
cells    arrays that are not stored yet: boxes of elements, each with its expression
build    flow -> steps over arrays: what is stored, and where it is let go
sweeps   which of it is computed together, in one sweep over memory
kernels  a sweep -> the kernel that computes it; steps, repeating run them
door     what of this a call asks for
"""

"""Large arrays at one point: the schedule whose lanes are the elements of arrays.

flow     what a function computes of whole arrays, statement by statement
laying   a graph of arrays -> statements of a flow; sides: what of it is smooth
repeated a loop as one of them; iterations: loops that are done at once
recurrence  a loop that writes element by element, in memory; recurring, ordering: from
         a loop to it; recurred, returned: its derivatives; running: its code
derive   flow -> flow: forward and reverse; element: of one element; loops: those of
         loops; segments: of what is recorded there; telling: on which side of a kink
         derivatives are differentiated again
jacobians  rows or columns by loops; narrow: loops carry no more than they must
library  statements that NumPy computes; places: elements at computed places;
         matrices, spectra: what LAPACK does
cells    arrays that are not stored yet: boxes of elements, each with its expression;
         halos: one array at several places, read from a copy amid zeros
build    flow -> steps over arrays: what is stored, and where it is let go
sweeps   which of it is computed together, in one sweep over memory
kernels  a sweep -> the kernel that computes it; steps, repeating run them
prepared a loop of kernels -> a program of launches, without Python between them;
         memory: what its arrays share
door     from what is asked of a function to its steps
"""

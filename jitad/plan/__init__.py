"""From a derived graph and arrays to a kernel that runs on them: all choices fall here.

derived    the graph of one point, and how it came
placement  where an array of a call lies
machine    what a back end must be: a Machine compiles, a Place holds and launches
pipeline   from a graph to kernels, and to the code of one of them
choose     the verb `fitted`: a derived graph and arrays -> a Fitted kernel
program    a call of one point that sums over many: several kernels
steps      what a program is made of
rows       how points lie inside one array
"""

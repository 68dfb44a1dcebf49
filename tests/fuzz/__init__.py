"""A fuzzer of array programs: source text that runs on plain NumPy and traced.

`writing` makes programs, `laws` says what must hold of them, `shrinking` makes those
that fail short; `python -m tests.fuzz --minutes 30` runs it by hand.
"""

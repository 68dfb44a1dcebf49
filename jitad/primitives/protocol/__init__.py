"""How NumPy hands over: methods, attributes, and options of ufuncs."""

"""A transformed function as it is called: arguments, signatures, results."""

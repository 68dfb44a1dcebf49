"""Floor 3: pure functions from graph to graph."""

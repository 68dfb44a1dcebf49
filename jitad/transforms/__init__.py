"""Pure functions from graph to graph."""

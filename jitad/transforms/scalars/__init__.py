"""From array graphs to scalar graphs, and small graphs that stand for primitives."""

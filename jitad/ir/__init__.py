"""Graphs, and how they are traced and interpreted."""

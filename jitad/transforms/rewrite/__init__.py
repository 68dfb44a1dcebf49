"""Graphs to cheaper graphs of the same values: branches, words, loops, precision."""

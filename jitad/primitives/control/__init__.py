"""Loops, branches, and functions with derivative rules of their own."""

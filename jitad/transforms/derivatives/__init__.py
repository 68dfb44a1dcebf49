"""Derivatives of scalar graphs: forward, reverse, cross-country, of loops too."""

"""Roots and fixed points of functions, and where they are looked for."""

from __future__ import annotations

from typing import Any

import numpy as np

import jitad

A = np.array([0.3, 1.0, 2.0, 7.5, 400.0])


def square_root(a: Any) -> Any:
    return jitad.root(lambda x: x * x - a, 1.0)


def babylonian(a: Any) -> Any:
    """The square root by Heron's averages."""
    return jitad.fixed_point(lambda x: (x + a / x) / 2, 1.0)


SQUARE_ROOTS = {"root": square_root, "fixed_point": babylonian}


def kepler(e: Any, m: Any) -> Any:
    return jitad.root(lambda x: x - e * np.sin(x) - m, m)


def kepler_iterated(e: Any, m: Any) -> Any:
    return jitad.fixed_point(lambda x: m + e * np.sin(x), m)


def sum_and_product(p: Any) -> Any:
    """The pair whose sum and product are given, the smaller first."""

    def f(x: Any) -> Any:
        return np.stack([x[0] + x[1] - p[0], x[0] * x[1] - p[1]])

    return jitad.root(f, np.array([0.0, 1.0]))


def quadratic(p: Any) -> Any:
    half, d = p[0] / 2, np.sqrt(p[0] ** 2 / 4 - p[1])
    return np.stack([half - d, half + d])


def spherical(p: Any) -> Any:
    """(r, θ, φ) of a point, from the formulas of the way back."""

    def f(x: Any) -> Any:
        r, t, u = x
        flat = r * np.sin(t)
        return np.stack([flat * np.cos(u), flat * np.sin(u), r * np.cos(t)]) - p

    return jitad.root(f, np.ones(3))


def polar_angles(p: Any) -> Any:
    r = np.sqrt(np.sum(p * p))
    return np.stack([r, np.arccos(p[2] / r), np.arctan2(p[1], p[0])])


SYSTEMS = {
    "two": (sum_and_product, quadratic, [[3.0, 1.0], [5.0, -2.0], [-1.0, -7.0]]),
    "three": (spherical, polar_angles, [[1, 2.0, 3], [0.5, 0.4, -0.3], [2, 1, 0.1]]),
}


def contraction(p: Any, x: Any) -> Any:
    return 0.5 * np.sin(p * x + np.roll(x, 1)) + p


def accelerated(p: Any) -> Any:
    return jitad.fixed_point(lambda x: contraction(p, x), np.zeros(3))

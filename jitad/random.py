"""Random numbers that are part of the function: a stream is a function of its place.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", SC 2011) turns a counter of four 32-bit words and a key of two into four random
words.  Nothing is remembered between calls: the same (key, counter) gives the same
numbers, traced or not, on every back end and in every order, so a branch that is taken
at random has the derivative of the sample that was taken.

    def payoff(volatility, path):
        z = jitad.random.normal(KEY, path, 52)
        ...
    jitad.vmap(jitad.grad(payoff), in_axes=(None, 0))(0.2, np.arange(100_000))

Start at `bits`.  Words are held in int64, whose products wrap as those of 32-bit words
need it.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from jitad.ir.source import source_line
from jitad.ir.tracer import Tracer

from .errors import InputError

__all__ = ["bits", "fold_in", "key", "normal", "philox", "split", "uniform"]

_ROUNDS = 10
# Multipliers, and what is added to the key from round to round (the golden ratio and
# √3 - 1, in 32 bits): table 2 of the paper.
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF
# The last word of the counter keeps samples and keys made by `fold_in` apart.
_SAMPLES, _KEYS = 0, 1

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def philox(counter: Any, key: Any) -> tuple[Any, Any, Any, Any]:
    """Philox4x32-10 itself: four words of counter, two of key -> four random words.

    Words are integers from 0 to 2**32 - 1 in int64, or arrays of them, or traced.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    with np.errstate(over="ignore"):
        for n in range(_ROUNDS):
            high0, low0 = _product(_MULTIPLIERS[0], c0)
            high1, low1 = _product(_MULTIPLIERS[1], c2)
            c0, c1 = high1 ^ c1 ^ ((k0 + n * _WEYL[0]) & _MASK), low1
            c2, c3 = high0 ^ c3 ^ ((k1 + n * _WEYL[1]) & _MASK), low0
    return c0, c1, c2, c3


def _product(multiplier: int, word: Any) -> tuple[Any, Any]:
    """The high and the low word of a product."""
    product = word * np.int64(multiplier)
    return (product >> 32) & _MASK, product & _MASK


# -- keys ----------------------------------------------------------------------


def key(seed: int) -> np.int64:
    """The key of a seed: any integer of 64 bits, signed or not."""
    return _integer("key", "seed", seed)[()]


def fold_in(key: Any, data: Any) -> Any:
    """A key for every integer data, as independent as those of different seeds.

    key and data may be traced, or arrays, which broadcast.
    """
    key, data = _integer("fold_in", "key", key), _integer("fold_in", "data", data)
    first, second, _, _ = philox(
        (*_words(data), np.int64(0), np.int64(_KEYS)), _words(key)
    )
    return (first | (second << 32))[()]


def split(key: Any, count: int = 2) -> Any:
    """An array of count keys in place of one: those of `fold_in` with 0, 1, …"""
    return fold_in(_integer("split", "key", key)[..., None], np.arange(count))


# -- samples -------------------------------------------------------------------


def bits(key: Any, counter: Any, shape: int | tuple[int, ...] = ()) -> Any:
    """Random integers from 0 to 2**32 - 1, in int64.

    key      which stream: of `key`, `fold_in` or `split`, or any integer
    counter  which sample of the stream, an integer
    shape    of one sample; the beginning of a longer sample is the shorter one

    key and counter may be traced, or arrays: they broadcast, and their axes come first.
    """
    shape = _shape("bits", shape)
    return _arranged(_drawn("bits", key, counter, shape, 4), shape)


def uniform(
    key: Any, counter: Any, shape: int | tuple[int, ...] = (), dtype: Any = np.float64
) -> Any:
    """Numbers uniform on [0, 1), multiples of 2**-53, or of 2**-24 in float32.

    Arguments are those of `bits`.
    """
    shape, dtype = _shape("uniform", shape), _dtype("uniform", dtype)
    if dtype == np.float32:
        words = _drawn("uniform", key, counter, shape, 4)
        found = [(w >> 8).astype(dtype) * dtype.type(2.0**-24) for w in words]
    else:
        words = _drawn("uniform", key, counter, shape, 2)
        found = [_fraction(*words[:2]), _fraction(*words[2:])]
    return _arranged(found, shape)


def normal(
    key: Any, counter: Any, shape: int | tuple[int, ...] = (), dtype: Any = np.float64
) -> Any:
    """Numbers of the standard normal distribution, always finite.

    By Box and Muller ("A note on the generation of random normal deviates", Ann. Math.
    Statist. 29, 1958); up to 8.57, or 6.66 in float32.  Arguments are those of `bits`.
    Back ends agree as far as their logarithms and cosines do.
    """
    shape, dtype = _shape("normal", shape), _dtype("normal", dtype)
    if dtype == np.float32:
        words = _drawn("normal", key, counter, shape, 4)
        small = dtype.type(2.0**-32)
        # (0, 1] by all 32 bits, for the tail; an angle by 24.
        radii = [(w + 1).astype(dtype) * small for w in words[::2]]
        turns = [(w >> 8).astype(dtype) * dtype.type(2.0**-24) for w in words[1::2]]
    else:
        words = _drawn("normal", key, counter, shape, 2)
        radii = [1.0 - _fraction(*words[:2])]
        turns = [_fraction(*words[2:])]
    found: list[Any] = []
    for u, turn in zip(radii, turns, strict=True):
        radius, angle = np.sqrt(-2 * np.log(u)), turn * dtype.type(2 * np.pi)
        found += [radius * np.cos(angle), radius * np.sin(angle)]
    return _arranged(found, shape)


def _fraction(low: Any, high: Any) -> Any:
    """53 bits of two words as a number of [0, 1)."""
    return (((high >> 5) << 26) + (low >> 6)).astype(np.float64) * 2.0**-53


def _drawn(
    name: str, key: Any, counter: Any, shape: tuple[int, ...], each: int
) -> tuple[Any, ...]:
    """Four words for every `each` elements of shape, their blocks along a last axis."""
    size = math.prod(shape)
    blocks = np.arange(-(-size // each))
    key, counter = _integer(name, "key", key), _integer(name, "counter", counter)
    last = np.int64(_SAMPLES)
    place = (*_words(counter[..., None]), blocks, last)
    return philox(place, _words(key[..., None]))


def _arranged(found: list[Any] | tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """Elements 0, 1, … of every block, one block after the other, in shape."""
    table = np.stack(found, axis=-1)
    outer = table.shape[:-2]
    flat = table.reshape((*outer, -1))[..., : math.prod(shape)]
    return flat.reshape((*outer, *shape))[()]


# -- arguments -----------------------------------------------------------------


def _words(value: Any) -> tuple[Any, Any]:
    """The low and the high word of an integer."""
    return value & _MASK, (value >> 32) & _MASK


def _integer(function: str, name: str, value: Any) -> Any:
    """An argument as int64, unsigned ones by their bits; traced if it is."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**64:
            raise InputError(
                f"random.{function}: {name} is {value} ({source_line()}); expected an "
                f"integer of 64 bits: take it modulo 2**64"
            )
        return np.array(value % 2**64, np.uint64).astype(np.int64)
    kept = value if isinstance(value, Tracer) else np.asarray(value)
    if kept.dtype.kind not in "iu":
        raise InputError(
            f"random.{function}: {name} has dtype {kept.dtype} ({source_line()}); "
            "expected integers, which number the samples: pass an int, np.arange(n), "
            "or x.astype(int)"
        )
    return kept.astype(np.int64)


def _shape(function: str, shape: Any) -> tuple[int, ...]:
    given = shape if isinstance(shape, tuple | list) else (shape,)
    try:
        extents = tuple([operator.index(n) for n in given])
    except TypeError:
        extents = (-1,)
    if min(extents, default=0) < 0:
        raise InputError(
            f"random.{function}: shape is {shape!r} ({source_line()}); expected a "
            "whole number of elements, or a tuple of them"
        )
    return extents


def _dtype(function: str, dtype: Any) -> np.dtype:
    found = np.dtype(dtype)
    if found not in _FLOATS:
        raise InputError(
            f"random.{function}: dtype is {found} ({source_line()}); expected float64 "
            "or float32; convert the result with astype"
        )
    return found

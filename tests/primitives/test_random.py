"""Random numbers: Philox's published vectors, equal streams everywhere, derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import jitad
from jitad import random
from jitad.errors import InputError

KEY = random.key(42)
MANY = 100_000

# Counter, key and result of philox4x32-10 in kat_vectors of the authors' Random123.
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words(text: str) -> np.ndarray:
    return np.array([int(word, 16) for word in text.split()])


@pytest.mark.parametrize(("counter", "key", "result"), VECTORS)
def test_published_vectors(counter: str, key: str, result: str) -> None:
    def f(c: Any, k: Any) -> Any:
        return np.stack(random.philox(tuple(c), tuple(k)))

    args = words(counter), words(key)
    for backend in ("cpu", "numpy"):
        got = jitad.jit(f, backend=backend)(*args)
        np.testing.assert_array_equal(got, words(result))
    np.testing.assert_array_equal(f(*args), words(result))
    batch = jitad.vmap(f, in_axes=(0, None))(np.tile(args[0], (19, 1)), args[1])
    np.testing.assert_array_equal(batch, np.tile(words(result), (19, 1)))


def test_words_lie_where_the_vectors_say() -> None:
    """The counter's low words count samples, the third one blocks of a sample."""
    key = 0xA4093822_299F31D0
    got = random.bits(key, 0x85A308D3_243F6A88, 12)
    for block in range(3):
        place = words(f"243f6a88 85a308d3 {block:x} 0")
        want = random.philox(tuple(place), tuple(words("299f31d0 a4093822")))
        np.testing.assert_array_equal(got[4 * block : 4 * block + 4], want)


SAMPLES: dict[str, tuple[Callable[..., Any], type]] = {
    "bits": (random.bits, np.int64),
    "uniform": (random.uniform, np.float64),
    "uniform, float32": (lambda *a: random.uniform(*a, dtype=np.float32), np.float32),
    "normal": (random.normal, np.float64),
    "normal, float32": (lambda *a: random.normal(*a, dtype=np.float32), np.float32),
}
SHAPES = [(), 0, 1, 5, (2, 3), (4, 0)]


def agree(name: str, got: Any, want: Any) -> None:
    assert np.asarray(got).dtype == np.asarray(want).dtype == SAMPLES[name][1]
    assert np.shape(got) == np.shape(want)
    if "normal" in name:
        eps = np.finfo(SAMPLES[name][1]).eps
        np.testing.assert_allclose(got, want, rtol=16 * eps, atol=16 * eps)
    else:
        np.testing.assert_array_equal(got, want)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", SAMPLES)
def test_one_stream_on_every_back_end(name: str, shape: Any) -> None:
    def f(key: Any, counter: Any) -> Any:
        return SAMPLES[name][0](key, counter, shape)

    counters = np.array([0, 1, 7, -1, 2**40, -(2**63), 2**63 - 1] * 3)
    whole = f(KEY, counters)
    for k in (0, 3, 4):
        alone = f(KEY, int(counters[k]))
        np.testing.assert_array_equal(whole[k], alone)
        agree(name, jitad.jit(f)(KEY, counters[k]), alone)
    for backend in ("cpu", "numpy"):
        batch = jitad.vmap(f, in_axes=(None, 0), backend=backend)
        agree(name, batch(KEY, counters), whole)
    agree(name, jitad.jit(f)(KEY, counters), whole)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_shorter_sample_is_the_beginning_of_a_longer_one(name: str) -> None:
    f = SAMPLES[name][0]
    long = f(KEY, 3, (3, 5)).ravel()
    for size in range(15):
        np.testing.assert_array_equal(f(KEY, 3, size), long[:size])
    assert f(KEY, 3) == long[0]
    assert len(np.unique(long)) == 15


def test_keys_and_counters_broadcast() -> None:
    keys, counters = random.split(KEY, 3), np.arange(4)
    got = random.uniform(keys[:, None], counters, 2)
    assert got.shape == (3, 4, 2)
    for i in range(3):
        for j in range(4):
            np.testing.assert_array_equal(got[i, j], random.uniform(keys[i], j, 2))


@pytest.mark.parametrize("kind", [int, np.int64, np.int32, np.uint32, np.uint8])
def test_every_kind_of_integer_counts(kind: type) -> None:
    assert random.uniform(kind(3), kind(7)) == random.uniform(3, 7)


def test_keys() -> None:
    assert random.key(2**64 - 1) == random.key(-1) == -1
    assert random.key(np.uint64(2**64 - 1)) == -1
    keys = random.split(KEY, 1000)
    assert keys.dtype == np.int64
    np.testing.assert_array_equal(keys, [random.fold_in(KEY, k) for k in range(1000)])
    folded = jitad.vmap(random.fold_in, in_axes=(None, 0))(KEY, np.arange(1000))
    np.testing.assert_array_equal(keys, folded)
    assert len({*keys, *random.split(keys[0], 1000)}) == 2000
    # Keys are words that no sample has.
    assert not {*keys} & {*random.bits(KEY, np.arange(1000), 2).ravel()}


# -- distributions -------------------------------------------------------------


def streams(f: Callable[..., Any]) -> dict[str, np.ndarray]:
    """Samples one after the other, along keys, along one sample, and of pairs."""
    return {
        "counters": f(KEY, np.arange(MANY)),
        "keys": f(random.split(KEY, MANY), 0),
        "seeds": f(np.arange(MANY), 0),
        "one sample": f(KEY, 1, MANY),
        "second elements": f(KEY, np.arange(MANY), 2)[:, 1],
    }


@pytest.mark.parametrize("name", [n for n in SAMPLES if n != "bits"])
def test_distributions(name: str) -> None:
    """Kolmogorov's distance, mean, variance, and what neighbours have in common."""
    normal = "normal" in name
    of = scipy.special.ndtr if normal else lambda u: u
    mean, deviation = (0.0, 1.0) if normal else (0.5, 12**-0.5)
    for which, sample in streams(SAMPLES[name][0]).items():
        x = sample.astype(float)
        assert np.isfinite(x).all()
        distance = scipy.stats.kstest(x, of).statistic
        assert distance < 1.95 / MANY**0.5, which  # of 1000 samples, one is beyond
        z = (x - mean) / deviation
        assert abs(z.mean()) < 4 / MANY**0.5, which
        fourth = 3.0 if normal else 1.8
        assert abs((z**2).mean() - 1) < 4 * ((fourth - 1) / MANY) ** 0.5, which
        for lag in (1, 2, 3):
            assert abs((z[lag:] * z[:-lag]).mean()) < 4.5 / MANY**0.5, (which, lag)
    if not normal:
        assert sample.min() >= 0 and sample.max() < 1


def test_every_bit_is_set_half_of_the_time() -> None:
    words = random.bits(KEY, np.arange(MANY // 4), 4)
    assert words.min() >= 0 and words.max() < 2**32
    share = ((words[..., None] >> np.arange(32)) & 1).mean(axis=(0, 1))
    np.testing.assert_allclose(share, 0.5, atol=4.5 * 0.5 / MANY**0.5)


def test_tails_of_the_normal_distribution() -> None:
    z = random.normal(KEY, np.arange(MANY), 10)
    for limit in (3.0, 4.0):
        expected = 2 * scipy.special.ndtr(-limit) * z.size
        assert abs((abs(z) > limit).sum() - expected) < 4.5 * expected**0.5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("word", [0, 2**32 - 1])
def test_the_ends(monkeypatch: Any, word: int, dtype: str) -> None:
    """Words of only zeros or ones give neither 1 nor an infinite number."""
    same = np.full(1, word)
    monkeypatch.setattr(random, "philox", lambda *_: (same,) * 4)
    (u,), z = random.uniform(0, 0, 1, dtype), random.normal(0, 0, 2, dtype)
    digits = 53 if dtype == "float64" else 24
    assert u == (0 if word == 0 else 1 - 2.0**-digits)
    assert np.isfinite(z).all()
    largest = (2 * np.log(2) * (53 if dtype == "float64" else 32)) ** 0.5
    radius = np.hypot(*z.astype(float))
    wanted = {("float64", 0): 0, ("float64", 2**32 - 1): largest,
              ("float32", 0): largest, ("float32", 2**32 - 1): 0}  # fmt: skip
    np.testing.assert_allclose(radius, wanted[dtype, word], rtol=1e-6)


# -- derivatives ---------------------------------------------------------------


def test_a_sample_has_the_derivative_of_its_parameters() -> None:
    def sample(mean: Any, deviation: Any, counter: Any) -> Any:
        return mean + deviation * random.normal(KEY, counter)

    counters = np.arange(50)
    z = jitad.vmap(random.normal, in_axes=(None, 0))(KEY, counters)
    gradient = jitad.vmap(jitad.grad(sample, argnums=(0, 1)), in_axes=(None, None, 0))
    slopes = gradient(0.3, 2.0, counters)
    np.testing.assert_array_equal(slopes[0], np.ones(50))
    np.testing.assert_array_equal(slopes[1], z)


@pytest.mark.parametrize("mode", ["forward", "reverse", "cross"])
def test_a_branch_taken_at_random_has_its_own_derivative(mode: Any) -> None:
    def f(x: Any, counter: Any) -> Any:
        return np.where(random.uniform(KEY, counter) < 0.3, x**3, np.sin(x))

    counters = np.arange(200)
    taken = random.uniform(KEY, counters) < 0.3
    assert 0 < taken.sum() < 200
    slopes = jitad.vmap(jitad.jacobian(f, mode=mode), in_axes=(None, 0))(2.0, counters)
    np.testing.assert_allclose(slopes, np.where(taken, 12.0, np.cos(2.0)), rtol=1e-15)


def test_what_depends_on_a_random_number_only_is_constant() -> None:
    assert jitad.grad(lambda x: random.normal(KEY, x.astype(int)))(3.7) == 0
    with pytest.raises(InputError, match="pass a float"):
        jitad.grad(lambda counter: random.normal(KEY, counter))(3)


def test_the_mean_of_a_payoff_and_its_derivative() -> None:
    """E exp(s z) = exp(s² / 2), and so its derivative in s."""

    def payoff(s: Any, path: Any) -> Any:
        return np.exp(s * random.normal(KEY, path))

    both = jitad.vmap(jitad.value_and_grad(payoff), in_axes=(None, 0))
    value, slope = (x.mean() for x in both(0.5, np.arange(400_000)))
    np.testing.assert_allclose(value, np.exp(0.125), rtol=4e-3)
    np.testing.assert_allclose(slope, 0.5 * np.exp(0.125), rtol=1.5e-2)


# -- what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: random.uniform(0, 1.0), r"uniform: counter has dtype float64.*arange"),
        (lambda: random.normal(True, 1), "normal: key has dtype bool"),
        (lambda: random.key(2**64), r"modulo 2\*\*64"),
        (lambda: random.bits(-(2**63) - 1, 0), "bits: key is"),
        (lambda: random.uniform(0, 0, -1), "shape is -1"),
        (lambda: random.uniform(0, 0, (2, 1.5)), "whole number"),
        (lambda: random.normal(0, 0, 2, np.int64), "dtype is int64"),
        (lambda: jitad.jit(lambda x: random.uniform(0, x))(1.5), "counter has dtype"),
    ],
)
def test_errors_name_the_remedy(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        call()
    assert "test_random.py" in str(caught.value)

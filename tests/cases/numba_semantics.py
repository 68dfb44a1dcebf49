"""Small functions that try Numba's semantics: what names mean, and how loops end.

`CASES` holds them by name, compiled; all take a vector of five.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

CASES: dict[str, Any] = {}


def case(f: Any) -> Any:
    """Compile a function, and put it into the table."""
    CASES[f.__name__] = njit(f)
    return f


@case
def early(x):
    for i in range(len(x)):
        if x[i] > 1.0:
            return x[i] * x[i]
    return 0.0


@case
def early_nested(x):
    s = 0.0
    for i in range(len(x)):
        for j in range(len(x)):
            if x[i] * x[j] < 0.0:
                return s + i * 10 + j
            s += x[i] * x[j]
    return s


@case
def int_to_float(x):
    s = 0
    for v in x:
        s += v
    return s


@case
def first_inside(x):
    for i in range(len(x)):
        if i == 0:
            last = x[0]
        else:
            last = last * 0.5 + x[i]
    return last


@case
def alias(x):
    a = x.copy()
    b = a
    for i in range(len(x)):
        b[i] = a[i] * 2 + i
    return a.sum()


@case
def alias_branch(x):
    a = x.copy()
    b = x * 2
    c = a
    if x[0] > 0:
        c = b
    return c.sum()


@case
def alias_branch_write(x):
    a = x.copy()
    b = x * 2
    c = a
    if x[0] > 0:
        c = b
    c[0] = 7.0
    return a.sum() + 2 * b.sum()


@case
def view_write(x):
    a = np.zeros((3, 5))
    for i in range(3):
        row = a[i]
        for j in range(5):
            row[j] = x[j] * (i + 1)
    t = a.T
    t[0, 0] = 100.0
    return (a * a).sum()


@case
def swap3(x):
    a = x.copy()
    b = x * 2
    c = x * 3
    for i in range(4):
        a, b, c = b, c, a
        a[0] += 1.0
    return a[0] + 10 * b[0] + 100 * c[0]


@case
def swap_args(x):
    return helper(x.copy(), x * 2)


@njit
def helper(u, v):
    for i in range(3):
        u, v = v, u
        u[0] += 1.0
    return u[0] * 10 + v[0]


@case
def callee_writes(x):
    y = x.copy()
    fill(y, 3)
    return y.sum()


@njit
def fill(y, k):
    for i in range(k):
        y[i] = y[i] ** 2 + 1


@case
def swapped_by_callee(x):
    a = x.copy()
    b = x * 2
    sw(a, b, x)
    return a[0] * 10 + b[0]


@njit
def sw(u, v, x):
    for i in range(3):
        if x[i] > 0:
            u[0] = u[0] + 1
        u, v = v, u


@case
def cont(x):
    s = 0.0
    for i in range(len(x)):
        if x[i] < 0:
            continue
        s += math.sqrt(x[i])
    return s


@case
def forelse(x):
    for i in range(len(x)):
        if x[i] > 100:
            r = 1.0
            break
    else:
        r = 2.0
    return r * x[0]


@case
def while_else(x):
    n = 0
    s = x[1]
    while s > 0.1:
        s *= 0.5
        n += 1
        if n > 50:
            break
    else:
        s += 10
    return s * n


@case
def intdiv(x):
    k = int(x[3] * 10)
    s = 0.0
    for i in range(-7, 8):
        if i != 0:
            s += (k // i) + (k % i) * 0.5 + (i // 3) + (i % 3) + (-k // i)
    return s


@case
def neg_index(x):
    s = 0.0
    for i in range(1, 6):
        s += x[-i] * i
    k = int(x[0]) - 2
    return s + x[k]


@case
def steps(x):
    s = 0.0
    for i in range(10, -3, -3):
        s = s * 1.1 + i
    k = int(x[3])
    for i in range(k, 9, k):
        s += i * x[0]
    return s


@case
def after_loop(x):
    for i in range(4):
        v = x[i]
    return i + v


@case
def enum(x):
    s = 0.0
    for i, v in enumerate(x):
        s += i * v
    for a, b in zip(x, x[::-1]):
        s += a * b
    return s


@case
def nd(x):
    s = 0.0
    for i, j in np.ndindex(3, 2):
        s += x[i] * x[j] * (i + 2 * j)
    return s


@case
def tup(x):
    t = (0.0, 1)
    for i in range(4):
        t = (t[0] + x[i], t[1] * 2)
    return t[0] * t[1]


@case
def minmax(x):
    lo = x[0]
    hi = x[0]
    k = 0
    for i in range(1, len(x)):
        lo = min(lo, x[i])
        hi = max(hi, x[i])
        if x[i] == hi:
            k = i
    return hi - lo + k


@case
def chain(x):
    s = 0.0
    for v in x:
        if v > 1:
            s += v
        elif (v > 0 and v < 0.5) or v > 0.8:
            s += 10 * v
        else:
            s -= v
    return s


@case
def boolvar(x):
    found = False
    for v in x:
        if v > 2:
            found = True
    return x[0] if found else x[1]


@case
def slices(x):
    a = np.zeros(5)
    a[1:4] = x[:3]
    a[::2] += 1.0
    for i in range(2):
        a[i + 1] = a[i] + 1
    return (a * np.arange(5)).sum()


@case
def inplace_arr(x):
    a = x.copy()
    b = a
    for _ in range(3):
        a += x
    return b.sum()


@case
def count_down(x):
    n = 3
    s = x[0]
    while n:
        s = s * 1.5
        n -= 1
    return s


@case
def collatz(x):
    n = int(x[3] * 10)
    k = 0
    while n != 1 and k < 200:
        if n % 2 == 0:
            n //= 2
        else:
            n = 3 * n + 1
        k += 1
    return k * x[0]


@case
def gcd(x):
    a = 48
    b = 18
    while b:
        a, b = b, a % b
    return a * x[0]


@case
def nested_break(x):
    s = 0.0
    for i in range(4):
        j = 0
        while True:
            s += x[j] * (i + 1)
            j += 1
            if j > i:
                break
        if s > 5:
            break
    return s


@case
def bits(x):
    h = 1469598103934665603
    for i in range(5):
        h = (h ^ int(x[i] * 100)) * 1099511628211
    return (h & 1023) * x[0] + (h >> 5) % 7


@case
def f32(x):
    s = np.float32(0.1)
    for i in range(3):
        s = s * s + np.float32(x[i])
    return s


@case
def overflow(x):
    k = 2**62
    for i in range(3):
        k = k * 3 + int(x[0])
    return k % 1000 + x[1]


@case
def zero_trip(x):
    s = 1.5
    for i in range(0):
        s += x[i]
    for i in range(int(x[0])):
        s += x[i]
    return s


@case
def cond_in_while(x):
    s = 0.0
    if x[0] > 1.0:
        while s < 10.0:
            s += x[0] * 0.0 + 1.0
    else:
        while s >= 0.0:
            s -= 1.0
    return s + x[0]


@case
def matmul(x):
    a = np.outer(x, x) + np.eye(5)
    return np.linalg.solve(a, x) @ x + (a @ x)[0]

"""Functions in CUDA C that kernels call and CUDA has not: printed where they are used.

Integer division as NumPy has it, two special functions, and sums over a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from .words import c_type, expression, is_foreign, symbol

_DEVICE = "static __device__ __forceinline__"

# Rounds down; x // 0 = x % 0 = 0; the least integer // -1 wraps.
_FLOOR_DIVIDE = f"""\
template <class T> {_DEVICE} T floor_divide(T a, T b) {{
  if (b == 0) return 0;
  if (b == -1) return (T)(0 - (unsigned long long)a);
  T q = a / b, r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}}
"""
_FLOOR_MOD = f"""\
template <class T> {_DEVICE} T floor_mod(T a, T b) {{
  if (b == 0 || b == -1) return 0;
  T r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}}
"""
# By reflection, recurrence to [1, 2], and a rational function that keeps the relative
# accuracy at the zero in there (J. Maddock, Boost's digamma, 2006); beyond 10 the
# asymptotic series (S. L. Moshier, Cephes, 1984).  Near the first negative zero, where
# the reflection would lose digits, the difference of digamma(x + 2) - 1/(x + 1) - 1/x
# from what it is there, by Taylor's series; near the others SciPy, too, loses digits.
_DIGAMMA = """\
static __device__ double digamma_near_zero(double x) {
  const double c[24] = {
    0.9381979690834112, -0.41728953034468597, 0.23722825947363899, -0.1466662943236801,
    0.09410557231158634, -0.06150600545373637, 0.040595095830363755,
    -0.026938776410793626, 0.017931311290499935, -0.011956729288150053,
    0.007981037191019603, -0.0053305093968389755, 0.0035615020417106057,
    -0.002380069950809624, 0.0015907466485162271, -0.0010632734592477787,
    0.0007107361968853117, -0.0004750983849279137, 0.00031758914424013574,
    -0.00021230094089949749, 0.0001419190477992925, -9.487044889858041e-05,
    6.341939860671127e-05, -4.2394920051921816e-05};
  const double root = -0.5040830082644554;
  double g = x - root + 8.15428206243813e-18, s = c[23];
  for (int i = 22; i >= 0; --i) s = s * g + c[i];
  return g * (s + 1 / (x * root) + 1 / ((x + 1) * (root + 1)));
}

static __device__ double digamma(double x) {
  double y = 0;
  if (x != x || x == __longlong_as_double(0x7ff0000000000000ll)) return x;
  if (x == 0) return copysign(__longlong_as_double(0x7ff0000000000000ll), -x);
  if (fabs(x + 0.5040830082644554) < 0.3) return digamma_near_zero(x);
  if (x < 0) {
    double rest = x - trunc(x);
    if (rest == 0 || fabs(x) == __longlong_as_double(0x7ff0000000000000ll))
      return __longlong_as_double(0x7ff8000000000000ll);
    y = -3.14159265358979323846 / tan(3.14159265358979323846 * rest);
    x = 1 - x;
  }
  if (x < 1) { y -= 1 / x; x += 1; }
  if (x < 10) {
    while (x > 2) { x -= 1; y += 1 / x; }
    double t = x - 1, g = x - 1569415565.0 / 1073741824.0;
    g -= 381566830.0 / 1073741824.0 / 1073741824.0;
    g -= 0.9016312093258695918615325266959189453125e-19;
    double p = -0.0020713321167745952;
    p = p * t - 0.045251321448739056;
    p = p * t - 0.28919126444774784;
    p = p * t - 0.65031853770896507;
    p = p * t - 0.32555031186804491;
    p = p * t + 0.25479851061131551;
    double q = -0.55789841321675513e-6;
    q = q * t + 0.0021284987017821144;
    q = q * t + 0.054151797245674225;
    q = q * t + 0.43593529692665969;
    q = q * t + 1.4606242909763515;
    q = q * t + 2.0767117023730469;
    q = q * t + 1.0;
    return y + (g * 0.99558162689208984 + g * (p / q));
  }
  double z = 1 / x / x, s = 8.33333333333333333333e-2;
  s = s * z - 2.10927960927960927961e-2;
  s = s * z + 7.57575757575757575758e-3;
  s = s * z - 4.16666666666666666667e-3;
  s = s * z + 3.96825396825396825397e-3;
  s = s * z - 8.33333333333333333333e-3;
  s = s * z + 8.33333333333333333333e-2;
  return y + (log(x) - 0.5 / x - s * z);
}
"""
# Hurwitz's, by Euler's and Maclaurin's summation (S. L. Moshier, Cephes, 1984).
_ZETA = """\
static __device__ double zeta(double x, double q) {
  const double a[12] = {
    12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9,
    7.47242496e10, -2.950130727918164224e12, 1.1646782814350067249e14,
    -4.5979787224074726105e15, 1.8152105401943546773e17, -7.1661652561756670113e18};
  const double infinity = __longlong_as_double(0x7ff0000000000000ll);
  const double least = 1.11022302462515654042e-16;
  if (x == 1) return infinity;
  if (x < 1) return __longlong_as_double(0x7ff8000000000000ll);
  if (q <= 0) {
    if (q == floor(q)) return infinity;
    if (x != floor(x)) return __longlong_as_double(0x7ff8000000000000ll);
  }
  if (q > 1e8) return (1 / (x - 1) + 1 / (2 * q)) * pow(q, 1 - x);
  double s = pow(q, -x), w = q, b = 0;
  for (int i = 0; i < 9 || w <= 9; ++i) {
    w += 1;
    b = pow(w, -x);
    s += b;
    if (fabs(b / s) < least) return s;
  }
  s += b * w / (x - 1);
  s -= 0.5 * b;
  double factor = 1, k = 0;
  for (int i = 0; i < 12; ++i) {
    factor *= x + k;
    b /= w;
    double t = factor * b / a[i];
    s += t;
    if (fabs(t / s) < least) return s;
    k += 1;
    factor *= x + k;
    b /= w;
    k += 1;
  }
  return s;
}
"""
_BY_WORD: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("floor_divide", "i"): _FLOOR_DIVIDE,
        ("mod", "i"): _FLOOR_MOD,
        ("digamma", "f"): _DIGAMMA,
        ("zeta", "f"): _ZETA,
    }
)

# Every thread of the block calls it; the first gets the sum, that of a tree over the
# threads, the same for every block of this size.
_BLOCK_SUM = """\
static __device__ {t} block_sum({t} mine) {{
  __shared__ {t} shared[{threads}];
  const unsigned own = threadIdx.x, all = blockDim.x;
  unsigned half = 1;
  while (2 * half < all) half *= 2;
  __syncthreads();
  shared[own] = mine;
  for (; half; half /= 2) {{
    __syncthreads();
    if (own < half && own + half < all) {{
      {t} a = shared[own], b = shared[own + half];
      shared[own] = {sum};
    }}
  }}
  return shared[own];
}}
"""
# One block adds up the sums of all blocks, which lie one after the other.
_TOTALS = """\
extern "C" __global__ void {name}(
    long long blocks, const {t} *__restrict__ partial, {result} *__restrict__ total) {{
  const {t} *given = partial + blockIdx.x * blocks;
  {t} a = 0;
  for (long long i = threadIdx.x; i < blocks; i += blockDim.x) {{
    {t} b = given[i];
    a = {sum};
  }}
  a = block_sum(a);
  if (threadIdx.x == 0) total[blockIdx.x] = ({result})a;
}}
"""


def functions(words: Iterable[tuple[str, np.dtype, int]]) -> list[str]:
    """What words call, each on a dtype and of a number of operands.

    That is the texts of functions, and the declarations of the user's.
    """
    words = list(dict.fromkeys(words))
    used = {(word, source.kind) for word, source, _ in words}
    return [
        *(text for key, text in _BY_WORD.items() if key in used),
        *(_declaration(*word) for word in words if is_foreign(word[0])),
    ]


def _declaration(word: str, dtype: np.dtype, arity: int) -> str:
    kind = c_type(dtype)
    given = ", ".join([kind] * arity)
    return f'extern "C" __device__ {kind} {symbol(word, dtype)}({given});\n'


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype in which sums of a dtype are added up: many small terms keep digits."""
    return np.dtype(np.float64) if dtype.kind == "f" else dtype


def block_sum(dtype: np.dtype, threads: int) -> str:
    """The function that sums a value over the threads of a block, `threads` at most."""
    sum = expression("add", ("a", "b"), dtype, dtype)
    return _BLOCK_SUM.format(t=c_type(dtype), threads=threads, sum=sum)


def totals(name: str, dtype: np.dtype) -> str:
    """The kernel that adds up what the blocks of another have summed.

    (blocks, partial[elements][blocks], total[elements]), launched with one block for
    each element: first each thread adds in order, then a tree adds the threads.
    partial is of the accumulator's dtype.
    """
    own = accumulator(dtype)
    sum, t = expression("add", ("a", "b"), own, own), c_type(own)
    return _TOTALS.format(name=name, t=t, result=c_type(dtype), sum=sum)

"""Sums that GPU lanes add to in no order, and that have the same bits whatever it was.

Integers are associative, floats are not: so a float is added as a multiple of a unit of
its element, 2^-96 of the power of two above the largest term there.  A kernel with such
buffers takes a phase: in phase 1 it looks for the largest terms, in phase 2 it adds.
Start at `phases`, which says what else is launched.  An element of n terms, at most
2^31, differs from their exact sum by n 2^-96 of the largest, at most, and then is
rounded once.  In phase 0 a single lane adds to the table itself.
"""

from __future__ import annotations

import numpy as np

from jitad.errors import UnsupportedError
from jitad.lowering.kernel import Kernel

from .words import c_type, constant

# A sum's words are of 32 bits each, whose carries gather above them; then how the
# largest term is scaled, and which of ∞, -∞ and NaN are among the terms.
_FLOAT = """\
struct Sum {
  unsigned long long words[3];
  int scale, others;
};

template <class T>
static __device__ void scatter(char *table, long long place, T term, long long phase) {
  if (phase == 0) {
    ((T *)table)[place] += term;
    return;
  }
  Sum &sum = ((Sum *)table)[place];
  long long bits = __double_as_longlong(term);
  unsigned long long digits = bits & 0xfffffffffffffll;
  int scale = bits >> 52 & 0x7ff;
  if (scale == 0x7ff) {
    if (phase == 1) atomicOr(&sum.others, digits ? 4 : bits < 0 ? 2 : 1);
    return;
  }
  if (scale) digits |= 1ull << 52;
  else scale = 1;
  if (digits == 0) return;
  if (phase == 1) {
    atomicMax(&sum.scale, scale);
    return;
  }
  // The largest digits are moved by 43 bits, to bit 96.
  unsigned long long low = 0, high = 0;
  int left = 43 - (sum.scale - scale);
  if (left > 0) low = digits << left, high = digits >> (64 - left);
  else if (left == 0) low = digits;
  else if (left > -54) low = (digits + (1ull << (-left - 1))) >> -left;
  unsigned long long words[3] = {low & 0xffffffff, low >> 32, high};
  for (int k = 0; k < 3; ++k)
    if (words[k]) atomicAdd(&sum.words[k], bits < 0 ? 0 - words[k] : words[k]);
}

template <class T>
static __device__ T rounded(const Sum &sum) {
  long long first = sum.words[0];
  long long second = sum.words[1] + (first >> 32);
  long long third = sum.words[2] + (second >> 32);
  unsigned long long low = (unsigned)first | (unsigned long long)second << 32;
  unsigned long long high = third;
  if (third < 0) low = 0 - low, high = ~high + (low == 0);
  // 64 digits, the last of which says whether there are more; |sum| < 2^127.
  int right = high ? 64 - __clzll(high) : 0, left = 64 - right;
  if (right) low = high << left | low >> right | (low << left != 0);
  T x = ldexp((T)low, sum.scale - 1118 + right);
  return third < 0 ? -x : x;
}
"""
_INTEGER = """\
static __device__ void scatter(
    char *table, long long place, {t} term, long long phase) {{
  if (phase != 1) atomicAdd(({u} *)table + place, ({u})term);
}}
"""
_CLEAR = """\
extern "C" __global__ void {name}(long long count, int *words) {{
  long long own = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  for (long long i = own; i < count; i += gridDim.x * (long long)blockDim.x)
    words[i] = 0;
}}
"""
_FINISH = """\
extern "C" __global__ void {name}(
    long long count, const Sum *__restrict__ sums, {t} *__restrict__ table) {{
  long long own = blockIdx.x * (long long)blockDim.x + threadIdx.x;
  for (long long i = own; i < count; i += gridDim.x * (long long)blockDim.x) {{
    {t} found = rounded<{t}>(sums[i]);
    int others = sums[i].others;
    if (others) found = {nan};
    if (others == 1) found = {inf};
    if (others == 2) found = -{inf};
    table[i] = found;
  }}
}}
"""
_SUM_BYTES = 32


def phases(kernel: Kernel) -> tuple[int, ...]:
    """The phases in which a kernel is launched over many lanes, one after the other.

    Before them every buffer of layout scatter is memory of `space` bytes an element,
    which `clear_name` has filled with zeros; after them that of a dtype with
    `finish_name` is made into a table of floats.  Of integers it is the table.
    """
    dtypes = _dtypes(kernel)
    if any(d.kind == "f" for d in dtypes):
        return 1, 2
    return (2,) if dtypes else (0,)


def space(dtype: np.dtype) -> int:
    """Bytes in which an element of a dtype is added up."""
    return _SUM_BYTES if dtype.kind == "f" else dtype.itemsize


def clear_name(name: str) -> str:
    """The name of the kernel (count, words): it sets 4-byte words to zero."""
    return f"{name}_clear"


def finish_name(name: str, dtype: np.dtype) -> str | None:
    """The name of the kernel (count, sums, table), if elements of dtype need one."""
    return f"{name}_finish_{dtype.name}" if dtype.kind == "f" else None


def functions(kernel: Kernel) -> list[str]:
    """The functions that add to elements, as CUDA C; none if there is no such buffer.

    Raises UnsupportedError for bools, and integers narrower than 32 bits.
    """
    dtypes = _dtypes(kernel)
    narrow = [d for d in dtypes if d.itemsize < 4]
    if narrow:
        raise UnsupportedError(
            "expected numbers that lanes of a GPU add to elements at their own index, "
            f"of 32 or 64 bits, got {narrow[0]}; add such integers, or run it on the "
            "CPU"
        )
    found = [_FLOAT] if any(d.kind == "f" for d in dtypes) else []
    unsigned = {8: "unsigned long long", 4: "unsigned"}
    return found + [
        _INTEGER.format(t=c_type(d), u=unsigned[d.itemsize])
        for d in dtypes
        if d.kind in "iu"
    ]


def kernels(kernel: Kernel, name: str) -> list[str]:
    """The kernels that are launched before and after the kernel `name`, as CUDA C."""
    dtypes = _dtypes(kernel)
    found = [_CLEAR.format(name=clear_name(name))] if dtypes else []
    return found + [
        _FINISH.format(
            name=finish_name(name, d),
            t=c_type(d),
            nan=constant(np.nan, d),
            inf=constant(np.inf, d),
        )
        for d in dtypes
        if d.kind == "f"
    ]


def names(kernel: Kernel, name: str) -> list[str]:
    """The names of these kernels."""
    dtypes = _dtypes(kernel)
    found = [clear_name(name)] if dtypes else []
    return found + [n for d in dtypes if (n := finish_name(name, d))]


def _dtypes(kernel: Kernel) -> list[np.dtype]:
    scatter = (b.dtype for b in kernel.buffers if b.layout == "scatter")
    return list(dict.fromkeys(scatter))

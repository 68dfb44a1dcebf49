"""Calls of every function that is traced, for the law of aliasing.

x is an array of shape (2, 2), y another one of plain numbers, b and i plain bools and
integers of that shape; s is an element of x, z the same as an array of shape ().
"""

from __future__ import annotations

# np.… of these.
FUNCTIONS = """
    all(x, axis=0) | any(x, 1) | amax(x, 0) | amin(x, 0) | max(x, 0) | min(x, 0)
    append(x, y) | append(x, y, 0) | around(x, 2) | round(x, 2) | around(x) | round(s)
    average(x, 0) | around(z) | arange(3, like=x) | array(x, like=x) | array(x)
    array(x, copy=None, like=x) | array(x, copy=False, like=x) | array(x, copy=False)
    array(x, copy=None) | array([x, x], like=x) | array(x, order="C", copy=None, like=x)
    array(x, copy=None, order="F", like=x) | array(x, ndmin=4, copy=None, like=x)
    array(s, like=x) | array(z, like=x) | asarray(x) | asarray(x, like=x) | asarray(z)
    asarray(x, x.dtype, like=x) | asarray(x, order="F", like=x) | asarray(x, order="F")
    asarray(s, like=x) | asarray(z, like=x) | asarray(x)[1:] | asarray(x[0])
    reshape(np.asarray(x), 4) | transpose(np.asarray(x)) | asarray(np.asarray(x))[0]
    atleast_3d(np.asarray(x)) | ravel(np.asarray(x)) | squeeze(np.asarray(x)[:1])
    asanyarray(x) | asanyarray(x, like=x) | ascontiguousarray(x)
    ascontiguousarray(x, like=x) | ascontiguousarray(s, like=x) | asfortranarray(x)
    asfortranarray(x, like=x) | argmax(x, 0) | argmin(x, 0) | argsort(x)
    array_split(x, 2) | astype(x, float) | astype(x, x.dtype, copy=False)
    astype(x, np.int64, copy=False) | astype(z, float)
    atleast_1d(x) | atleast_2d(x) | atleast_3d(x) | atleast_1d(x[0]) | atleast_2d(x[0])
    atleast_3d(x[0]) | atleast_1d(s) | atleast_1d(z) | atleast_2d(x, y)
    block([[x, x]]) | block(x) | block([x]) | broadcast_arrays(x, x)
    broadcast_arrays(x) | broadcast_arrays(x, y[0]) | broadcast_arrays(x[0], y)
    broadcast_to(x, (2, 2)) | broadcast_to(x, (1, 2, 2)) | broadcast_to(x[0], (2, 2))
    broadcast_to(z, (2,)) | broadcast_to(z, ()) | choose(i, (x, y)) | choose(1, (y, x))
    choose(0, (s, z)) | clip(x, 0.1, 0.5) | clip(x, None, None) | clip(x, None, 2.0)
    clip(x, -np.inf, np.inf) | clip(s, None, None) | clip(z, None, None) | clip(z, 0, 1)
    column_stack((x, x)) | column_stack((x,)) | compress([True, True], x, 0)
    concatenate((x,)) | concatenate((x, y)) | convolve(x[0], y[0]) | copy(x)
    copy(x, "F") | copy(x.T) | copy(s) | copy(z) | corrcoef(x) | correlate(x[0], y[0])
    count_nonzero(x, 0) | cov(x) | cross(x @ E, y @ E) | cumprod(x, 0) | cumsum(x, 0)
    cumsum(x) | cumulative_prod(x, axis=0) | cumulative_sum(x, axis=0)
    delete(x, [], 0)
    delete(x, 0, 0) | diag(x) | diag(x[0]) | diagflat(x[0]) | diagonal(x) | diff(x, 1)
    diff(x, n=0) | dot(x, y) | dot(x[0], y[0]) | dot(s, y) | dsplit(x[..., None], 1)
    dstack((x,)) | ediff1d(x) | einsum("ij->ji", x) | einsum("ii->i", x)
    einsum("...->...", x) | einsum("ij", x) | einsum("ji", x) | einsum("->", z)
    einsum("ijk->kji", x[None]) | einsum("ij->i", x) | einsum("ii", x) | einsum("", s)
    einsum("ij,jk", x, y) | einsum("ij->", x) | einsum(x, [0, 1], [1, 0])
    einsum("i->i", x[0]) | einsum("...i->i...", x) | einsum("iji->ji", x[:, None])
    einsum("ij->ji", x, optimize=True) | empty((2, 2), like=x).shape
    empty_like(x).shape | expand_dims(x, 1) | expand_dims(z, 0) | extract(b, x)
    eye(2, like=x) | fix(x) | fix(z) | flip(x) | flip(x, 0) | fliplr(x) | flipud(x)
    full((2, 2), 0.5, like=x) | full_like(x, 0.5) | gradient(x, axis=0) | gradient(x)
    hsplit(x, 2) | hstack((x,)) | hstack((x, x)) | identity(2, like=x) | imag(x)
    imag(z) | inner(x, y) | inner(x[0], y[0]) | insert(x, [], 1.0, 0)
    insert(x, 0, 1.0)
    interp(x, [0.0, 1.0], [0.0, 2.0]) | interp(s, [0.0, 1.0], [0.0, 2.0])
    interp(z, [0.0, 1.0], [0.0, 2.0]) | isclose(x, y) | isclose(z, s) | iscomplex(x)
    isreal(x) | isneginf(x) | isposinf(x) | isposinf(z) | kron(x, y)
    ldexp(x, i) | lib.stride_tricks.as_strided(x)
    lib.stride_tricks.as_strided(x, (1, 2))
    lib.stride_tricks.as_strided(x, (2, 2), x.strides[::-1])
    lib.stride_tricks.as_strided(x, (2,), (sum(x.strides),))
    lib.stride_tricks.as_strided(x, writeable=False)
    lib.stride_tricks.sliding_window_view(x, 1, 0)
    lib.stride_tricks.sliding_window_view(x, 2, 1, writeable=True)
    linalg.cross(x @ E, y @ E) | linalg.cholesky(x @ x.T) | linalg.det(x)
    linalg.diagonal(x) | linalg.eigh(x + x.T) | linalg.eigvalsh(x) | linalg.inv(x)
    linalg.matmul(x, y) | linalg.matrix_norm(x) | linalg.matrix_power(x, 0)
    linalg.matrix_power(x, 1) | linalg.matrix_power(x, 2) | linalg.matrix_transpose(x)
    linalg.multi_dot([x, y]) | linalg.norm(x, axis=0) | linalg.outer(x[0], y[0])
    linalg.norm(x) | linalg.norm(x, 1) | linalg.norm(x, -np.inf)
    linalg.vecdot(x[0], y[0])
    linalg.slogdet(x) | linalg.solve(x, y) | linalg.tensordot(x, y) | linalg.trace(x)
    linalg.vecdot(x, y) | linalg.vector_norm(x, axis=0) | linspace(x, y, 3)
    linspace(s, 1.0, 3) | logspace(x, y, 3) | matrix_transpose(x) | mean(x, 0)
    median(x, 0) | meshgrid(x[0], y[0]) | meshgrid(x[0], y[0], copy=False)
    meshgrid(x[0], copy=False) | meshgrid(x[0], y[0], copy=False, sparse=True)
    moveaxis(x, 0, 1) | nan_to_num(x) | nan_to_num(x, copy=False)
    nan_to_num(x, False, nan=1.0) | nan_to_num(s) | nan_to_num(z) | nancumprod(x, 0)
    nan_to_num(z, copy=False) | nancumsum(x, 0) | nanmax(x, 0) | nanmean(x, 0)
    nanmax(x) | nanmin(x) | nanmean(x) | nansum(x) | nanstd(x) | median(x) | ptp(x)
    real_if_close(s) | real_if_close(z) | vecdot(x[0], y[0]) | quantile(x, 0.5) | var(x)
    nanmin(x, 0) | nanprod(x, 0) | nanstd(x, 0) | nansum(x, 0) | nanvar(x, 0)
    ones((2, 2), like=x) | ones_like(x) | ones_like(s) | outer(x, y) | pad(x, 1)
    pad(x, 0) | pad(x, 1, constant_values=2.0) | percentile(x, 50, axis=0)
    piecewise(x, [b], [1.0, 2.0]) | piecewise(z, [True], [1.0]) | polyadd(x[0], y[0])
    polyder(x[0]) | polyder(x[0], 0) | polyint(x[0]) | polyint(x[0], 0)
    polymul(x[0], y[0]) | polysub(x[0], y[0]) | polyval(x[0], y) | polyval(x[0], s)
    permute_dims(x) | prod(x, 0) | ptp(x, 0) | quantile(x, 0.5, axis=0) | ravel(x)
    ravel(x, "F") | ravel(x, "A") | ravel(x, "K") | ravel(s) | ravel(z) | real(x)
    real(z) | real_if_close(x) | repeat(x, 1, 0) | repeat(x, 2) | require(x)
    require(x, x.dtype, "C") | require(x, None, "F") | require(x, requirements=["W"])
    reshape(x, (4,)) | reshape(x, (2, 2)) | reshape(x, (4,), order="F") | reshape(s, 1)
    reshape(x, 4, copy=True) | reshape(z, (1, 1)) | resize(x, (2, 2)) | roll(x, 0)
    roll(x, 1, 0) | rollaxis(x, 1) | rollaxis(x, 0) | rot90(x) | rot90(x, 0)
    rot90(x, 2) | select([b], [x], 0.0) | select([True], [x]) | select([True], [s])
    i0(x) | i0(z) | sinc(x) | sinc(z) | sort(x, 0) | split(x, 2) | split(x, 1)
    squeeze(x[None])
    squeeze(x) | squeeze(x[:1, :1]) | squeeze(s) | stack((x,)) | stack((s, z))
    std(x, 0) | sum(x, 0) | sum(x, ()) | sum(x[None], 0) | max(x, ()) | mean(x, ())
    sum(z) | sum(x) | swapaxes(x, 0, 1) | swapaxes(x, 0, 0) | take(x, [0, 1], 0)
    take(x, 0, 0) | take(x, 0) | take_along_axis(x, i, 0) | tensordot(x, y)
    tensordot(x, y, 1) | tensordot(x[0], y[0], 1) | tile(x, 1) | tile(x, (2, 1))
    trace(x) | transpose(x) | transpose(x, (0, 1)) | trapezoid(x) | tri(2, like=x)
    tril(x) | triu(x) | unstack(x) | unstack(x[0]) | vander(x[0]) | var(x, 0)
    vdot(x, y) | vsplit(x, 2) | vstack((x,)) | where(b, x, x) | where(True, x, 0.0)
    where(b[0, 0], s, 2.0) | where(b, z, 1.0) | zeros((2, 2), like=x) | zeros_like(x)
    zeros_like(s) | zeros_like(z)
"""

# x.… of these; and of s and z.
METHODS = """
    T | mT | real | imag | base | flat[1:3] | flat[:] | flat[0] | flat.copy() | all(0)
    any(0) | argmax(0) | argmin(0) | argsort() | astype(float)
    astype(float, copy=False) | clip(0.1, 0.5) | clip(None, 2.0)
    compress([True, True], 0) | conj() | conjugate() | copy() | copy("F") | cumprod(0)
    cumsum(0) | diagonal() | dot(y) | flags.writeable | flatten()
    flatten("F") | fill(2.0) | max(0) | mean(0) | min(0) | nbytes
    prod(0) | put([0], 2.0) | ravel() | ravel("F") | ravel("K") | repeat(1, 0)
    reshape(4) | reshape(2, 2) | reshape(4, order="F") | reshape(4, order="A")
    round(2) | round() | sort() | squeeze() | std(0) | strides
    sum(0) | swapaxes(0, 1) | take([0, 1], 0) | trace() | transpose()
    transpose(1, 0) | var(0) | view() | view(x.dtype) | __abs__() | __copy__()
    __deepcopy__({}) | __getitem__(0) | __getitem__((0, 1)) | __getitem__(...)
    __getitem__(()) | __getitem__((0, 1, ...)) | __getitem__([0, 1])
    __getitem__((slice(None), 1)) | __getitem__(None) | __getitem__(b)
    __getitem__(True) | __iter__() | __neg__() | __pos__()
"""
OF_NUMBERS = """
    T | real | imag | conj() | copy() | flatten() | ravel() | reshape(1) | reshape(())
    squeeze() | view() | astype(float) | astype(float, copy=False) | round()
    clip(0, 1) | flat[0] | flat[:] | max() | sum() | mean() | transpose() | __pos__()
    __neg__() | __copy__() | __deepcopy__({}) | __getitem__(()) | __getitem__(...)
    __getitem__(None)
"""
OPERATORS = """
    x | [x, x[0]] | list(x) | [*x[0]] | +x | -x | ~b | abs(x) | x + 0 | x - 0 | x * 1
    x / 1 | x // 1 | x ** 1 | x ** 0 | x ** 2 | x @ x | x == x | x & True
    +z | z ** 1 | z + 0 | +s | s ** 1 | (x if True else y) | x[0] | x[:, 0] | x[..., 0]
    x[[0, 1]] | x[b] | x[0, 0] | x[None] | x[::-1] | x[:0] | x[()] | s[()] | z[()]
    s[...] | z[...] | s[None] | x[i] | x[0][:] | x.T[0] | x[True] | x[1:][0]
"""


def calls(table: str, prefix: str) -> list[str]:
    """The expressions of a table."""
    found = [c.strip() for line in table.splitlines() for c in line.split(" | ")]
    return [prefix + call for call in found if call]

"""What a line of a program may be, by what it does.

Placeholders stand for variables of a program and for small constants:
    {a} {b}   arrays or numbers    {f} {g}   floats         {i}    integers
    {m}       bools                {v}       at least an axis    {w}  floats, likewise
    {c}       a number             {n}       a small whole number
    {ax}      an axis or None      {s}       a slice         {d}  a dtype
    {q}       like {w}, between -1 and 1: of matrices with infinities and NaN it is for
              the pivots of LAPACK to say where its results are numbers
Most fillings make no sense to NumPy; those are thrown away.
"""

UNARY = """
np.sin({f})|np.cos({f})|np.tanh({f})|np.exp(-np.abs({f}))|np.sqrt(np.abs({f}) + 0.1)
np.log1p(np.abs({f}))|np.arctan({f})|np.square({a})|np.negative({a})|np.positive({a})
+{a}|-{a}|abs({a})|np.abs({a})|np.sign({a})|np.floor({f})|np.ceil({f})|np.rint({f})
np.trunc({f})|np.cbrt({f})|np.reciprocal(np.abs({f}) + 0.5)|np.expm1({f} / 4)
np.sinc({f})|np.conj({a})|np.real({a})|np.isfinite({a})|np.signbit({f})|~{m}|~{i}
np.logical_not({a})|np.fabs({f})|np.deg2rad({f})|np.arcsinh({f})|np.nan_to_num({a})
np.round({f}, {n})|np.around({a})|np.fix({f})|np.modf({f})[0]|np.frexp({f})[0]
{a}.copy()|{a}.real|{a}.conj()|np.spacing({f}) * 0|np.i0({f} / 4)|np.isnan({f})
np.heaviside({f}, 0.5)|{f}.astype(np.int64)|{a}.astype({d})|{a}.astype(float)
"""

BINARY = """
{a} + {b}|{a} - {b}|{a} * {b}|{a} / (np.abs({b}) + 1)|{a} // (np.abs({b}) + 1)
{a} % (np.abs({b}) + 1)|{a} + {c}|{c} - {a}|{a} * {c}|{a} ** 2|{a} ** {n}|{f} / {c}
np.maximum({a}, {b})|np.minimum({a}, {b})|np.fmax({a}, {b})|np.fmin({a}, {c})
np.hypot({f}, {g})|np.arctan2({f}, {g})|np.copysign({f}, {g})|np.logaddexp({f}, {g})
np.fmod({a}, np.abs({b}) + 1)|np.power(np.abs({f}) + 0.1, {g})|{c} ** {f}
np.heaviside({f}, {g})|{i} & {i}|{i} | {i}|{i} ^ {n}|{i} << {n}|{i} >> {n}|{m} & {m}
{m} | {m}|{m} ^ {m}|{a} > {b}|{a} <= {c}|{a} == {a}|{a} != {b}|{a} < {b}
np.gcd({i}, {i})|np.divmod({a}, np.abs({b}) + 1)[1]|np.remainder({a}, {c})
np.float_power(np.abs({f}) + 0.1, {g})|np.logical_and({a}, {b})|np.ldexp({f}, {n})
np.subtract({a}, {b}, dtype={d})|np.add({a}, {b}, dtype=float)|{m} * {f}|{m} + {i}
np.where({m}, {a}, {b})|np.where({f} > {g}, {f} * 2, {g})|np.where({i} > {n}, {a}, {c})
np.clip({a}, {c}, 2)|np.clip({f}, None, {g})|np.select([{m}, {f} > 0], [{f}, {g}], {c})
np.nextafter({f}, {g}) * 0 + {f}|np.floor_divide({a}, {n} + 1)|divmod({a}, 3)[0]
"""

REDUCTIONS = """
np.sum({a}, axis={ax})|{a}.sum({ax})|np.mean({a}, axis={ax}, keepdims=True)|{a}.mean()
np.prod({f}, axis={ax})|np.var({f}, axis={ax})|np.std({f} + 0.1, axis={ax})|np.ptp({a})
np.max({a}, axis={ax})|{a}.min()|np.amin({a}, axis={ax}, keepdims=True)
np.argmax({a}, axis={ax})|{a}.argmin()|np.any({a}, axis={ax})|np.all({a})|np.median({f})
np.cumsum({a}, axis={ax})|np.cumprod({f}, axis={ax})|np.nansum({f}, axis={ax})
np.average({f}, axis={ax})|np.count_nonzero({a}, axis={ax})|np.linalg.norm({w})
np.add.reduce({a})|np.maximum.accumulate({v})|np.diff({v}, axis={ax})|np.trace({v})
np.trapezoid({w})|np.ediff1d({a})|np.add.accumulate({v})|np.multiply.reduce({f})
np.sum({f}, where={m})|np.max({f}, initial={c})|np.sum({a}, dtype={d})
np.gradient({w}, axis=-1)|np.quantile({f}, 0.3)|np.logaddexp.reduce({w})
np.minimum.reduce({v}, axis={ax})
np.linalg.norm({w}, axis={ax})|np.nanmax({f})|np.cumulative_sum({v}, axis={ax})
"""

SHAPES = """
{v}[{s}]|{v}[::-1]|{v}[{n}]|{v}[..., {n}]|{v}[:, {n}]|{v}[None]|{v}[..., None]|{v}.T
{v}.reshape(-1)|{a}.ravel()|{a}.flatten()|np.reshape({v}, (2, -1))|np.flip({v})
np.transpose({v})|np.swapaxes({v}, 0, -1)|np.expand_dims({a}, 0)|np.squeeze({a})
np.atleast_1d({a})|np.atleast_2d({a})|np.broadcast_to({a}, (2, 3))|np.diagonal({v})
np.broadcast_arrays({a}, {b})[0]|np.split({v}, 2)[1]|np.array_split({v}, 2)[0]
np.rot90({v})|np.moveaxis({v}, 0, -1)|np.fliplr({v})|np.asarray({a})|np.diag({v})
np.ascontiguousarray({a})|np.array({a})|np.array({v}, copy=False)|np.asfortranarray({v})
np.concatenate([{v}, {v}])|np.stack([{a}, {a}])|np.stack([{a}, {b}], axis=-1)
np.hstack([{a}, {b}])|np.vstack([{a}, {a}])|np.column_stack([{v}, {v}])|np.tile({a}, 2)
np.repeat({a}, 2)|np.roll({v}, {n})|np.pad({v}, 1)|np.append({v}, {c})|np.tril({v})
np.insert({v}, 1, {c})|np.delete({v}, 0)|np.outer({v}, {v})|np.kron({v}, {v})
np.zeros_like({a})|np.ones_like({v})|np.full_like({v}, {c})|np.triu({v}, {n})
np.array([{f}, {c}, {g}])|np.array([[{f}, {c}], [{c}, {g}]])|np.eye(3) * {f}
np.arange(4) * {a}|np.linspace(0, {f}, 3)|np.vander({w}, 3)|np.meshgrid({v}, {v})[0]
list({v})[0]|[*{v}][-1]|next(iter({v}))|np.flipud({v})|np.resize({v}, (2, 2))
np.lib.stride_tricks.sliding_window_view({v}, 2)|np.einsum("...->...", {a})
np.nan_to_num({f}, copy=False)|np.zeros(3, like={a}) + {c}|{v}.swapaxes(0, -1)
"""

GATHERS = """
np.sort({v})|np.sort({v}, axis=0)|np.argsort({v})|{v}[np.argsort({v})]|{v}[[0, -1, 0]]
{v}[np.argmax({v})]|{v}[{i} % len({v})]|np.take({v}, {i} % 2)
np.take({v}, [1, 0], axis=0)|np.take_along_axis({v}, np.argsort({v}, axis=0), axis=0)
np.searchsorted([-1, 0, 1], {f})|np.interp({f}, [-1, 0, 2], [0.5, 1, 3])
np.choose({i} % 2, [{f}, {g}])|np.digitize({f}, [-1.0, 0.0, 1.0])|np.partition({v}, 1)
np.compress([True, False], {v}, 0)|{v}[np.array([True, False, True])]
{v}[np.ix_([0, 1], [1, 0])]|np.sort({v})[::-1]|np.take({v}, {n}, axis={ax}, mode="wrap")
{v}[{n}, {s}]|{v}[{s}, [0, 1]]|{v}[[0, 1], 0]|np.where({m})[0] if False else {a}
np.unravel_index(np.argmax({v}), {v}.shape)[0]
np.piecewise({f}, [{f} > 0], [lambda t: t * t, lambda t: -t])|np.sort({i}, axis=None)
"""

LINALG = """
{v} @ {v}|np.dot({v}, {v})|np.inner({v}, {v})|np.tensordot({v}, {v}, 1)
np.vdot({v}, {v})|{v}.T @ {v}|{v} @ {v}.T|np.matmul({v}, {w})
np.einsum("ij,ij->i", {w}, {w})|{v}.dot({b})|np.einsum("i,j->ij", {w}, {w})
np.cross({v}, {v})|np.convolve({v}, {v})|np.trace({v})
np.linalg.inv({q} @ {q}.T + 3 * np.eye(len({q})))|np.linalg.det({q})
np.linalg.solve({q} @ {q}.T + 3 * np.eye(len({q})), {w})|np.linalg.slogdet({q})[1]
np.linalg.cholesky({q} @ {q}.T + np.eye(len({q})))|np.linalg.matrix_power({w}, 2)
np.linalg.eigvalsh({q} + {q}.T)|np.linalg.norm({w}, 1)|np.correlate({w}, {w})
np.linalg.multi_dot([{w}, {w}.T, {w}])|np.polyval({w}, {g})|np.einsum("ii->i", {w})
"""

EXPRESSIONS = [UNARY, BINARY, BINARY, REDUCTIONS, SHAPES, SHAPES, GATHERS, LINALG]

# Statements; {t} is a variable that is written to, {r} a new one.
WRITES = """
{t}[{s}] = {a}|{t}[{s}] += {a}|{t}[{s}] *= {c}|{t}[...] = {a}|{t}[{n}] = {a}|{t} += {a}
{t} -= {f}|{t} *= {a}|{t} /= {c}|{t} //= 2|{t} **= 2|{t}[::-1] = {t}|{t}[1:] += {t}[:-1]
{t}[{m}] = {c}|{t}[{t} > 0] = {c}|{t}[[0, 1]] = {a}|{t}[{i} % len({t})] = {a}|{t}.sort()
{t}[np.argmax({t})] = {c}|{t}.fill({c})|{t}[:, {n}] = {a}|{t}[..., 0] -= {a}|{t} %= 3
np.add({t}, {a}, out={t})|np.multiply({a}, {b}, out={t})|np.sin({f}, out={t})
np.copyto({t}, {a})|np.put({t}, [0, 1], {a})|np.fill_diagonal({t}, {c})|{t}[{s}].sort()
np.add.at({t}, [0, 0, 1], {a})|np.subtract.at({t}, [1, 1], {f})|{t}.T[0] = {a}
np.putmask({t}, {t} > 0, {a})|np.place({t}, {t} < 0, [{c}])|{t}.flat[1] = {c}
{t}.ravel()[1] = {c}|{t}.reshape(-1)[::2] = {c}|np.clip({t}, 0, 1, out={t})
{t}[-1] = {t}[0]|np.square({t}, out={t}, where={t} > 0)
np.array({t}, copy=False)[1] = {c}|np.cumsum({t}, out={t})|np.maximum({t}, {a}, out={t})
{t}[{s}], {t}[{n}] = {t}[{n}], {c}|{t}[0], {t}[1] = {t}[1].copy(), {t}[0].copy()
{t}[{i} % len({t})] += {f}|{t} <<= 1|{t}[{i} % len({t})][...] = {c}
{t}[{i} % len({t})] *= {c}|{t} &= 3|{t}[:] = {t}[::-1]|np.matmul({v}, {v}, out={t})
{t}[np.argsort({t})] = {a}|{t}[{s}] = np.sort({t}[{s}])|np.flip({t})[0] = {a}
np.diagonal({t})[0]|{t}.T[...] += {a}|np.nan_to_num({t}, copy=False)[0] = {c}
np.asarray({t})[0] = {c}
"""

# Statements of several lines that make a variable {r}.
BLOCKS = r"""
{r} = {a}\nif {f}.sum() > {c}:\n    {r} = {r} * 2 + 1
{r} = {a}\nif {f}.max() > {g}.min():\n    {r} = {r} + {g}[0]\nelse:\n    {r} = {r} - {c}
{r} = {a} * 1\nfor j in range(3):\n    {r} = {r} * 0.5 + j
{r} = {v} * 1\nfor j in range(len({r})):\n    {r}[j] = {r}[j - 1] + {r}[j]
{r} = 0.0\nfor row in {v}:\n    {r} = {r} + row * row
{r} = np.zeros(3, like={f})\nfor j in range(3):\n    {r}[j] = {f}.sum() * j
{r} = sum([x * x for x in {w}])
{r} = np.stack([x + j for j, x in enumerate({v})])
{r} = jitad.fori_loop(0, 3, lambda j, q: q * 0.5 + j, {f})
{r} = jitad.fori_loop(0, 3, lambda j, q: np.sin(q) + {f}, {f} * 1.0)
{r} = jitad.scan(lambda q, z: (q * 0.5 + z, q), 0.0, {w}.ravel())[1]
{r} = jitad.scan(lambda q, z: (q + np.sin(z).sum(), z * q), {c}, {w})[0]
{r} = jitad.while_loop(lambda q: q[0] < 3, lambda q: (q[0] + 1, q[1] / 2), (0, {f}))[1]
{r} = jitad.cond({f}.sum() > {c}, lambda q: q * 2, lambda q: q + 1.0, {g})
{r} = jitad.vmap(lambda q: np.sum(q * q), backend="numpy")({w})
{r} = jitad.grad(lambda q: np.sum(np.sin(q) * {f}), backend="numpy")({w})
try:\n    {r} = np.linalg.inv({q})\nexcept np.linalg.LinAlgError:\n    {r} = {w} * 2
with np.errstate(all="ignore"):\n    {r} = np.sqrt(np.abs({f})) + {g}
{r}, rest = {v}[0], {v}[1:]\n{r} = {r} + rest.sum()
first, second = {v}[0], {v}[1]\n{r} = first - second * 2
view = {t}[::2]\nview += {c}\n{r} = {t}.copy()
view = {t}.T\nview[0] = {c}\n{r} = view.sum()
view = {t}.reshape(-1)\nview[1:] -= view[:-1]\n{r} = {t}[{n}]
{r} = [{a}, {b}]\n{r} = {r}[0] + {r}[1] * 2
{r} = {v}.copy()\nfor j in range(2):\n    {r}[{i} % len({r})] += {c}
def inner(p):\n    p = p * 1\n    p[0] = {f}.sum()\n    return p\n{r} = inner({w})
{r} = jitad.vmap(lambda p: p * {f}.sum() + np.max({g}), backend="numpy")({w})
{r} = jitad.vmap(lambda p, j: p[j % len(p)] * 2, (None, 0), backend="numpy")({w}, {i})
{r} = jitad.jit(lambda p: p * {f}, backend="numpy")({g})
{r} = jitad.jacobian(lambda p: p * p.sum(), backend="numpy")({w})
{r} = jitad.hessian(lambda p: np.sum(p**3) * {f}.sum(), backend="numpy")({w})
{r} = jitad.switch({i}.sum(), [lambda p: p, lambda p: -p, lambda p: p * p], {f})
{r} = jitad.fori_loop(0, {i}.max() % 4, lambda j, p: p / 2 + j, {f} * 1.0, max_steps=4)
{r} = jitad.scan(lambda p, z: (np.where(z > 0, p + z, p), p.sum()), {f} * 1.0, {w})[1]
{r} = jitad.scan(lambda p, z: (p * z.sum(), p + {f}), {g} * 1.0, {w}, reverse=True)[1]
{r} = jitad.scan(lambda p, z: (p * 0.5 + z.sum(), None), 1.0, {w}, checkpoint=2)[0]
def step(p, z):\n    p = p.copy()\n    p[0] += z.sum()\n    return p, p[-1]\n{r} = jitad.scan(step, {w} * 1.0, {w})[1]
def step(j, p):\n    p = p * 1\n    p[j % 2] = p[-1] + j\n    return p\n{r} = jitad.fori_loop(0, 3, step, {w} * 1.0)
def step(j, p):\n    return np.array([p[1], p[0] * 0.5, {f}.sum()]) - {g}.sum()\n{r} = jitad.fori_loop(0, 2, step, {w} * 1.0)
{r} = jitad.while_loop(lambda p: np.sum(p) > {c}, lambda p: p * 0.5 - 1, {f} * 1.0, max_steps=9)
{r} = jitad.fori_loop(0, 2, lambda j, p: jitad.cond(p.sum() > {c}, lambda u: u - j, lambda u: u + {g}.sum(), p), {f} * 1.0)
{r} = jitad.fori_loop(0, 2, lambda j, p: jitad.scan(lambda u, z: (u * 0.5 + z, u), p, {w})[0], {w}[0] * 1.0)
rule = jitad.custom_jvp(lambda p: p * p)\nrule.defjvp(lambda x, d: (rule(*x), 2 * x[0] * d[0]))\n{r} = rule({f} * 1.0)
{r} = jitad.checkpoint(lambda p: jitad.fori_loop(0, 3, lambda j, u: np.sin(u) + j, p))({f} * 1.0)
{r} = jitad.stop_gradient({f}) * 0 + {f}
{r} = np.array([{w}[0], {c}, {w}[-1]]) - {f}.sum()
{r} = np.array([[{w}[0], 0], [0, {w}[-1]]]) @ np.array([{c}, {w}[0]])
{r} = {a}\nif {m}.any() and {f}.sum() > 0:\n    {r} = {r} * 1.5
{r} = max({f}.sum(), {g}.sum())
{r} = sorted([{f}.sum(), {g}.sum() * 2, 0.125])[1]
{r} = {f}.sum() if {f}.max() > {c} else {g}.sum() * 2
first, *others = {v}\n{r} = first + len(others)
{r} = {"p": {a}, "q": {b}}["p"] * 1
{r} = (lambda p, q=2: p * q)({a})
{r} = {t}\n{r} = {r}[::-1]\n{r}[0] = {c}
view, kept = {t}[1:], {t}[1:].copy()\nview *= kept\n{r} = kept
view = {t}[::-1][:2]\nview[...] = {a}\n{r} = view * 1
view = {t}[{i} % len({t})]\nview += {c}\n{r} = {t} * 1
view = np.swapaxes({t}, 0, -1)\nview[0] += {c}\n{r} = view[0] * 1
for row in {t}:\n    row *= {c}
for j in range(len({t})):\n    {t}[j] = {t}[j - 1] * 0.5
{r} = np.zeros_like({t})\nfor j, row in enumerate({t}):\n    {r}[j] = row * j
{r} = [x for x in {v} if True][0]
try:\n    {r} = np.linalg.cholesky({q})\nexcept np.linalg.LinAlgError:\n    {r} = {w} + {w}.T
try:\n    {r} = {v}[{i}.max()]\nexcept IndexError:\n    {r} = {v}[0] * 0
"""  # noqa: E501


_BOUNDED = "np.tanh(np.nan_to_num({w}))"


def lines(table: str) -> list[str]:
    """The entries of a table."""
    separated = [part for line in table.strip().splitlines() for part in split(line)]
    written = [part for part in separated if part.strip()]
    return [part.replace(r"\n", "\n").replace("{q}", _BOUNDED) for part in written]


def split(line: str) -> list[str]:
    """The entries of a line; a bar between blanks is an operator."""
    parts, depth = [""], 0
    for k, letter in enumerate(line):
        depth += (letter in "([") - (letter in ")]")
        blank = line[k - 1 : k] == " "
        if letter == "|" and not blank and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts

"""Products and sums made one operation, where a machine has it.

Which product goes with which sum is decided here, by the statements alone: a compiler
that may choose decides differently where the same statements stand in other company,
and a point would not have the same result in every batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .kernel import Kernel
from .statement import Statement, numbers, rewritten, statements
from .statements import Op


def fuse(kernel: Kernel) -> Kernel:
    """The kernel with a product that is used once, in a sum, as a part of this."""
    every = [*statements((*kernel.once, *kernel.body))]
    uses = Counter(v for s in every for v in s.used)
    products = {
        s.result: s
        for s in every
        if isinstance(s, Op) and s.word == "mul" and s.dtype.kind == "f"
    }
    once = {v: s for v, s in products.items() if uses[v] == 1}
    fusion = _Fusion(once, 1 + max(numbers(every), default=0))
    # What an addition takes is gone, wherever it stands: find all additions first.
    taken = {s.result: fusion.fused(s) for s in every if isinstance(s, Op)}
    gone = fusion.gone

    def rewrite(s: Statement) -> Sequence[Statement]:
        if not isinstance(s, Op):
            return (s,)
        return () if s.result in gone else taken[s.result]

    once_ = rewritten(kernel.once, rewrite)
    return replace(kernel, once=once_, body=rewritten(kernel.body, rewrite))  # type: ignore


class _Fusion:
    """What takes which product; new values are numbered from `fresh`."""

    def __init__(self, products: dict[int, Op], fresh: int) -> None:
        self.products, self.fresh = products, fresh
        self.gone: set[int] = set()

    def fused(self, s: Op) -> list[Op]:
        """An addition or subtraction with a product in it; anything else as it is."""
        if s.word not in ("add", "sub") or s.dtype.kind != "f":
            return [s]
        for k in (0, 1):
            product = self.products.get(s.operands[k])
            if product is None or product.dtype != s.dtype:
                continue
            self.gone.add(product.result)
            a, b = product.operands
            other = s.operands[1 - k]
            if s.word == "add":
                return [self._fma(s, a, b, other)]
            negated = Op(self.fresh, "neg", (a if k else other,), s.dtype)
            self.fresh += 1
            if k:
                return [negated, self._fma(s, negated.result, b, other)]
            return [negated, self._fma(s, a, b, negated.result)]
        return [s]

    def _fma(self, s: Op, *operands: int) -> Op:
        return Op(s.result, "fma", operands, s.dtype)

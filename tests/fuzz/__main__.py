"""`python -m tests.fuzz --minutes 30`: look for failing programs, and print them."""

from __future__ import annotations

import argparse
import time
from collections import Counter

from .laws import LAWS, USUAL
from .search import LENGTH, search


def main() -> int:
    """Search until the time is up; the status is 1 where something failed."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=0, help="the first one")
    options.add_argument("--length", type=int, default=LENGTH, help="in statements")
    options.add_argument("--laws", nargs="*", default=list(USUAL), choices=LAWS)
    options.add_argument("--without", nargs="*", default=[], help="text to keep out")
    options.add_argument("--all", action="store_true", help="every failure of a kind")
    options.add_argument("--refusals", action="store_true", help="what was refused")
    given = options.parse_args()
    end, seed = time.monotonic() + 60 * given.minutes, given.seed
    statistics: Counter[str] = Counter()
    seen: Counter[tuple[str, ...]] = Counter()
    while time.monotonic() < end:
        laws = tuple(given.laws)
        for finding in search(seed, statistics, given.length, laws, given.without):
            key = (finding.failure.kind, *finding.program.statements[-1:])
            known = (finding.failure.kind, *[s[:12] for s in key[1:]])
            seen[known] += 1
            if given.all or seen[known] == 1:
                print(f"{finding}\n{'-' * 78}", flush=True)
        seed += 1
    told = {k: n for k, n in statistics.items() if not k.startswith("refused:")}
    print(f"seeds {given.seed} to {seed - 1}: {told}; {sum(seen.values())} failures")
    if given.refusals:
        for text, count in statistics.most_common():
            print(count, text)
    return 1 if seen else 0


if __name__ == "__main__":
    raise SystemExit(main())

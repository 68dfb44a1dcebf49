"""Second derivatives at the ends of domains, and where formulas overflow: S4 and S6."""

from __future__ import annotations

from second_case import Case

LIMITS: list[Case] = []

"""What users' own tests need: `check` holds every way to differentiate to the others.

`check` compares and `report` says what came of it; `rounding` and `differences` find
how large an error may be.
"""

from .check import check, check_primitive
from .report import CheckError, Comparison, Report

__all__ = ["CheckError", "Comparison", "Report", "check", "check_primitive"]

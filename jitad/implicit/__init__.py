"""Values that are defined by equations: root, fixed_point and linear_solve.

`closed` makes a function's captured values explicit, `newton` and `anderson` iterate,
`solution` gives the result its derivative by the implicit function theorem, and
`linear` is for linear equations.
"""

from .linear import linear_solve
from .solution import fixed_point, root

__all__ = ["fixed_point", "linear_solve", "root"]

"""Polynomials over the rationals, exact: for identities that a certificate rests on.

sympy's sparse rings. sympy is loaded by the first use, not with the module.
"""

from fractions import Fraction
from typing import Any


def polynomials(*names: str) -> tuple[Any, ...]:
    """The variables of QQ[names]: they add, multiply and compare exactly."""
    from sympy import QQ, ring

    return tuple(ring(",".join(names), QQ)[1:])


def rational(text: str) -> Any:
    """A decimal or a fraction, "1.01" or "1/3", as a number of QQ; ValueError for anything else."""
    from sympy import QQ

    value = Fraction(text)
    return QQ(value.numerator, value.denominator)


def positive(polynomial: Any) -> bool:
    """Whether it has coefficients above zero only, and one at least: > 0 where all variables are.

    Sufficient, not necessary: (x - 1)^2 + 1 is refused.
    """
    return bool(polynomial.coeffs()) and all(value > 0 for value in polynomial.coeffs())

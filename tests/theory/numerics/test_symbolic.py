"""Exact polynomials: equality means identity, and the sign test errs on one side only."""

import subprocess
import sys

import pytest

from theory.numerics.intervals import homogeneous
from theory.numerics.symbolic import polynomials, positive, rational


@pytest.mark.parametrize("degree", [0, 1, 7])
def test_homogeneous_sums_of_polynomials(degree: int) -> None:
    a, b = polynomials("a", "b")
    n = degree + 1
    assert homogeneous(a, b, degree) * (a - b) == a**n - b**n
    assert homogeneous(a, b, degree) * (a - b) != a**n - 2 * b**n


def test_positive_is_about_coefficients() -> None:
    x, y = polynomials("x", "y")
    assert positive(x**2 + rational("1/3") * x * y)
    for other in (x - y, 0 * x, x**2 - 2 * x + 2, -x):
        assert not positive(other)


def test_rationals_are_exact() -> None:
    (x,) = polynomials("x")
    assert rational("0.1") * x * 10 == x
    assert rational("1.01") != rational("1.0100000001")
    with pytest.raises(ValueError, match="Invalid"):
        rational("a tenth")


def test_sympy_is_loaded_by_the_first_use() -> None:
    program = (
        "import sys, theory.claims.ledger, theory.numerics.symbolic as s\n"
        "assert 'sympy' not in sys.modules\ns.polynomials('x')\nassert 'sympy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

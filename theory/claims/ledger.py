"""The theory's claims as records that check themselves: the paper's, then our own.

Statements: Yang et al., arXiv 2110.03848. How each is checked is in `theory.claims.theorems`.
"""

from collections.abc import Callable, Sequence
from time import process_time
from typing import Any

from evidence.claim import Claim
from theory.claims import adam_draws as adam_draws_claims
from theory.claims import draws as draws_claims
from theory.claims import gradient_noise as gradient_noise_claims
from theory.claims import grown_draws as grown_draws_claims
from theory.claims import quadratic as quadratic_claims
from theory.claims import sharing as sharing_claims
from theory.claims import sharper as sharper_claims
from theory.claims import shift as shift_claims
from theory.claims import sign_descent as sign_descent_claims
from theory.claims import speedup as speedup_claims
from theory.claims import staircase as staircase_claims
from theory.claims import stream as stream_claims
from theory.claims import when as when_claims
from theory.claims import when_tuned as when_tuned_claims
from theory.claims.theorems import (
    check_lemma1,
    check_remark1,
    check_theorem1,
    check_theorem2,
    check_theorem3,
    check_theorem4,
)
from theory.numerics.scales import check_scale

__all__ = ["CLAIMS", "Claim", "check_all"]


CLAIMS = (
    Claim(
        "LEM1",
        "PD target, identity start: every shared step is -eta W0^(L-1) (W0^L - Phi)",
        "Lemma 1",
        "",
        "docs/theory.md#the-bounds-themselves",
        check_lemma1,
    ),
    Claim(
        "THM1",
        "Flow, no sharing, ZAS start, any target: R(t) <= exp(-2t) R(0)",
        "Theorem 1",
        "theorem_bounds",
        "docs/theory.md#the-bounds-themselves",
        check_theorem1,
    ),
    Claim(
        "THM2",
        "Flow, sharing, identity start, PD target: R(t) <= exp(-2 L min(1, lmin^2) t) R(0)",
        "Theorem 2",
        "theorem_bounds",
        "docs/theory.md#the-bounds-themselves",
        check_theorem2,
    ),
    Claim(
        "REM1",
        "Phi = a I, a > 1: R'(0) = -2 R(0) under ZAS and -2 L R(0) under sharing",
        "Remark 1",
        "flow_curves",
        "docs/theory.md#the-bounds-themselves",
        check_remark1,
    ),
    Claim(
        "THM3",
        "Descent, ZAS, eta <= min{1/(4 L^3 xi^6), 1/(144 L^2 xi^4)}, "
        "xi = max{2||Phi||_F, 3 L^(-1/2), 1}: R(t) <= (1 - eta/2)^t R(0)",
        "Theorem 3",
        "descent_bounds",
        "docs/theory.md#the-bounds-themselves",
        check_theorem3,
    ),
    Claim(
        "THM4",
        "Descent, sharing, eta <= min(lmin^2, 1) / (4 sqrt(d) L^2 max(lmax^4, 1)): "
        "R(t) <= exp(-(2L-2) min(lmin^2, 1) eta t) R(0)",
        "Theorem 4",
        "descent_bounds",
        "docs/theory.md#the-bounds-themselves",
        check_theorem4,
    ),
    *speedup_claims.CLAIMS,
    *sharper_claims.CLAIMS,
    *sharing_claims.CLAIMS,
    *gradient_noise_claims.CLAIMS,
    *quadratic_claims.CLAIMS,
    *sign_descent_claims.CLAIMS,
    *staircase_claims.CLAIMS,
    *draws_claims.CLAIMS,
    *adam_draws_claims.CLAIMS,
    *grown_draws_claims.CLAIMS,
    *shift_claims.CLAIMS,
    *stream_claims.CLAIMS,
    *when_claims.CLAIMS,
    *when_tuned_claims.CLAIMS,
)


def check_all(
    seed: int, scale: str = "small", progress: Callable[[str], None] | None = None
) -> list[dict[str, Any]]:
    """Recompute every claim that needs no torch, in the paper's order, then our own."""
    return check_claims(CLAIMS, seed, scale, progress)


def check_claims(
    claims: Sequence[Claim],
    seed: int,
    scale: str,
    progress: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Recompute ``claims``; ledger entries in their order.

    `scale`: "smoke", "small" (a minute or so of one core) or "full". `progress` receives one line
    per claim, with the processor time it took. ValueError for an unknown scale.
    """
    check_scale(scale)
    records = []
    for claim in claims:
        begin = process_time()
        record = claim.told(claim.check(seed, scale))
        records.append(record.to_json())
        if progress is not None:
            progress(f"{claim.id}: {record.verdict} ({process_time() - begin:.1f} s)")
    return records

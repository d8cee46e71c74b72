"""The dual of a dense map: what gradients go by where weights go by the map."""

from __future__ import annotations

import torch
from torch import Tensor

RANKED = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Share of the largest pivot from which on a map's columns count as independent, by the precision
of the work. A dual errs by the rounding times the condition: by 1e-10 of its size in float64, by
1e-5 in float32, where a map that is worse goes by float64."""


@torch.no_grad()
def dual(matrix: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return the dual of least norm of a map (new, old), pinv(matrix)^T, (new, old), in ``dtype``.

    Of a matrix M = Q R of full column rank it is Q R^-T, at a tenth of the pseudoinverse's cost;
    in float32 at half of that.
    """
    for work in (dtype, torch.float64):
        if work not in RANKED or matrix.shape[0] < matrix.shape[1]:
            continue
        q, r = torch.linalg.qr(matrix.to(work))
        sizes = r.diagonal().abs()
        if float(sizes.min()) > RANKED[work] * float(sizes.max()):
            return torch.linalg.solve_triangular(r.T, q, upper=False, left=False).to(dtype)
    return torch.linalg.pinv(matrix.double()).T.to(dtype)

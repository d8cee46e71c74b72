"""How much is computed: a name for each scale of the studies and the claims."""

SCALES = ("smoke", "small", "full")


def check_scale(scale: str) -> int:
    """0, 1 or 2 for "smoke", "small", "full"; ValueError for anything else."""
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}")
    return SCALES.index(scale)

"""A training core for stacks of repeated modules: share weights, then unshare (knows no BERT)."""

"""The comparison of arms and the paper's tables: what is run, on what, and what came out."""

"""Who shares with whom, when that ends, and what becomes of gradients and optimiser state then."""

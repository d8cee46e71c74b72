"""One model on several processes: whole weights on each, or slices of them."""

"""Languages whose truth is known: rows of tokens made on the spot, and the least possible loss."""

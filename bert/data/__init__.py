"""From text to token rows: reading, vocabulary, packing, masking; ``python -m bert.data``."""

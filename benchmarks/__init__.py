"""Speed and memory measurements, each with a record."""

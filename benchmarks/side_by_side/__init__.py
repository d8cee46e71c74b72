"""Several implementations of one model on one device; see benchmarks/throughput.py."""

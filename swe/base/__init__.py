"""Files, configuration, locks, interrupts, workers: what every other room stands on (no torch)."""

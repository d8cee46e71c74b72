"""Closed forms, bounds and descent for deep linear networks under sharing (no torch here)."""

"""Solvable models of repeated modules, and the predictions that they give for others."""

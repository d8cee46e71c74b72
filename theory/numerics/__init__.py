"""Argument checks, quadrature, interval arithmetic: what the closed forms are computed with."""

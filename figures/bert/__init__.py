"""Figures and tables of the BERT studies."""

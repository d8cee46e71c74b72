"""Figures, tables and the report, drawn from result files alone; nothing is run from here."""

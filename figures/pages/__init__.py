"""The report, and the blocks of README and docs that come from records."""

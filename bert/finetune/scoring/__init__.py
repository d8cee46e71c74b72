"""Official scores and prediction files."""

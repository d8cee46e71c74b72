"""What results are judged by: claims, comparisons, result files and their keys (no torch)."""

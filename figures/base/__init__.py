"""Result files read, the one look of all figures, and words for numbers."""

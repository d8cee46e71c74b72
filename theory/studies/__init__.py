"""What is computed into result files, and the list of those files."""

"""A run's folder: what a run leaves behind, read back by one reader for each kind of file."""

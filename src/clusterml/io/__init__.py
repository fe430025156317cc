"""Files: the bounds within which they are read."""

"""Configurations: schemas with clear errors, overrides on the command line, keys with their meaning."""

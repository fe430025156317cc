"""Formats of spectrum files, one module each, and what they have in common; see :mod:`.registry`."""

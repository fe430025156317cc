"""Formats of spectrum files, one module each: whatever defines ``FORMATS`` here can be read."""

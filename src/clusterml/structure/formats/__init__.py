"""Formats of structure files, one module each: whatever defines ``FORMATS`` here can be read."""

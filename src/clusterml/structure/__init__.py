"""Geometries: reading them, checking them, and what their bonds say about groups of atoms and charge."""

"""Crystals: reading a CIF, choosing one disorder component, and cutting whole molecules out of the cell."""

"""Crystals: reading a CIF, choosing one disorder component, and cutting whole molecules out of the cell."""

from typing import Literal

Disorder = Literal["major", "A", "B", "error"]
"""Which alternative is kept: the most occupied; the first (A) or second (B) group of every assembly; or none."""

"""Changing a cluster on purpose: named distortions with units and signs, thermal noise, and ligand exchange."""

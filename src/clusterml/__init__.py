"""Absorption and circular-dichroism spectra of ligand-protected silver clusters, from their geometry."""

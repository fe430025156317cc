"""Excited states of orbitals: problems and their solvers."""

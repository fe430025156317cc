"""Transitions and spectra: broadening, units, comparison, export, plots."""

"""Heads: from features of atoms to spectra.  Each is a module ``head(graph, features) -> (epsilon, delta_epsilon)``."""

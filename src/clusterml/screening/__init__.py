"""Screening: many distortions and ligand shells ranked by the spectra the network predicts, the best verified."""

"""Inverse design: from the best candidates of a screen uphill, in the amounts of its distortions and in all atoms."""

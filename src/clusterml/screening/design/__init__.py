"""Inverse design: from the best candidates of a screen uphill along the gradient of the network."""

"""Fitting the Hamiltonian of ``gfn1-pbe`` to records with PBE orbitals: what they hold, and the regression."""

"""Sources of orbitals: each gives the molecular orbitals of a ground state and its response kernel."""

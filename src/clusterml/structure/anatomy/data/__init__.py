"""The ligand library that is shipped."""

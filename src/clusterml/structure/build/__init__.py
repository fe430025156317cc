"""Building clusters: blueprints, ligands on their sites, shells for bare cores, and relaxation."""

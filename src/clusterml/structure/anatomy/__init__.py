"""What a cluster is made of: its metal kernel and shells, motifs and ligands, and the charge that follows."""

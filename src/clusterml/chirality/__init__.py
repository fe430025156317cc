"""How chiral a cluster is: continuous chirality and symmetry measures, signed indices, template fits."""

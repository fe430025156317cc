"""The network: graphs of clusters, equivariant layers, heads.  Pure torch modules without files."""

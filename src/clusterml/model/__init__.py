"""The network: graphs of clusters, equivariant layers, heads.  Pure torch modules; nothing here reads or writes files."""

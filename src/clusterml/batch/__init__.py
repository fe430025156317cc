"""Many files in, many results out: what every verb shares that takes files."""

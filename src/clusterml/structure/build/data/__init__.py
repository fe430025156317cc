"""The blueprints that are shipped: one YAML file each."""

"""``python -m clusterml``: the command ``clusterml``."""

from clusterml.cli.main import main

if __name__ == "__main__":
    main()

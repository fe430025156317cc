"""Building clusters: blueprints, ligands on their sites, shells for bare cores, hypothetical clusters."""

from typing import Literal

SkeletonKind = Literal["compact", "shelled", "cage", "ring", "chain"]
"""Of a hypothetical cluster; here, so that the command line lists them at once."""

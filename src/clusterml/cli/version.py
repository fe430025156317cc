"""What ``clusterml --version`` prints: the program, and the checkpoint that ``predict`` takes."""

from __future__ import annotations

import hashlib
import json

from clusterml.errors import ClusterMLError


def version_lines() -> list[str]:
    """The program's version; the checkpoint with the first digits of its ``spec.json``'s SHA-256, and what wrote it.

    ``spec.json`` holds the checksums of the weights, so that its own tells two checkpoints of one name apart.
    """
    from clusterml import __version__
    from clusterml.shipped import DEFAULT_MODEL
    from clusterml.training.library import find_release
    from clusterml.training.release import SPEC

    lines = [f"clusterml {__version__}"]
    try:
        content = (find_release(DEFAULT_MODEL) / SPEC).read_bytes()
        writer = str(json.loads(content)["version"])
    except (ClusterMLError, OSError, ValueError, KeyError, TypeError):
        return [*lines, f"checkpoint {DEFAULT_MODEL}: missing or damaged, see clusterml models"]
    return [*lines, f"checkpoint {DEFAULT_MODEL} {hashlib.sha256(content).hexdigest()[:8]}, of clusterml {writer}"]

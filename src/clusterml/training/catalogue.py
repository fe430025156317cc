"""Where checkpoints are: their names, and the folders they are looked for in."""

from __future__ import annotations

import os
from pathlib import Path

from clusterml.errors import ClusterMLError
from clusterml.io.shipped import shipped

SPEC = "spec.json"
"""The file of a checkpoint that says what it is; a folder without it is no checkpoint."""
RELEASE = "release"
"""The folder of the checkpoint in that of a run."""
VARIABLE = "CLUSTERML_CHECKPOINTS"
"""Environment variable: a folder in which checkpoints are looked for by name."""


class ReleaseError(ClusterMLError):
    """A shipped checkpoint is missing, damaged, foreign, or of a newer version."""


def find_release(name: str | Path) -> Path:
    """The folder of a checkpoint: a path, or a name in $CLUSTERML_CHECKPOINTS, ./checkpoints or the program itself.

    Raises :class:`ReleaseError` naming the checkpoints there are.
    """
    if (Path(name) / SPEC).is_file():
        return Path(name)
    known = known_releases()
    if str(name) in known:
        return known[str(name)]
    names = ", ".join(sorted(known)) or "none"
    problem = f"the folder '{name}' holds no {SPEC}" if Path(name).is_dir() else f"there is no checkpoint '{name}'"
    if (Path(name) / RELEASE / SPEC).is_file():  # a run's folder
        raise ReleaseError(problem, f"did you mean {Path(name) / RELEASE}?")
    raise ReleaseError(problem, f"give the folder of a checkpoint, or one of: {names}")


def known_releases() -> dict[str, Path]:
    """Name -> folder of the checkpoints in $CLUSTERML_CHECKPOINTS, ./checkpoints and the program itself, first wins."""
    places = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
    places += [Path("checkpoints"), shipped("checkpoints")]
    return {path.parent.name: path.parent for place in reversed(places) for path in sorted(place.glob(f"*/{SPEC}"))}

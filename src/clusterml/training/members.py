"""Fine-tuning a whole ensemble: its members one after the other, in folders of their own, then joined again.

FOLDER/member-0/ member-1/ ..    a run each, see :mod:`clusterml.training.run`; all with the split of the first
FOLDER/release/                  the ensemble, once all of them are finished
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clusterml.errors import OptionError
from clusterml.training.architecture import Architecture
from clusterml.training.card import members_card
from clusterml.training.config import Config
from clusterml.training.library import find_release, join_releases
from clusterml.training.loop import Watch
from clusterml.training.release import SPLIT, open_release
from clusterml.training.run import Finished, train


def train_members(
    config: Config,
    folder: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    architecture: Architecture | None = None,
    watch: Watch = lambda progress: None,
) -> tuple[Path, Sequence[Finished]]:
    """Fine-tune every member of ``config.init_from`` and join them; returns the ensemble's folder and the runs.

    Member k is seeded with ``config.seed`` + k.  Arguments and errors are those of
    :func:`~clusterml.training.run.train`; with ``resume`` members that are finished are not trained again.  Raises
    :class:`~clusterml.errors.OptionError` for a configuration without ``init_from``.
    """
    if config.init_from is None:
        raise OptionError("init_from is not given", "name the checkpoint whose members are to be fine-tuned")
    folder = Path(folder)
    done: list[Finished] = []
    for member in range(len(open_release(find_release(config.init_from)).networks)):
        changed = {"name": f"{config.name}-{member}", "seed": config.seed + member, "init_member": member}
        if done:
            changed["data"] = config.data.model_copy(update={"split": str(folder / "member-0" / SPLIT)})
        own = config.model_copy(update=changed)
        place = folder / f"member-{member}"
        done.append(train(own, place, resume=resume, device=device, architecture=architecture, watch=watch))
    release = folder / "release"
    if os.environ.get("RANK", "0") == "0" and not release.exists():
        rows = [each.row for each in done]
        card = members_card(config, open_release(done[0].release).card, rows)
        join_releases([each.release for each in done], release, card, {"members": rows}, name=config.name)
    return release, done

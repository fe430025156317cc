"""Who is learnt from and who is tested on: splits that are drawn once, stored, and leak nothing.

Records of one geometry and its mirror image (same ``pair``) always stay together.  Three questions, three splits:

* ``random``: unseen distortions of known clusters (interpolation);
* ``shell``: unseen ligand shells: whole (family, shell) combinations are held out;
* ``parent``: unseen clusters: whole families are held out.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from clusterml.dataset.reader import Dataset
from clusterml.errors import DatasetError, OptionError
from clusterml.spectrum.files import write_text

Question = Literal["random", "shell", "parent"]
SETS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """``question`` and, for each of train, validation and test, the names of its records in dataset order."""

    question: str
    seed: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def make_split(
    dataset: Dataset,
    question: Question,
    *,
    seed: int = 0,
    fractions: tuple[float, float] = (0.1, 0.1),
    held_out: Iterable[str] = (),
) -> Split:
    """Divide ``dataset`` into train, validation and test.

    ``fractions``: shares of validation and test.  ``held_out``: for ``shell`` and ``parent``, the groups to test on
    (``family/shell`` or ``family``); by default some are drawn until the share is reached.  Validation is always drawn
    like test from what is left.  Raises :class:`OptionError` for fractions or groups that cannot be, and
    :class:`DatasetError` where there are too few groups to divide.
    """
    if not (min(fractions) >= 0.0 and 0.0 < sum(fractions) < 1.0):
        raise OptionError(f"fractions are {fractions}", "give two shares that leave something to train on")
    units = _units(dataset, question)
    wanted = set(held_out)
    if wanted and (question == "random" or not wanted <= set(units)):
        known = ", ".join(sorted(units)[:20]) if question != "random" else "none for a random split"
        raise OptionError(f"held out: {', '.join(sorted(wanted))}", f"known groups: {known}")
    total = sum(len(members) for members in units.values())
    names = sorted(units)
    np.random.default_rng(seed).shuffle(names)
    test = sorted(wanted) or _draw(names, units, fractions[1] * total)
    rest = [name for name in names if name not in set(test)]
    validation = _draw(rest, units, fractions[0] * total)
    train = [name for name in rest if name not in set(validation)]
    if not train or not test:
        raise DatasetError(f"{len(units)} groups are too few for a '{question}' split", "label more kinds of clusters")
    chosen = {"train": train, "validation": validation, "test": test}
    ids = {part: {i for name in members for i in units[name]} for part, members in chosen.items()}
    return Split(question, seed, *(tuple(i for i in dataset.ids if i in ids[part]) for part in SETS))


def _draw(names: Sequence[str], units: dict[str, list[str]], share: float) -> list[str]:
    """The first groups whose sizes add up to ``share`` records, at least one if anything is wanted."""
    taken: list[str] = []
    count = 0
    for name in names:
        if count >= share:
            break
        taken.append(name)
        count += len(units[name])
    return taken


def _units(dataset: Dataset, question: Question) -> dict[str, list[str]]:
    """Records that must stay together, by name of the group; groups that share a mirror pair are merged."""
    family, shell, pair = (dataset.column(name) for name in ("family", "shell", "pair"))
    if question == "random":
        keys = list(pair)
    elif question == "shell":
        keys = [f"{f}/{s}" for f, s in zip(family, shell, strict=True)]
    elif question == "parent":
        keys = list(family)
    else:
        raise OptionError(f"split is {question!r}", "choose random, shell or parent")
    units: dict[str, list[str]] = defaultdict(list)
    home: dict[str, str] = {}
    for name, key, together in zip(dataset.ids, keys, pair, strict=True):
        units[home.setdefault(together, key)].append(name)
    return dict(units)


def leaks(dataset: Dataset, split: Split) -> list[str]:
    """What a split must not have: records in two sets, or mirror images in different ones; empty if it is sound."""
    owner: dict[str, str] = {}
    pair = dict(zip(dataset.ids, dataset.column("pair"), strict=True))
    found = []
    for part in SETS:
        for name in getattr(split, part):
            for key in (f"record {name}", f"pair {pair[name]}"):
                if owner.setdefault(key, part) != part:
                    found.append(f"{key} is in {owner[key]} and in {part}")
    return found


def save_split(split: Split, path: Path) -> Path:
    """Write a split as JSON, atomically."""
    content = {"question": split.question, "seed": split.seed, **{part: list(getattr(split, part)) for part in SETS}}
    return write_text(path, json.dumps(content, indent=0) + "\n")


def load_split(path: Path) -> Split:
    """Read a split; raises :class:`DatasetError` naming the file if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Split(content["question"], content["seed"], *(tuple(content[part]) for part in SETS))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: is not a split ({error})", "make it again with dataset split") from error

"""Splits into training, validation and test sets: drawn once, stored, and without leaks.

Records of one geometry (mirror images, several protocols, thermal averages about it, their snapshots) always stay
together.  Five questions, five splits:

* ``random``: unseen distortions of known clusters (interpolation), drawn from the seed;
* ``foreign``: known clusters in geometries of another origin: relaxed by another method, or with other conformers;
* ``shell``: unseen ligands: every record that carries a held-out ligand is held out;
* ``parent``: unseen clusters: whole families are held out;
* ``core``: unseen cores of hypothetical clusters: all that have a held-out core are held out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from clusterml.dataset.groups import Groups, find_homes, groups_of, kin_of, origins_of, union
from clusterml.dataset.split import SETS, SPLIT_FILE, Question, Split, SplitRecipe, load_split, save_split
from clusterml.dataset.store import Dataset
from clusterml.errors import DatasetError, OptionError, check_seed
from clusterml.io.files import make_folder


def take_in_turn(
    order: Sequence[str], groups: Groups, shares: dict[str, float], test: Sequence[str]
) -> dict[str, list[str]]:
    """Groups for test (after those in ``test``) and validation, in turn while that brings a set nearer its share."""
    selected: dict[str, list[str]] = {"test": list(test), "validation": []}
    remaining, took = list(order), True
    held = {"test": union(groups, test), "validation": set[int]()}  # what is of both is tested on
    taken, everything = set(held["test"]), len(union(groups, groups))
    while took:
        took = False
        for part, share in shares.items():
            size, counted = len(held[part]), held["test"] if part == "test" else taken
            for name in remaining:
                group = groups[name]
                count = size + len(group - counted)
                first = not selected[part] and share > 0.0 and count > 0
                nearer = first or abs(count - share) < abs(size - share)
                if nearer and len(taken) + len(group - taken) < everything:
                    selected[part].append(name)
                    remaining.remove(name)
                    held[part] |= group
                    held["validation"] -= held["test"] if part == "validation" else group
                    taken |= group
                    took = True
                    break
    return selected


QUESTIONS: tuple[Question, ...] = get_args(Question)


def make_split(
    dataset: Dataset,
    question: Question,
    *,
    seed: int = 0,
    fractions: tuple[float, float] = (0.1, 0.1),
    held_out: Iterable[str] = (),
    homes: Sequence[str] | None = None,
) -> Split:
    """Divide ``dataset`` into train, validation and test.

    ``fractions``: shares of validation and test.  ``held_out``: what to test on, for ``parent`` families, for ``shell``
    ligands or ``family/shell``.  By default test and validation take in turn, while that brings them nearer to their
    shares, the largest clusters (``parent``), or the rarest ligands that no family carries in all its records
    (``shell``).  ``homes``: what :func:`find_homes` says of the dataset, if it is known.

    Raises :class:`OptionError` for a seed, fractions or groups that cannot be, and :class:`DatasetError` where there
    are too few groups to divide.
    """
    check_seed(seed)
    if not (min(fractions) >= 0.0 and 0.0 < sum(fractions) < 1.0):
        raise OptionError(f"fractions are {fractions}", "give two shares that leave something to train on")
    if question not in QUESTIONS:
        raise OptionError(f"split is {question!r}", f"choose {', '.join(QUESTIONS)}")
    homes = find_homes(dataset) if homes is None else homes
    groups, order = groups_of(dataset, question, homes, seed)
    requested = sorted(set(held_out))
    if requested and (question == "random" or not set(requested) <= set(groups)):
        names = ", ".join(sorted(groups)[:30]) if question != "random" else "none for a random split"
        raise OptionError(f"the dataset lacks held-out {', '.join(requested)}", f"known groups: {names}")
    shares = {"test": 0.0 if requested else fractions[1] * len(dataset), "validation": fractions[0] * len(dataset)}
    selected = take_in_turn([name for name in order if name not in requested], groups, shares, requested)
    part = ["train"] * len(dataset)
    for name in ("validation", "test"):  # the test set has the first claim on a record of both
        for index in union(groups, selected[name]):
            part[index] = name
    part = _keep_together(part, homes)
    ids = {name: tuple(i for i, of_record in zip(dataset.ids, part, strict=True) if of_record == name) for name in SETS}
    asked = {"train": 1.0, "validation": shares["validation"], "test": shares["test"] + len(requested)}
    for name, share in asked.items():
        if share > 0 and not ids[name]:
            raise _too_few(question, name, groups, requested)
    unseen = () if question == "random" else tuple(sorted(selected["test"]))
    shares_asked = (float(fractions[0]), float(fractions[1]))
    return Split(question, seed, ids["train"], ids["validation"], ids["test"], unseen, shares_asked, tuple(requested))


def _too_few(question: Question, part: str, groups: Groups, requested: Sequence[str]) -> DatasetError:
    """Why ``part`` of a split is empty, and what helps."""
    kinds = {"random": "geometries", "shell": "ligands and shells", "parent": "families", "core": "cores"}
    kind = kinds.get(question, "origins")
    held = f", {len(requested)} of them held out" if requested else ""
    remedy = "hold out fewer, " if requested else ""
    remedy += "" if part == "train" else f"ask for none of it (--{part} 0), "
    problem = f"a '{question}' split of {len(groups)} {kind}{held} leaves no {part} records"
    return DatasetError(problem, f"{remedy}or label more kinds of clusters")


def extend(
    split: Split, dataset: Dataset, fractions: tuple[float, float] = (0.1, 0.1), homes: Sequence[str] | None = None
) -> Split:
    """A random split of a dataset that has grown: its records stay where they are, new geometries are divided anew.

    So a network that has learnt from ``split.train`` may learn on, and be tested on what it never saw.  ``fractions``:
    shares of validation and test, which the new geometries get on average, drawn from the seed of ``split``.
    ``homes``: as for :func:`make_split`.

    Raises :class:`OptionError` for a split by shell or parent (new records may carry what it holds out) and
    :class:`DatasetError` for one with records that ``dataset`` has not.
    """
    if split.question != "random":
        raise OptionError(f"a split by {split.question} cannot be extended", "draw a new split")
    homes = find_homes(dataset) if homes is None else homes
    home_of = dict(zip(dataset.ids, homes, strict=True))
    missing = [name for part in SETS for name in getattr(split, part) if name not in home_of]
    if missing:
        problem = f"the split has {len(missing)} records that {dataset.folder} has not, the first: {missing[0]}"
        raise DatasetError(problem, "extend a split of this dataset")
    fresh = make_split(dataset, "random", seed=split.seed, fractions=fractions, homes=homes)
    place = {home_of[name]: part for source in (fresh, split) for part in SETS for name in getattr(source, part)}
    conflicts = [name for part in SETS for name in getattr(split, part) if place[home_of[name]] != part]
    if conflicts:
        raise DatasetError(f"a new record is the same geometry as {conflicts[0]} and one of another set", "remove it")
    ids = {part: tuple(name for name in dataset.ids if place[home_of[name]] == part) for part in SETS}
    return Split("random", split.seed, ids["train"], ids["validation"], ids["test"])


def _keep_together(part: Sequence[str], homes: Sequence[str]) -> list[str]:
    """Put all records of a geometry into the last of their sets: test before validation before train."""
    highest: dict[str, str] = {}
    for home, of_record in zip(homes, part, strict=True):
        highest[home] = max(of_record, highest.get(home, of_record), key=SETS.index)
    return [highest[home] for home in homes]


def leaks(dataset: Dataset, split: Split, homes: Sequence[str] | None = None) -> list[str]:
    """What a split must not have; empty if it is sound.

    Records in two sets; one geometry (mirrored, or labelled with another protocol) in two sets; a family (``parent``,
    ``core``: with all of its core), a shell (``shell``) or an origin (``foreign``) of a family of the test set in
    another one.  ``homes``: as for :func:`make_split`.
    """
    place = {name: index for index, name in enumerate(dataset.ids)}
    columns = {"pair": dataset.column("pair"), "geometry": find_homes(dataset) if homes is None else homes}
    if split.question in ("parent", "core"):
        columns["family"] = kin_of(dataset)
    if split.question == "foreign":
        columns["origin"] = origins_of(dataset)
    if split.question == "shell":
        shells = zip(dataset.column("family"), dataset.column("shell"), strict=True)
        columns["shell"] = [f"{family}/{shell}" for family, shell in shells]
    owner: dict[tuple[str, str], str] = {}
    problems = []
    for part in reversed(SETS):
        for name in getattr(split, part):
            keys = [("record", name), *((key, values[place[name]]) for key, values in columns.items())]
            for key in keys:
                first = owner.setdefault(key, part)
                if first != part and (key[0] not in ("family", "shell", "origin") or first == "test"):
                    problems.append(f"{key[0]} {key[1]} is in {first} and in {part}")
    return list(dict.fromkeys(problems))


def draw_splits(
    dataset: Dataset,
    paths: Mapping[Question, Path],
    *,
    seed: int = 0,
    fractions: tuple[float, float] = (0.1, 0.1),
    held_out: Iterable[str] = (),
) -> list[tuple[Path, Split]]:
    """Draw, check and store a split for each question of ``paths``; see :func:`make_split`.

    Raises :class:`DatasetError` naming the leaks of a split that is not sound; nothing is written then.
    """
    splits = []
    homes = find_homes(dataset)
    for question, path in paths.items():
        split = make_split(dataset, question, seed=seed, fractions=fractions, held_out=held_out, homes=homes)
        problems = leaks(dataset, split, homes)
        if problems:
            problem = f"the split by {question} leaks: {'; '.join(problems[:3])}"
            raise DatasetError(problem, "give a geometry the same family wherever it occurs")
        splits.append((path, split))
    for path, split in splits:
        make_folder(path.parent, within=dataset.folder if path.is_relative_to(dataset.folder) else None)
        save_split(split, path)
    return splits


def extend_split(
    dataset: Dataset, old: Path, new: Path, fractions: tuple[float, float] = (0.1, 0.1)
) -> tuple[Path, Split]:
    """Store :func:`extend` of the split at ``old`` as ``new``, if nothing leaks."""
    homes = find_homes(dataset)
    split = extend(load_split(old, dataset), dataset, fractions, homes)
    problems = leaks(dataset, split, homes)
    if problems:
        raise DatasetError(f"{old}: extended it leaks: {'; '.join(problems[:3])}", "draw a new split")
    return save_split(split, new), split


def find_split(recipe: SplitRecipe, dataset: Dataset, beside: Path) -> Split:
    """The split of ``recipe``: in a file beside the checkpoint ``beside``, its run or the dataset, or drawn again.

    Raises :class:`DatasetError` where none of these divides the records as the recipe's checksum says.
    """
    files = [beside / SPLIT_FILE, beside.parent / SPLIT_FILE, *sorted((dataset.folder / "splits").glob("*.json"))]
    for file in (file for file in files if file.is_file()):
        if (split := load_split(file, dataset)).sha256 == recipe.sha256:
            return split
    if recipe.fractions is not None:
        how: dict[str, Any] = {"seed": recipe.seed, "fractions": recipe.fractions, "held_out": recipe.held_out}
        split = make_split(dataset, recipe.question, **how)
        if split.sha256 == recipe.sha256:
            return split
    why = "it was made in several steps" if recipe.fractions is None else "drawn again it is another one"
    raise DatasetError(
        f"{dataset.folder}: has no split as {beside} was trained with (a {recipe.question} split; {why})",
        f"give the dataset it was trained on, or --split FILE: the {SPLIT_FILE} of its training run",
    )

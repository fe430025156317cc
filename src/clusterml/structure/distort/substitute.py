"""Ligand exchange at chosen or random sites: n of N ligands of one kind become another, one after the other.

Series are nested: the structure with n + 1 new ligands is the one with n, and one more exchange, so that properties
along a series (a deracemisation) change by one ligand at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import OptionError, StructureError
from clusterml.structure.bonds import bonds, neighbours
from clusterml.structure.distort.apply import make_child, require_intact
from clusterml.structure.distort.exchange import check_exchange
from clusterml.structure.distort.verify import Problems
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.anatomy import NamedLigand
    from clusterml.structure.anatomy.library import Library, LigandEntry

MOST_DRAWS = 20
"""Random placements that are tried on a site before the best placement is taken."""


@dataclass(frozen=True)
class ExchangeSite:
    """One ligand that can be exchanged: its ``number`` among those of its kind (from 1), its ``atoms`` and ``donors``,
    the ``metals`` that hold it, and the position ``(3,)`` (A) of its donors' centre."""

    number: int
    atoms: IntArray
    donors: IntArray
    metals: IntArray
    position: FloatArray


def find_sites(atoms: Atoms, old: str, library: Path | None = None) -> list[ExchangeSite]:
    """The bound ligands called ``old`` (a name, alias or formula), numbered from 1 in order of their first atom.

    ``library``: a user's ligand file, which names the ligands.  Raises :class:`OptionError`, listing the ligands there
    are, if there are none.
    """
    from clusterml.structure.anatomy.anatomy import anatomy
    from clusterml.structure.anatomy.library import load_library

    book = load_library(library)
    present = anatomy(atoms, book).ligands
    names = {old, *_names(old, book)}
    chosen = [x for x in present if names & {x.name, x.formula} and len(x.donors)]
    if not chosen:
        listed = ", ".join(dict.fromkeys(x.name for x in present if len(x.donors)))
        raise OptionError(f"there is no ligand {old} to exchange", f"ligands of this cluster: {listed or 'none'}")
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    bonded = neighbours(len(atoms), bonds(numbers, np.asarray(atoms.positions, dtype=np.float64)))
    chosen.sort(key=lambda ligand: int(ligand.atoms[0]))
    return [_site(atoms, ligand, number, bonded, metal) for number, ligand in enumerate(chosen, start=1)]


def substitute(
    atoms: Atoms,
    old: str,
    new: str,
    count: int | None = None,
    *,
    sites: Sequence[int] | None = None,
    rng: np.random.Generator,
    sample: bool = False,
    library: Path | None = None,
    problems: Problems = "error",
) -> Atoms:
    """``atoms`` with ``count`` of its ligands ``old`` exchanged for ``new`` (default: all, or all given ``sites``).

    Arguments, result and errors as :func:`series`, of which this is one member.

    Examples:
        >>> import clusterml as cm, numpy as np
        >>> mixed = cm.substitute(cm.build("ag3", thiolate="SH"), "SH", "SCH3", 1, rng=np.random.default_rng(0))
        >>> cm.anatomy(mixed).ligand_counts()
        {'SH': 2, 'SCH3': 1}
    """
    if count is None:
        count = len(sites) if sites is not None else len(find_sites(atoms, old, library))
    return series(atoms, old, new, [count], sites=sites, rng=rng, sample=sample, library=library, problems=problems)[0]


def series(
    atoms: Atoms,
    old: str,
    new: str,
    counts: Sequence[int],
    *,
    sites: Sequence[int] | None = None,
    rng: np.random.Generator,
    sample: bool = False,
    library: Path | None = None,
    problems: Problems = "error",
) -> list[Atoms]:
    """Structures with ``counts`` of the ligands ``old`` exchanged for ``new``; each holds the exchanges of the smaller.

    ``old``, ``new``: names of the ligand library (``R-TFL``), for ``old`` also a formula.  ``sites``: numbers of the
    sites (from 1, see :func:`find_sites`) in the order in which they are used; default: a random order, in which a site
    where the new ligand does not fit goes to the end.  ``sample``: draw conformer and orientation of each new ligand at
    random instead of taking the best; draws that do not fit are drawn again.  ``library``: a user's ligand file.
    ``problems``: ``"warn"`` notes contacts that are too close instead of raising an error.

    Atoms of the parent keep their places and order; new ligands come last.  The charge in ``info`` follows the ligands'
    charges.  The provenance lists the exchange under ``substitutions``.

    Raises :class:`OptionError` for ligands, counts or sites that are not there, and :class:`StructureError` where a
    ligand does not fit or the chemistry of the rest would change.
    """
    return require_intact(
        attempt_series(atoms, old, new, counts, sites=sites, rng=rng, sample=sample, library=library, problems=problems)
    )


def attempt_series(
    atoms: Atoms,
    old: str,
    new: str,
    counts: Sequence[int],
    *,
    sites: Sequence[int] | None = None,
    rng: np.random.Generator,
    sample: bool = False,
    library: Path | None = None,
    problems: Problems = "error",
) -> list[Atoms | StructureError]:
    """As :func:`series`, with an error in place of each member for which there is no more room."""
    from clusterml.structure.anatomy.library import load_library

    ligands = load_library(library)
    entry = ligands.entry(new)
    candidates = find_sites(atoms, old, library)
    order = _choose_order(candidates, sites, rng)
    _check_counts(counts, len(order), old)
    place = partial(_place_ligand, entry=entry, rng=rng, draws=MOST_DRAWS if sample else 0, problems=problems)
    stages = [_PartialExchange(atoms, np.arange(len(atoms), dtype=np.int64))]
    refusal: StructureError | None = None
    try:
        for stage in _exchange_in_turn(stages[0], order, max(counts), place, movable=sites is None):
            stages.append(stage)
    except StructureError as error:
        refusal = error
    record = {"from": old, "to": entry.name, "of": len(candidates)}
    return [
        refusal if refusal is not None and n >= len(stages) else _finish(atoms, stages[n], record, ligands)
        for n in counts
    ]


@dataclass(frozen=True)
class _PartialExchange:
    """A structure after some exchanges; ``origin`` ``(n,)``: each atom's index in the parent, -1 for new ones."""

    atoms: Atoms
    origin: IntArray
    done: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _RenumberedLigand:
    """A ligand as it is numbered after earlier exchanges."""

    atoms: IntArray
    donors: IntArray


Place = Callable[["Atoms", _RenumberedLigand], tuple["Atoms", list[str]]]


def _exchange_in_turn(
    stage: _PartialExchange, order: list[ExchangeSite], most: int, place: Place, *, movable: bool
) -> Iterator[_PartialExchange]:
    """The structures after 1, 2, .. ``most`` exchanges; sites that fail are used last if ``movable``."""
    waiting, refused = list(order), 0
    while len(stage.done) < most:
        site = waiting.pop(0)
        ligand = _RenumberedLigand(_present_indices(stage, site.atoms), _present_indices(stage, site.donors))
        try:
            new, warnings = place(stage.atoms, ligand)
        except StructureError as error:
            waiting.append(site)
            refused += 1
            if not movable or refused >= len(waiting):
                where = f"site {site.number} (after {len(stage.done)} exchanges)"
                raise StructureError(f"{where}: {error.problem}", error.remedy) from error
            continue
        refused = 0
        remaining = np.delete(stage.origin, ligand.atoms)
        origin = np.concatenate([remaining, np.full(len(new) - len(remaining), -1, dtype=np.int64)])
        noted = [f"site {site.number}: {text}" for text in warnings]
        stage = _PartialExchange(new, origin, (*stage.done, site.number), (*stage.warnings, *noted))
        yield stage


def _present_indices(stage: _PartialExchange, atoms: IntArray) -> IntArray:
    """Present indices of atoms of the parent."""
    return np.flatnonzero(np.isin(stage.origin, atoms)).astype(np.int64)


def _place_ligand(
    atoms: Atoms,
    ligand: _RenumberedLigand,
    *,
    entry: LigandEntry,
    rng: np.random.Generator,
    draws: int,
    problems: Problems,
) -> tuple[Atoms, list[str]]:
    """The new ligand in a random placement that fits, else in the best; with warnings.

    Raises :class:`StructureError`.
    """
    from clusterml.structure.build.attach import exchange
    from clusterml.structure.distort.exchange import exchange_sampled

    for _ in range(draws):
        try:
            sampled = exchange_sampled(atoms, ligand, entry, rng=rng)
            return sampled, check_exchange(atoms, sampled, ligand.atoms, entry, "error")
        except StructureError:
            continue
    best = exchange(atoms, ligand, entry, rng=rng)
    return best, check_exchange(atoms, best, ligand.atoms, entry, problems)


def _finish(parent: Atoms, stage: _PartialExchange, record: dict[str, Any], library: Library) -> Atoms:
    """The structure after some exchanges, with its name, charge and history; ``record`` describes the exchange."""
    from clusterml.structure.build.ligation import ligation_warnings

    count, exchanged = len(stage.done), stage.atoms
    name = f"{parent.info.get('name') or 'structure'}_{record['to']}_{count}"
    bare = exchanged.copy()
    bare.info = {**parent.info, **({"charge": exchanged.info["charge"]} if "charge" in exchanged.info else {})}
    entry = {**record, "sites": [*stage.done], "count": count}
    warnings = [*stage.warnings, *ligation_warnings(exchanged, library, first=int(np.sum(stage.origin >= 0)))]
    return make_child(bare, exchanged.positions, name, "substitutions", entry, warnings)


def _site(atoms: Atoms, ligand: NamedLigand, number: int, bonded: list[list[int]], metal: Any) -> ExchangeSite:
    metals = sorted({j for i in ligand.donors.tolist() for j in bonded[i] if metal[j]})
    centre = np.asarray(atoms.positions[ligand.donors].mean(axis=0))
    return ExchangeSite(number, ligand.atoms, ligand.donors, np.array(metals, dtype=np.int64), centre)


def _names(old: str, library: Library) -> list[str]:
    """The library's name for ``old``, if it has one."""
    try:
        return [library.entry(old).name]
    except OptionError:
        return []


def _choose_order(
    candidates: list[ExchangeSite], sites: Sequence[int] | None, rng: np.random.Generator
) -> list[ExchangeSite]:
    if sites is None:
        return [candidates[int(k)] for k in rng.permutation(len(candidates))]
    bad = [number for number in sites if not 1 <= number <= len(candidates)]
    if bad:
        raise OptionError(f"site {bad[0]} does not exist", f"sites are numbered from 1 to {len(candidates)}")
    if len(set(sites)) < len(sites):
        raise OptionError("a site is given twice", "name every site once")
    return [candidates[number - 1] for number in sites]


def _check_counts(counts: Sequence[int], available: int, old: str) -> None:
    if not counts:
        raise OptionError("no number of exchanges is given", "give at least one")
    bad = [n for n in counts if not 0 <= n <= available]
    if bad:
        raise OptionError(f"{bad[0]} ligands cannot be exchanged", f"there are {available} sites with {old}")

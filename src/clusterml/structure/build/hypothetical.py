"""Hypothetical clusters: random skeletons of silver with ligands of the library, charged by their electron count.

No such cluster need exist.  Networks that have seen thousands of different cores know more of an unknown one than those
that have seen a few famous ones.  A compact or shelled skeleton gets a charge that closes a superatom shell (2, 8, 18,
20 .. electrons: Walter et al., PNAS 2008, 105, 9157); rings, chains and cages are silver(I) without free electrons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from clusterml.config.schema import Strict
from clusterml.errors import StructureError
from clusterml.structure.anatomy.superatom import CLOSED_SHELLS, VALENCE_ELECTRONS
from clusterml.structure.build import SkeletonKind
from clusterml.structure.build.attach import Placement, place
from clusterml.structure.build.blueprint import cluster_name
from clusterml.structure.build.contacts import check_contacts, check_ligands
from clusterml.structure.build.coverage import Frame, add_donors, add_staples, bare_frame, settle_frame
from clusterml.structure.build.dopants import DOPANTS, SILVER, Dopant, draw_dopant
from clusterml.structure.build.outfit import (
    BRIDGES,
    CHELATES,
    NEUTRAL,
    Outfit,
    cap_metals,
    chelate_metals,
    choose_fitting,
    draw_outfit,
    offer_ligands,
    stand_on_donors,
)
from clusterml.structure.build.skeleton import FEWEST, MOST, Skeleton, draw_skeleton
from clusterml.structure.check import check_one_molecule
from clusterml.structure.elements import formula
from clusterml.structure.points import distances
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.library import Library, LigandEntry

MODEL = "model, not crystal: a hypothetical cluster, drawn at random"
"""What every hypothetical cluster says of itself."""
MOST_DRAWS = 60
"""Draws of one cluster before giving up."""
_FEWEST_WITH_STAPLES = 9
_METALS_OF_A_CHARGE = 6  # for each charge beyond the first
_CONTACT_A, _BOND_A = 3.5, 3.0  # between metals, and from a metal to an atom of a ligand
_INNER = 9  # neighbours of a metal that is not on the surface
_MOST_BARE = 0.3

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Hypothetical(Strict):
    """From what hypothetical clusters are drawn."""

    seed: int = Field(0, ge=0, description="a whole number from 0: seed and number give the cluster")
    kinds: dict[SkeletonKind, Annotated[float, Field(ge=0.0)]] = Field(
        {"compact": 0.3, "shelled": 0.35, "cage": 0.15, "ring": 0.1, "chain": 0.1},
        description="KIND: WEIGHT of skeletons, for the kinds compact, shelled, cage, ring and chain",
    )
    metals: tuple[Annotated[int, Field(ge=2)], Annotated[int, Field(le=60)]] = Field(
        (3, 40), description="a list of two numbers: fewest and most metals, from 2 to 60"
    )
    dopants: Share = Field(0.15, description="a share of the clusters: one of their metals is a dopant")
    dopant_elements: tuple[Dopant, ...] = Field(
        DOPANTS, min_length=1, description="a list of dopants to draw from: Au, Cu, Pd and Pt (buried in a superatom)"
    )
    mixed: Share = Field(0.4, description="a share of the clusters: two kinds of thiolate or halide share the sites")
    most_atoms: int = Field(150, ge=10, le=1000, description="a whole number: ligands are drawn to give about as many")
    most_charge: int = Field(
        3, ge=0, le=6, description="a whole number: largest charge of either sign; small clusters have at most 1 or 2"
    )
    ligands: list[str] | None = Field(
        None, description="names of ligands to draw from; default: the whole library, small ones more often"
    )

    @model_validator(mode="after")
    def _possible(self) -> Hypothetical:
        low, high = self.metals
        if low > high:
            raise ValueError(f"metals is {list(self.metals)}: give the smaller number first")
        if not self.drawable:
            raise ValueError(f"no kind of skeleton in kinds has {low} to {high} metals")
        return self

    @property
    def drawable(self) -> list[SkeletonKind]:
        """The kinds that there are of the wanted sizes."""
        low, high = self.metals
        return [k for k, weight in self.kinds.items() if weight > 0.0 and FEWEST[k] <= high and MOST[k] >= low]


def build_hypothetical(number: int, choice: Hypothetical | None = None, library: Library | None = None) -> Atoms:
    """The hypothetical cluster of that ``number``, from 0.

    It depends on ``choice`` (its ``seed`` too), ``number`` and ``library`` (default: the one in use) alone.  The Atoms
    (A, centred) have ``info``: ``charge``, ``name`` (formula by ligands) and ``provenance`` (``model``, ``skeleton``,
    ``electrons``, ``ligands``, ``dopant``, ``seed``, ``number``, ``draw``: how many before could not be built).

    Raises :class:`~clusterml.errors.OptionError` for ligands that are not there or of no use, and
    :class:`~clusterml.errors.StructureError` if no draw can be built.

    Examples:
        >>> from clusterml.structure.build.hypothetical import Hypothetical, build_hypothetical
        >>> rings = Hypothetical(kinds={"ring": 1.0}, metals=(4, 4), ligands=["SH"], dopants=0.0)
        >>> build_hypothetical(0, rings).info["name"]
        '[Ag4(SH)4]'
    """
    from clusterml.structure.anatomy.library import load_library

    wanted, book = choice or Hypothetical(), library or load_library()
    offered = offer_ligands(book, wanted.ligands)
    problem = StructureError("nothing was drawn")
    for draw in range(MOST_DRAWS):
        rng = np.random.default_rng([wanted.seed, number, draw])
        try:
            atoms = _draw(wanted, draw_outfit(offered, rng), rng)
        except StructureError as error:
            problem = error
            continue
        atoms.info["provenance"] |= {"seed": wanted.seed, "number": number, "draw": draw}
        return atoms
    raise StructureError(
        f"hypothetical cluster {number}: none of {MOST_DRAWS} draws could be built, the last: {problem.problem}",
        "allow more metals, kinds or ligands, or a larger charge",
    )


def _draw(choice: Hypothetical, outfit: Outfit, rng: np.random.Generator) -> Atoms:
    """One cluster; raises StructureError where skeleton, donors or ligands do not fit."""
    skeleton, electrons, staples = _draw_skeleton(choice, rng)
    metals = _dope(skeleton, choice, electrons, rng)
    wanted = sum(VALENCE_ELECTRONS[int(z)] for z in metals) + staples - electrons + int(np.rint(rng.normal()))
    anions = max(wanted, 0)
    chelates = 0
    if any(role in outfit for role in CHELATES) and not skeleton.binds:
        chelates = int(rng.binomial(anions, rng.uniform(0.1, 0.6)))
    frame = bare_frame(skeleton, metals)
    if staples:
        frame = add_staples(settle_frame(frame), staples, SILVER, rng)
    if not skeleton.binds:
        frame = add_donors(frame, anions - chelates - len(frame.donors), rng)
    frame = settle_frame(frame)
    placements = _dress(frame, outfit, anions, chelates, choice, rng)
    charge = _charge(frame, placements, electrons, choice)
    try:
        atoms = _assemble(frame, placements, 0, rng)
    except StructureError:  # annealing takes ten times as long as the rest
        atoms = _assemble(frame, placements, 1, rng)
    _describe(atoms, frame, placements, charge, electrons, skeleton.words)
    return atoms


def _assemble(frame: Frame, placements: Sequence[Placement], runs: int, rng: np.random.Generator) -> Atoms:
    """Frame and ligands, packed with so many annealing ``runs`` and checked; raises StructureError."""
    from ase import Atoms as New

    atoms = place(New(frame.metals, positions=frame.positions), placements, rng=rng, runs=runs)
    check_contacts(atoms, "hypothetical cluster")
    check_ligands(atoms, Counter(placement.entry for placement in placements), "hypothetical cluster")
    check_one_molecule(atoms)
    _check_covered(np.asarray(atoms.positions[: len(frame.metals)]), np.asarray(atoms.positions[len(frame.metals) :]))
    return atoms


def _check_covered(metals: FloatArray, others: FloatArray) -> None:
    """Raise StructureError for a core of which too much is bare: outer metals without an atom of a ligand on them."""
    outer = (distances(metals, metals) < _CONTACT_A).sum(axis=1) - 1 < _INNER
    bare = int((outer & ~(distances(metals, others) < _BOND_A).any(axis=1)).sum())
    if bare > _MOST_BARE * outer.sum():
        raise StructureError(f"{bare} of {int(outer.sum())} outer metals are bare", "allow more ligands (most_atoms)")


def _draw_skeleton(choice: Hypothetical, rng: np.random.Generator) -> tuple[Skeleton, int, int]:
    """A skeleton, its free electrons, and the number of staples whose metals will be added to it.

    The electrons close a shell and are those of between a twelfth and three quarters of the metals.
    """
    kinds = choice.drawable
    weights = np.array([choice.kinds[kind] for kind in kinds])
    kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
    low, high = max(choice.metals[0], FEWEST[kind]), min(choice.metals[1], MOST[kind])
    n = min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)  # small ones more often
    if kind not in ("compact", "shelled"):
        return draw_skeleton(kind, n, rng), 0, 0
    shells = [e for e in CLOSED_SHELLS if 0 < e <= max(0.75 * n, 2) and e >= n / 12]
    electrons = int(rng.choice(shells))
    staples = 0
    if n >= _FEWEST_WITH_STAPLES and rng.random() < 0.5:
        staples = int(rng.integers(1, 1 + n // 3))
    return draw_skeleton(kind, max(n - staples, FEWEST[kind]), rng), electrons, staples


def _dope(skeleton: Skeleton, choice: Hypothetical, electrons: int, rng: np.random.Generator) -> IntArray:
    """Atomic numbers of the metals, in a share of the clusters with a dopant."""
    metals = np.full(len(skeleton.positions), SILVER, dtype=np.int64)
    if rng.random() < choice.dopants:
        site, number = draw_dopant(skeleton.positions, electrons, rng, choice.dopant_elements)
        metals[site] = number
    return metals


def _dress(
    frame: Frame, outfit: Outfit, anions: int, chelates: int, choice: Hypothetical, rng: np.random.Generator
) -> list[Placement]:
    """Ligands on the frame's donors, chelating ones, and neutral ones on the metals that are still open."""
    room = 1.3 * (choice.most_atoms - len(frame.metals)) / max(1.3 * anions, 0.6 * len(frame.metals))
    bridge = next(role for role in BRIDGES if role in outfit)
    kinds = 2 if rng.random() < choice.mixed else 1
    placements = stand_on_donors(frame, choose_fitting(outfit[bridge], room, kinds), rng)
    for role in CHELATES:
        if role in outfit and chelates:
            entry = choose_fitting(outfit[role], room)[0]
            placements += chelate_metals(frame, entry, chelates, placements, rng)
    for role in NEUTRAL:
        if role in outfit:
            entry = choose_fitting(outfit[role], room)[0]
            count = int(np.ceil(rng.uniform(0.3, 1.0) * len(frame.metals)))
            add = chelate_metals if role == "diphosphine" else cap_metals
            placements += add(frame, entry, max(count // 3, 1) if role == "diphosphine" else count, placements, rng)
    return placements


def _charge(frame: Frame, placements: Sequence[Placement], electrons: int, choice: Hypothetical) -> int:
    """The charge that leaves so many free ``electrons``; raises StructureError if it is too large."""
    negative = sum(placement.entry.charge for placement in placements)
    charge = sum(VALENCE_ELECTRONS[int(z)] for z in frame.metals) - negative - electrons
    most = min(choice.most_charge, 1 + len(frame.metals) // _METALS_OF_A_CHARGE)
    if abs(charge) > most:
        problem = f"{electrons} electrons of {len(frame.metals)} metals need the charge {charge:+d}, which is more"
        raise StructureError(f"{problem} than {most}", "allow a larger charge (most_charge) or more metals")
    return charge


def _describe(
    atoms: Atoms, frame: Frame, placements: Sequence[Placement], charge: int, electrons: int, words: str
) -> None:
    counts: Counter[LigandEntry] = Counter(placement.entry for placement in placements)
    atoms.positions -= atoms.positions.mean(axis=0)
    provenance: dict[str, Any] = {
        "model": MODEL,
        "level": "as built, not relaxed",
        "skeleton": words,
        "staples": len(frame.straight) if frame.near else 0,
        "ligands": {entry.name: count for entry, count in counts.items()},
        "electrons": electrons,
        "warnings": [],
    }
    name = cluster_name(formula(frame.metals.tolist()), 0, counts, charge)
    atoms.info = {"charge": charge, "name": name, "source": "hypothetical", "provenance": provenance}

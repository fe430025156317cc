"""What a structure file holds: the cluster, its parts and hands, the crystal around it, charge and assumptions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from clusterml.io.display import WithWarnings, card, small_table, wrapped
from clusterml.structure.anatomy.fans import FanHand, assign_fan_hand
from clusterml.structure.anatomy.superatom import is_even_electron, signed_charge, superatom_electrons
from clusterml.structure.charge import ChargeDecision, GapSource, decide_charge
from clusterml.structure.elements import formula, is_metal
from clusterml.structure.options import DEFAULT_READING, ReadKeywords, ReadOptions
from clusterml.structure.read import Source, read_first

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.anatomy.anatomy import Anatomy
    from clusterml.structure.crystal.surroundings import CrystalReport

SCHEMA_VERSION = 1
"""Version of the JSON layout."""


@dataclass(frozen=True, repr=False)
class Inspection(WithWarnings):
    """The result of :func:`inspect`.

    ``atoms``: the clean cluster, ready for ``label``; ``anatomy``: its parts; ``crystal``: what surrounds it (None for
    an xyz file); ``decision``: the charge, where it is from and what speaks for and against it; ``warnings``: sentences
    for the user.
    """

    atoms: Atoms
    anatomy: Anatomy
    crystal: CrystalReport | None
    decision: ChargeDecision
    warnings: tuple[str, ...]

    @property
    def charge(self) -> int:
        """The charge taken, in units of e."""
        return self.decision.charge

    @property
    def name(self) -> str:
        """Name of the structure (the file's stem)."""
        return str(self.atoms.info["name"])

    @property
    def formula(self) -> str:
        """Formula of the cluster."""
        return formula(self.atoms.numbers)

    @property
    def superatom_electrons(self) -> int | None:
        """Delocalised electrons at the charge taken; None where the count has no meaning."""
        if self.anatomy.charge.superatom_electrons is None:
            return None
        electrons = superatom_electrons(self.atoms, self.charge)
        return electrons if electrons >= 0 else None

    @property
    def fan_hand(self) -> FanHand | None:
        """``R`` or ``S`` by the turn of the four fans of the Ag29 family; None for other clusters."""
        return assign_fan_hand(self.atoms)

    def __repr__(self) -> str:
        """One line."""
        warned = f"; {len(self.warnings)} warnings" if self.warnings else ""
        charge = f"charge {signed_charge(self.charge)} from {self.decision.origin}"
        return wrapped(f"Inspection({self.name}: {self.formula}, {charge}; {self.anatomy!r}{warned})")

    def _repr_html_(self) -> str:
        """Structure, parts and charge, for notebooks."""
        from clusterml.structure.picture import structure_picture

        parts = anatomy_table(self.anatomy, self.atoms)
        rows = [
            ("formula", self.formula),
            ("charge", f"{signed_charge(self.charge)} from {self.decision.origin}"),
            *([] if self.superatom_electrons is None else [("superatom electrons", self.superatom_electrons)]),
            *([("kernel", parts["kernel"])] if parts["kernel"] else []),
            *((f"shell {number}", shell) for number, shell in enumerate(parts["shells"], start=1)),
            *((kind, count) for kind, count in parts["motifs"].items()),
            *([("hand by its fans", self.fan_hand)] if self.fan_hand else []),
            *((f"ligand {name}", count) for name, count in self.anatomy.ligand_counts().items()),
        ]
        return card(repr(self), [structure_picture(self.atoms), small_table(rows)], self.warnings)

    def _companions(self) -> dict[str, Any]:
        """What is beside the cluster: in the crystal, left out of a file, or computed together with it."""
        from clusterml.structure.crystal.beside import companions_of, describe_companions

        left_out = self.atoms.info["provenance"].get("beside")
        if self.crystal is None and left_out is not None:
            return dict(left_out)
        leftovers = [ligand.atoms for ligand in self.anatomy.leftovers]
        return describe_companions(self.crystal.others if self.crystal else companions_of(self.atoms, leftovers))

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``clusterml inspect``, of plain values."""
        alone = [{"number": 1, "formula": self.formula, "n_atoms": len(self.atoms), "hand": None, "taken": True}]
        return {
            "schema_version": SCHEMA_VERSION,
            "program": "clusterml",
            "version": version("clusterml"),
            "name": self.name,
            "source": str(self.atoms.info["source"]),
            "formula": self.formula,
            "n_atoms": len(self.atoms),
            "crystal": self.crystal.to_dict() if self.crystal else None,
            "clusters": self.crystal.clusters(self.formula, len(self.atoms)) if self.crystal else alone,
            **self._companions(),
            "hydrogens_added": dict(self.atoms.info["provenance"].get("hydrogens_added", {})),
            "bare_core": is_bare_core(self.atoms),
            "anatomy": anatomy_table(self.anatomy, self.atoms),
            "fan_hand": self.fan_hand,
            "ligands": ligand_rows(self.anatomy),
            **self.decision.to_dict(),
            "superatom_electrons": self.superatom_electrons,
            "warnings": list(self.warnings),
        }


def inspect(
    source: Source,
    *,
    gaps: GapSource | None = None,
    options: ReadOptions = DEFAULT_READING,
    **choices: Unpack[ReadKeywords],
) -> Inspection:
    """What a structure file (bytes, a stream) holds; arguments and errors are those of :func:`clusterml.read`.

    The charge is that of :func:`clusterml.structure.charge.decide_charge`: the one that an xyz file states, or that
    the counter-ions of a crystal ask for if they are complete, or a proposal.  ``gaps``: what computes ground states
    where the superatom count leaves a choice; ``clusterml.inspect`` hands in
    :func:`clusterml.engine.charge.frontier_gaps`.
    """
    from clusterml.structure.anatomy.anatomy import anatomy

    chosen = replace(options, **choices)
    entry = read_first(source, chosen)
    atoms, crystal = entry.atoms, None
    if entry.cell:
        from clusterml.structure.crystal.surroundings import report_crystal

        crystal = report_crystal(entry.cell, chosen.cluster, chosen.disorder, atoms.info["source"])
    unbiased = atoms.copy()
    if crystal or "charge_witness" in atoms.info["provenance"]:
        unbiased.info.pop("charge", None)  # what the counter-ions say is weighed below
    parts = anatomy(unbiased)
    decision = decide_charge(atoms, gaps=gaps, check=True)
    warnings = [*atoms.info["provenance"]["warnings"], *decision.warnings, *_doubts(atoms, parts, crystal)]
    warnings += parts.charge.warnings
    warnings += crystal.notes if crystal else ()
    if crystal and crystal.kind == "achiral":
        warnings += _chiral_ligands(parts)
    if is_bare_core(atoms):
        warnings.append(
            "only metal and chalcogen atoms: the organic shell is missing, so the charge proposed is that of the bare "
            "core; `clusterml complete` adds a shell"
        )
    return Inspection(atoms, parts, crystal, decision, tuple(dict.fromkeys(warnings)))


def _chiral_ligands(parts: Anatomy) -> list[str]:
    """A warning where an achiral frame carries more ligands of one hand than of the other."""
    hands = Counter(ligand.hand for ligand in parts.ligands if ligand.hand)
    if hands["R"] == hands["S"]:
        return []
    listed = ", ".join(f"{count} are {hand}" for hand, count in sorted(hands.items()))
    return [f"the frame of metal and donor atoms is achiral, but of its ligands {listed}: the cluster is chiral"]


def is_bare_core(atoms: Atoms) -> bool:
    """Is there nothing but metals and chalcogens (or halides), as where only the core was resolved?"""
    numbers = np.asarray(atoms.numbers, dtype=np.int64)
    metal = is_metal(numbers)
    rest = set(numbers[~metal].tolist())
    return bool(metal.sum() > 1 and rest & {16, 34, 52} and rest <= {16, 34, 52, 9, 17, 35, 53})


def ligand_rows(parts: Anatomy) -> list[dict[str, Any]]:
    """Name, formula, count, signed charge (-1 for a thiolate) and hand of each kind of ligand, in order of number."""
    kinds = Counter((x.name or x.formula, x.formula, -x.charge, x.hand) for x in parts.ligands)
    return [
        {"name": name, "formula": text, "count": count, "charge": charge, "hand": hand}
        for (name, text, charge, hand), count in kinds.most_common()
    ]


def anatomy_table(parts: Anatomy, atoms: Atoms) -> dict[str, Any]:
    """Kernel and shells (from inside out) as formulas, and how many motifs there are of each kind."""
    return {
        "kernel": formula(atoms.numbers[parts.kernel]) if len(parts.kernel) else "",
        "shells": [formula(atoms.numbers[shell]) for shell in parts.shells],
        "motifs": dict(Counter(motif.kind for motif in parts.motifs)),
    }


def _doubts(atoms: Atoms, parts: Anatomy, crystal: CrystalReport | None) -> list[str]:
    """Why the counter-ions do not set the charge, if they do not."""
    witness = crystal.witness if crystal else None
    if witness is None or witness.charge is None or witness.charge == parts.charge.charge:
        return []
    if witness.may_decide(atoms):
        return []
    if witness.complete and not is_even_electron(atoms, witness.charge):
        return [f"the counter-ions would leave an unpaired electron: {witness.reason}; took the proposal"]
    return [f"the counter-ions were not followed: {witness.reason}"]

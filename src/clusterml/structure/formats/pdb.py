"""Protein Data Bank files, read by gemmi: with CRYST1 a crystal, without it a molecule; each MODEL is a structure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import InputFileError, StructureError, UnsupportedElementError, counted
from clusterml.structure.formats.format import Parsed, StructureFormat, provenance

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.structure.crystal.crystal import Crystal

_RECORD = re.compile(r"^(ATOM  |HETATM|CRYST1)", re.MULTILINE)


def parse_pdb(text: str, source: str) -> Iterator[Parsed]:
    """The structures in PDB ``text``: alternative locations are disorder groups.

    Raises :class:`InputFileError`, :class:`StructureError` for a file without atoms, and
    :class:`UnsupportedElementError`.
    """
    import gemmi

    try:
        structure = gemmi.read_pdb_string(text)
    except (ValueError, RuntimeError) as error:
        raise InputFileError(f"{source}: not readable as pdb ({error})", "repair the file") from error
    models = [model for model in structure if any(True for _ in model.all())]
    if not models:
        raise StructureError(f"{source}: there are no atoms", "check that the file holds ATOM or HETATM records")
    for model in models:
        places = list(model.all())
        for atom in (place.atom for place in places):
            if not 1 <= atom.element.atomic_number <= 118:
                raise UnsupportedElementError(
                    f"{source}: atom {atom.serial} {atom.name} has no known element", "give it in columns 77 and 78"
                )
        yield _crystal(structure, places, source) if structure.cell.is_crystal() else _molecule(structure, places)


def _crystal(structure: Any, places: list[Any], source: str) -> Crystal:
    """Disorder groups are the alternative locations of the model, counted from 1 in the order of their characters."""
    import gemmi

    from clusterml.structure.crystal.crystal import AtomSite, make_crystal, unit_cell
    from clusterml.structure.crystal.spacegroup import identity, make_symmetry

    cell = structure.cell
    lattice = unit_cell((cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma), source)
    space_group = gemmi.find_spacegroup_by_name(structure.spacegroup_hm, cell.alpha, cell.gamma)
    inverse = np.linalg.inv(lattice)
    atoms = [place.atom for place in places]
    groups = {name: k for k, name in enumerate(sorted({atom.altloc for atom in atoms if atom.has_altloc()}), start=1)}
    sites = []
    for atom in atoms:
        x, y, z = (np.array(atom.pos.tolist()) @ inverse).tolist()
        group = groups[atom.altloc] if atom.has_altloc() else 0
        sites.append(AtomSite(atom.name, atom.element.atomic_number, (x, y, z), atom.occ, group))
    symmetry = make_symmetry(list(space_group.operations()), lattice, source) if space_group else identity()
    unknown = f"the space group '{structure.spacegroup_hm}' is not known; took P 1"
    warnings = () if space_group else (unknown,)
    return make_crystal(structure.name, lattice, sites, symmetry, source, warnings=warnings)


def _molecule(structure: Any, places: list[Any]) -> Atoms:
    """Of each residue the alternative location that is named first."""
    from ase import Atoms

    first: dict[tuple[str, str], str] = {}
    for place in places:
        if place.atom.has_altloc():
            first[_residue(place)] = min(first.get(_residue(place), place.atom.altloc), place.atom.altloc)
    chosen = [x.atom for x in places if not x.atom.has_altloc() or x.atom.altloc == first[_residue(x)]]
    dropped = len(places) - len(chosen)
    kept = " and ".join(sorted(set(first.values())))
    left_out = f"{counted(dropped, 'atom')} of alternative locations other than {kept} were left out"
    warnings = (left_out,) if dropped else ()
    molecule = Atoms([atom.element.atomic_number for atom in chosen], [atom.pos.tolist() for atom in chosen])
    molecule.info["provenance"] = provenance(dict(structure.info).get("_struct.title", ""), warnings)
    return molecule


def _residue(place: Any) -> tuple[str, str]:
    """Chain, and number with insertion code."""
    return place.chain.name, str(place.residue.seqid)


def _recognise(text: str) -> bool:
    return bool(_RECORD.search(text)) and "data_" not in text[:200].lower()


FORMATS = (StructureFormat("pdb", "Protein Data Bank", ("*.pdb", "*.ent"), parse_pdb, _recognise),)

"""Parents of a campaign: read, built or drawn at random, and relaxed into one of several forms.

A relaxed form takes a minute where a label takes seconds, and many jobs begin from it: it is kept in the dataset's
folder.  What is kept follows from the campaign alone; a form that could not be had is kept as the reason why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clusterml.dataset.campaign import Form, Job, Parent
from clusterml.dataset.record import stored_positions
from clusterml.errors import ChargeError, ElectronicStructureError, InputFileError, StructureError
from clusterml.io.files import LARGEST_INPUT, make_folder, read_text, sha256, sha256_of_file, write_text
from clusterml.run.resources import Cache
from clusterml.structure.anatomy.library import Library, load_library
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

_PARENTS: Cache[Atoms] = Cache(64)
"""Parents by what they are made from or what is in their file, so that a changed one is read anew."""
_NO_FORM = Form()


@dataclass(frozen=True)
class ParentSource:
    """A parent, its ``file`` (None: it is made), and the folder where relaxed forms are kept (None: nowhere)."""

    parent: Parent
    file: Path | None
    kept: Path | None = None

    def form_of(self, job: Job) -> Form:
        """The form that a job begins from: they take turns; each has references of its own."""
        forms, turns = self.parent.forms, 1 if job.kind == "reference" else self.parent.turns
        return forms[job.number // turns % len(forms)] if forms else _NO_FORM

    def atoms(self, form: Form = _NO_FORM) -> Atoms:
        """The parent's geometry (A) in a ``form``, about its centroid, with ``info["charge"]`` where it is known.

        Raises :class:`~clusterml.errors.StructureError` where relaxation changes the ligands, breaks the cluster, or
        ends without the gap that the form asks for, and what reading and building raise.
        """
        if form == _NO_FORM:
            return parent_atoms(self.parent, self.file)
        key = self._key(form)
        return _PARENTS.find(key, lambda: self._kept_or_made(form, key)).copy()

    def _key(self, form: Form) -> str:
        """Hash of all that a form follows from."""
        made_from = self.parent.model_dump_json(include={"build", "hypothetical", "charge"})
        content = "" if self.file is None else _hash(self.file)
        return sha256("\n".join([made_from, content, form.model_dump_json(), repr(load_library().entries)]))

    def _kept_or_made(self, form: Form, key: str) -> Atoms:
        if self.kept is None:
            return self._made(form)
        from clusterml.structure.read import read
        from clusterml.structure.write import write_extxyz

        path, refusal = self.kept / f"{key}.xyz", self.kept / f"{key}.txt"
        if refusal.exists():
            raise StructureError(read_text(refusal))
        if not path.exists():
            make_folder(self.kept, within=self.kept.parent)
            try:
                write_extxyz(self._made(form), path)
            except StructureError as error:
                write_text(refusal, error.problem)
                raise
        atoms = read(path)
        atoms.positions[:] = centre(atoms.positions)
        return atoms

    def _made(self, form: Form) -> Atoms:
        """The geometry in a form; one that is relaxed and scaled begins from the one that is relaxed alone."""
        relaxed = form.model_copy(update={"frame_percent": 0.0})
        if relaxed == form or form.method is None:
            return _in_form(parent_atoms(self.parent, self.file), form)
        scaled = Form(frame_percent=form.frame_percent, smallest_gap_ev=form.smallest_gap_ev)
        return _in_form(self.atoms(relaxed), scaled)


def parent_atoms(parent: Parent, file: Path | None) -> Atoms:
    """The parent's geometry (A) as records keep it: see :func:`given_atoms`, and rounded."""
    atoms = given_atoms(parent, file)
    atoms.positions[:] = centre(atoms.positions)
    return atoms


def given_atoms(parent: Parent, file: Path | None) -> Atoms:
    """The parent's geometry (A) as it is given, about its centroid, with ``info["charge"]`` where it is known."""
    content = "" if file is None else _hash(file)
    library = load_library()
    key = parent.model_dump_json(include={"build", "hypothetical", "charge"}), file, content, library
    return _PARENTS.find(key, lambda: _make(parent, file, library)).copy()


def _hash(file: Path) -> str:
    """Of what is in ``file`` now; empty if it cannot be read, which whoever reads it says."""
    try:
        return sha256_of_file(file, LARGEST_INPUT)
    except InputFileError:
        return ""


def _make(parent: Parent, file: Path | None, library: Library) -> Atoms:
    if file is not None:
        from clusterml.structure.read import read

        atoms = read(file)
    elif parent.hypothetical is not None:
        from clusterml.structure.build.hypothetical import build_hypothetical

        atoms = build_hypothetical(parent.hypothetical.number, parent.hypothetical, library)
    else:
        from clusterml.structure.build.build import build

        options: dict[str, Any] = dict(parent.build or {})
        atoms = build(**options, library=library)
    if parent.charge is not None:
        atoms.info["charge"] = parent.charge
    atoms.positions -= atoms.positions.mean(axis=0)
    return atoms


def centre(positions: FloatArray) -> FloatArray:
    """``positions`` (n, 3) about their centroid, rounded as records keep them."""
    return stored_positions(positions - positions.mean(axis=0))


def _in_form(atoms: Atoms, form: Form) -> Atoms:
    """A relaxed and scaled copy; see :meth:`ParentSource.atoms` for what it raises."""
    from clusterml.engine.relax import RelaxSettings, relax
    from clusterml.structure.distort.apply import distort

    if form.method is not None:
        settings = RelaxSettings(
            method=form.method, solvent=form.solvent, solvation=form.solvation, fix=form.fix, steps=form.steps,
            symmetry=form.symmetry, fmax=form.fmax, temperature_k=form.temperature_k,
        )  # fmt: skip
        before = set(atoms.info.get("provenance", {}).get("warnings", []))
        try:
            atoms = relax(atoms, settings=settings).atoms
        except (ElectronicStructureError, ChargeError) as error:
            raise StructureError(f"{settings.level}: {error.problem}") from error
        warnings = [w for w in atoms.info["provenance"]["warnings"] if w not in before]
        broken = [w for w in warnings if re.search("changed the ligands|broke the structure", w)]
        if broken:
            raise StructureError("; ".join(broken))
    if form.frame_percent:
        atoms = distort(atoms, "breathing", form.frame_percent)
    if form.smallest_gap_ev > 0.0:
        _check_gap(atoms, form.smallest_gap_ev)
    return atoms


def _check_gap(atoms: Atoms, least: float) -> None:
    """Raise StructureError unless the GFN1 gap at the stated charge is clear; where it is too large to tell, it is."""
    from clusterml.engine.charge import frontier_gaps

    charge = int(atoms.info["charge"])
    gaps = frontier_gaps(atoms, [charge]).gaps_ev
    if charge in gaps and (gap := gaps[charge] or 0.0) < least:
        raise StructureError(f"the gap is {gap:.2f} eV, less than {least:g}")

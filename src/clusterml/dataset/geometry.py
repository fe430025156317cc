"""From a job to the geometries it asks for: the parent, perhaps with ligands exchanged, distorted or shaken."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.campaign import Campaign, Job, Parent
from clusterml.dataset.record import stored_positions
from clusterml.errors import InputFileError, StructureError
from clusterml.io.files import LARGEST_INPUT, sha256_of_file
from clusterml.run.resources import Cache
from clusterml.structure.anatomy.library import Library, load_library
from clusterml.structure.distort.apply import distort, snapshots
from clusterml.structure.distort.modes import MODES, THERMAL_NOISE
from clusterml.structure.distort.subject import Subject
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms

_MOST_TRIES = 6
"""Draws of a distortion before a job is rejected; each later one is milder."""
_PARENTS: Cache[Atoms] = Cache(64)
"""Parents by what they are built from or what is in their file, so that a changed one is read anew."""


def parent_atoms(parent: Parent, file: Path | None) -> Atoms:
    """The parent's geometry (A), about its centroid, with ``info["charge"]`` where it is known."""
    content = "" if file is None else _hash(file)
    library = load_library()
    key = parent.model_dump_json(include={"build", "charge"}), file, content, library
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
    else:
        from clusterml.structure.build.build import build

        options: dict[str, Any] = dict(parent.build or {})
        atoms = build(**options, library=library)
    if parent.charge is not None:
        atoms.info["charge"] = parent.charge
    atoms.positions[:] = centre(atoms.positions)
    return atoms


def centre(positions: FloatArray) -> FloatArray:
    """``positions`` (n, 3) about their centroid, in single precision as records keep them."""
    return stored_positions(positions - positions.mean(axis=0))


def geometries(campaign: Campaign, job: Job, parent: Parent, file: Path | None) -> tuple[list[Atoms], dict[str, Any]]:
    """The job's mean geometry and, for an ensemble, its snapshots after it; and what was done, for the record.

    Raises :class:`~clusterml.errors.StructureError` if no draw keeps the chemistry of the parent.
    """
    rng = job.rng(campaign.seed)
    base, exchanged = _exchange_ligands(parent_atoms(parent, file), parent, job, rng)
    subject = Subject(base)
    details: dict[str, Any] = {"exchanges": exchanged, "distortions": []}
    if job.kind == "conformer":
        base, changes = _redraw_conformers(base, campaign, rng)
        details |= changes
    if _is_distorted(parent, job, rng, bool(exchanged)):
        base, details["distortions"] = _distort_job(subject, campaign, parent, job, rng)
    members = [base]
    if job.kind == "ensemble":
        kelvin = float(rng.choice(campaign.amounts.temperatures_k))
        about = Subject(base) if parent.distorted_ensembles else subject
        members += snapshots(about, kelvin, campaign.amounts.snapshots, rng=rng)
        details["ensemble"] = {"temperature_k": kelvin, "snapshots": campaign.amounts.snapshots}
    for atoms in members:
        atoms.positions[:] = centre(atoms.positions)
    details["ligands"] = dict(Counter(ligand.name for ligand in _ligands(base)))
    return members, details


def _is_distorted(parent: Parent, job: Job, rng: np.random.Generator, exchanged: bool) -> bool:
    """Whether the job's geometry differs from that of its parent by more than ``exchanged`` ligands."""
    if job.kind == "mode" and exchanged and parent.undistorted > 0.0:
        return bool(rng.random() >= parent.undistorted)
    return job.kind in ("mode", "thermal") or (job.kind == "ensemble" and parent.distorted_ensembles)


def _ligands(atoms: Atoms) -> Any:
    from clusterml.structure.anatomy.anatomy import anatomy

    return anatomy(atoms).ligands


def _exchange_ligands(
    atoms: Atoms, parent: Parent, job: Job, rng: np.random.Generator
) -> tuple[Atoms, list[dict[str, Any]]]:
    """The parent with some of its ligands exchanged, as far as they are there after the exchanges before."""
    from clusterml.structure.distort.substitute import find_sites, substitute

    exchanges: list[dict[str, Any]] = []
    absent = {exchange.new for exchange in parent.exchanges} - {ligand.name for ligand in _ligands(atoms)}
    for exchange in parent.exchanges:
        if job.kind == "reference" or rng.random() >= exchange.share:
            continue
        if exchange.old in absent:
            continue
        n_sites = len(find_sites(atoms, exchange.old))
        count = int(rng.integers(1, min(n_sites, exchange.most) + 1))
        atoms = substitute(atoms, exchange.old, exchange.new, count, rng=rng)
        exchanges.append({"old": exchange.old, "new": exchange.new, "count": count})
        absent.discard(exchange.new)
        if count == n_sites:
            absent.add(exchange.old)
    return atoms, exchanges


def _redraw_conformers(atoms: Atoms, campaign: Campaign, rng: np.random.Generator) -> tuple[Atoms, dict[str, Any]]:
    """The geometry as if it came from elsewhere: a random share of the ligands in random conformers and orientations,
    the frame scaled, a little noise; and what was done."""
    from clusterml.structure.distort.substitute import find_sites, substitute

    share = float(rng.random())
    movable = {ligand.name for ligand in _ligands(atoms) if len(ligand.atoms) > 1 and len(ligand.donors)}
    redrawn = {}
    for name in sorted(movable):
        count = round(share * len(find_sites(atoms, name)))
        if count:
            atoms = substitute(atoms, name, name, count, rng=rng, sample=True)
            redrawn[name] = count
    percent = float(rng.uniform(*campaign.amounts.frame_percent))
    atoms = distort(atoms, "breathing", percent)
    if campaign.amounts.noise_a > 0.0:
        atoms = distort(atoms, THERMAL_NOISE, campaign.amounts.noise_a, rng=rng)
    return atoms, {"redrawn": redrawn, "frame_percent": percent}


def _distort_job(
    subject: Subject, campaign: Campaign, parent: Parent, job: Job, rng: np.random.Generator
) -> tuple[Atoms, list[dict[str, Any]]]:
    """A distorted copy; a draw that breaks the chemistry is drawn again, milder each time."""
    reason: StructureError | None = None
    for attempt in range(_MOST_TRIES):
        try:
            if job.kind == "thermal":
                kelvin = float(rng.choice(campaign.amounts.temperatures_k))
                atoms = snapshots(subject, kelvin, 1, rng=rng)[0]
            else:
                atoms = _mode_mixture(subject, campaign, parent, rng, 0.75**attempt)
            return atoms, atoms.info["provenance"].get("distortions", [])
        except StructureError as error:
            reason = error
    raise StructureError(f"{_MOST_TRIES} distortions broke the chemistry, the last: {reason}", "use smaller amounts")


def _mode_mixture(
    subject: Subject, campaign: Campaign, parent: Parent, rng: np.random.Generator, mildness: float
) -> Atoms:
    """One to three collective distortions one after the other, then a little noise."""
    amounts = campaign.amounts
    modes = parent.modes or [mode.name for mode in subject.available() if mode.typical > 0.0]
    strong = rng.random() < amounts.strong
    count = 1 if strong else int(rng.integers(1, min(amounts.most_modes, len(modes)) + 1))
    atoms = subject.atoms
    for name in rng.choice(modes, size=count, replace=False):
        mode = MODES[str(name)]
        size = rng.uniform(-1.0, 1.0) * amounts.strong_scale if strong else rng.standard_normal() * amounts.scale
        amount = float(np.clip(size * mildness * mode.typical, mode.low, mode.high))
        atoms = distort(atoms, mode.name, amount)
    if amounts.noise_a > 0.0:
        atoms = distort(atoms, THERMAL_NOISE, amounts.noise_a * mildness, rng=rng)
    return atoms

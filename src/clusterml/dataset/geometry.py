"""From a job to the geometries it asks for: the parent, perhaps with ligands exchanged, distorted or shaken."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.dataset.campaign import ANY, Campaign, CampaignExchange, Job, Parent
from clusterml.dataset.parents import ParentSource, centre
from clusterml.errors import OptionError, StructureError
from clusterml.structure.build.dopants import dope
from clusterml.structure.distort.apply import distort
from clusterml.structure.distort.draws import snapshots
from clusterml.structure.distort.modes import MODES, THERMAL_NOISE
from clusterml.structure.distort.subject import Subject

if TYPE_CHECKING:
    from ase import Atoms

_MOST_TRIES = 6
"""Draws of a distortion before a job is rejected; each later one is milder."""


def geometries(campaign: Campaign, job: Job, source: ParentSource) -> tuple[list[Atoms], dict[str, Any]]:
    """The job's mean geometry and, for an ensemble, its snapshots after it; and what was done, for the record.

    Raises :class:`~clusterml.errors.StructureError` if no draw keeps the chemistry of the parent.
    """
    rng, parent = job.rng(campaign.seed), source.parent
    form = source.form_of(job)
    base, exchanged = _exchange_ligands(source.atoms(form), parent, job, rng)
    details: dict[str, Any] = {"exchanges": exchanged, "distortions": []}
    if parent.forms:
        details["form"] = form.words
    if parent.hypothetical is not None:
        details["hypothetical"] = parent.hypothetical.number
    if parent.dopants and job.kind != "reference" and rng.random() < parent.dopants:
        base, details["dopant"] = dope(base, rng=rng, elements=parent.dopant_elements)
    subject = Subject(base)
    if job.kind == "conformer":
        base, changes = _redraw_conformers(base, campaign, rng)
        details |= changes
    if _is_distorted(parent, job, rng, bool(exchanged)):
        base, details["distortions"] = _distort_job(subject, campaign, parent, job, rng)
    members = [base]
    if job.kind == "ensemble":
        kelvin = float(rng.choice(campaign.amounts.temperatures_k))
        about = Subject(base) if parent.distorted_ensembles else subject
        members += _snapshots(about, kelvin, campaign.amounts.snapshots, rng)
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
    absent = {exchange.new for exchange in parent.exchanges} - {ANY, *(ligand.name for ligand in _ligands(atoms))}
    for exchange in parent.exchanges:
        if job.kind == "reference" or rng.random() >= exchange.share:
            continue
        if exchange.old in absent:
            continue
        old, new = _choose_ligands(atoms, exchange, rng)
        n_sites = len(find_sites(atoms, old))
        count = int(rng.integers(1, min(n_sites, exchange.most) + 1))
        atoms = substitute(atoms, old, new, count, rng=rng)
        exchanges.append({"old": old, "new": new, "count": count})
        absent.discard(new)
        if count == n_sites:
            absent.add(old)
    return atoms, exchanges


def _choose_ligands(atoms: Atoms, exchange: CampaignExchange, rng: np.random.Generator) -> tuple[str, str]:
    """The names of the ligands that leave and come; ``any`` is drawn from those that can take each other's place."""
    if ANY not in (exchange.old, exchange.new):
        return exchange.old, exchange.new
    from clusterml.structure.anatomy.library import load_library
    from clusterml.structure.build.outfit import draw_substitute, ligand_role

    book = load_library()
    old = exchange.old
    if old == ANY:
        present = sorted({ligand.name for ligand in _ligands(atoms) if len(ligand.donors)} & set(book.names))
        present = [name for name in present if ligand_role(book.entry(name)) is not None]
        if not present:
            raise StructureError("none of its ligands can be exchanged for any other")
        old = present[int(rng.integers(len(present)))]
    return old, exchange.new if exchange.new != ANY else draw_substitute(book.entry(old), book, rng).name


def _redraw_conformers(atoms: Atoms, campaign: Campaign, rng: np.random.Generator) -> tuple[Atoms, dict[str, Any]]:
    """The geometry as if it came from elsewhere: a random share of the library's ligands in random conformers and
    orientations, the frame scaled, a little noise; and what was done."""
    from clusterml.structure.anatomy.library import load_library
    from clusterml.structure.distort.substitute import find_sites, substitute

    share, known = float(rng.random()), load_library().names
    ligands = [ligand for ligand in _ligands(atoms) if ligand.name in known]
    movable = {ligand.name for ligand in ligands if len(ligand.atoms) > 1 and len(ligand.donors)}
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


def _snapshots(subject: Subject, kelvin: float, count: int, rng: np.random.Generator) -> list[Atoms]:
    """Thermal snapshots; raises StructureError where the cluster is too soft for that temperature, too."""
    try:
        return snapshots(subject, kelvin, count, rng=rng)
    except OptionError as error:
        raise StructureError(
            f"thermal motion at {kelvin:g} K: {error.problem}", "choose a lower temperature"
        ) from error


def _distort_job(
    subject: Subject, campaign: Campaign, parent: Parent, job: Job, rng: np.random.Generator
) -> tuple[Atoms, list[dict[str, Any]]]:
    """A distorted copy; a draw that breaks the chemistry is drawn again, milder each time."""
    reason: StructureError | None = None
    for attempt in range(_MOST_TRIES):
        try:
            if job.kind == "thermal":
                kelvin = float(rng.choice(campaign.amounts.temperatures_k))
                atoms = _snapshots(subject, kelvin, 1, rng)[0]
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
    for place, name in enumerate(rng.choice(modes, size=count, replace=False)):
        mode = MODES[str(name)]
        size = rng.uniform(-1.0, 1.0) * amounts.strong_scale if strong else rng.standard_normal() * amounts.scale
        amount = float(np.clip(size * mildness * mode.typical, mode.low, mode.high))
        try:
            atoms = distort(atoms, mode.name, amount)
        except OptionError as error:
            if place == 0:  # the parent has no such mode
                raise
            raise StructureError(f"after other distortions: {error.problem}", error.remedy) from error
    if amounts.noise_a > 0.0:
        atoms = distort(atoms, THERMAL_NOISE, amounts.noise_a * mildness, rng=rng)
    return atoms

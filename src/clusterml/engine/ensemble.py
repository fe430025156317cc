"""The nuclear-ensemble spectrum: the average over thermal snapshots of a geometry, and their spread.

Each snapshot is drawn from the thermal motion of an elastic network about the given geometry (see
:mod:`clusterml.structure.distort.vibrations`) and labelled; the mean of the spectra is what a sample at that
temperature shows in the classical Condon picture.  R. Crespo-Otero, M. Barbatti, Theor. Chem. Acc. 131, 1237 (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.fragments import band_assignments
from clusterml.engine.label import Label, label
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import IntArray

if TYPE_CHECKING:
    from ase import Atoms

MOST_MEMBERS = 10_000
"""Most snapshots of one ensemble."""


def label_ensemble(
    atoms: Atoms,
    charge: int | None = None,
    *,
    members: int,
    temperature_k: float = 300.0,
    seed: int = 0,
    groups: Mapping[str, IntArray] | None = None,
    progress: Callable[[int], None] | None = None,
    drawing: Callable[[int], None] | None = None,
    **options: Any,
) -> Label:
    """The label of ``atoms`` with the mean spectrum of ``members`` thermal snapshots and its standard deviation.

    ``transitions``, ``states`` and ``bands`` are those of the given geometry; the bands are taken at the maxima of the
    mean spectrum.  ``seed``: of the snapshots.  ``progress``: called with the number of Krylov blocks of each;
    ``drawing``: with the number of the snapshot that begins, from 1.  Other arguments, and the errors raised, are those
    of :func:`clusterml.engine.label.label`.  A snapshot whose ground state cannot be computed is left out, with a
    warning; the error is raised where that is half of them or more.
    """
    from clusterml.engine.fragments import element_groups
    from clusterml.structure.distort.apply import snapshots

    if not 2 <= members <= MOST_MEMBERS:
        raise OptionError(f"ensemble is {members}", f"give a number of snapshots between 2 and {MOST_MEMBERS}")
    advise = bool(options.pop("advise", False))
    central = label(atoms, charge, groups={}, progress=progress, advise=advise, **options)
    drawn = snapshots(atoms, temperature_k, members, rng=np.random.default_rng(seed))
    spectra, lost = [], []
    for number, snapshot in enumerate(drawn, start=1):
        if drawing is not None:
            drawing(number)
        try:
            spectra.append(label(snapshot, central.charge, groups={}, progress=progress, **options).spectrum)
        except ElectronicStructureError as error:
            lost.append(error)
    if len(lost) * 2 >= members:
        raise lost[-1]
    mean = _mean(spectra, {"ensemble": len(spectra), "temperature_k": temperature_k})
    parts = groups if groups is not None else element_groups(atoms)
    warnings = list(central.warnings)
    if lost:
        warnings.append(f"{len(lost)} of {members} snapshots are left out: {lost[-1].problem}")
    provenance = {"members": len(spectra), "temperature_k": temperature_k, "seed": seed, "motion": "elastic network"}
    return replace(
        central,
        spectrum=mean,
        bands=band_assignments(central.states, mean, parts),
        warnings=tuple(warnings),
        provenance={**central.provenance, "ensemble": provenance},
    )


def _mean(spectra: list[Spectrum], meta: dict[str, Any]) -> Spectrum:
    epsilon = np.stack([spectrum.epsilon for spectrum in spectra])
    delta_epsilon = np.stack([spectrum.delta_epsilon for spectrum in spectra])
    return Spectrum(
        spectra[0].energy_ev,
        epsilon.mean(axis=0),
        delta_epsilon.mean(axis=0),
        epsilon.std(axis=0, ddof=1),
        delta_epsilon.std(axis=0, ddof=1),
        meta={**spectra[0].meta, **meta},
    )

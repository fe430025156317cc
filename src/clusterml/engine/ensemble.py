"""The nuclear-ensemble spectrum: the average over thermal snapshots of a geometry, and their spread.

Each snapshot is drawn from the thermal motion of an elastic network about the given geometry (see
:mod:`clusterml.structure.distort.vibrations`) and labelled; the mean of the spectra is what a sample at that
temperature shows in the classical Condon picture.  R. Crespo-Otero, M. Barbatti, Theor. Chem. Acc. 131, 1237 (2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from clusterml.engine.fragments import band_assignments, element_groups
from clusterml.engine.label import Label, label
from clusterml.engine.protocol import DEFAULT_COMPUTE, DEFAULT_PROTOCOL, Compute, LabelKeywords, Protocol, chosen
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.averaging import mean_spectrum
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


def label_ensemble(
    atoms: Atoms,
    charge: int | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    compute: Compute = DEFAULT_COMPUTE,
    *,
    grid: FloatArray | None = None,
    groups: Mapping[str, IntArray] | None = None,
    allow_several: bool = False,
    advise: bool = False,
    progress: Callable[[int], None] | None = None,
    drawing: Callable[[int], None] | None = None,
    **choices: Unpack[LabelKeywords],
) -> Label:
    """The label of ``atoms`` with the mean spectrum of the protocol's ensemble and its standard deviation.

    ``transitions``, ``states`` and ``bands`` are those of the given geometry; the bands are taken at the maxima of the
    mean spectrum.  ``drawing``: called with the number of the snapshot that begins, from 1.  Other arguments, and the
    errors raised, are those of :func:`clusterml.engine.label.label`.  A snapshot whose ground state cannot be computed
    is left out, with a warning; the error is raised where that is half of them or more.  Raises OptionError for a
    protocol without an ensemble.
    """
    protocol, compute = chosen(protocol, compute, choices)
    ensemble = protocol.ensemble
    if ensemble is None:
        raise OptionError("the protocol has no ensemble", "give ensemble=ThermalEnsemble(members=32)")
    shared: Any = {"grid": grid, "groups": {}, "allow_several": allow_several, "progress": progress}
    central = label(atoms, charge, protocol, compute, advise=advise, **shared)
    spectra, lost, members = [], [], ensemble.members
    for number, snapshot in enumerate(ensemble.snapshots(atoms), start=1):
        if drawing is not None:
            drawing(number)
        try:
            spectra.append(label(snapshot, central.charge, protocol, compute, **shared).spectrum)
        except ElectronicStructureError as error:
            lost.append(error)
    if len(lost) * 2 >= members:
        raise lost[-1]
    meta = {"ensemble": len(spectra), "temperature_k": ensemble.temperature_k}
    mean = mean_spectrum(spectra, meta)
    parts = groups if groups is not None else element_groups(atoms)
    warnings = list(central.warnings)
    if lost:
        warnings.append(f"{len(lost)} of {members} snapshots are left out: {lost[-1].problem}")
    provenance = {**ensemble.to_dict(), "members": len(spectra)}
    return replace(
        central,
        spectrum=mean,
        bands=band_assignments(central.response, mean, parts),
        warnings=tuple(warnings),
        provenance={**central.provenance, "ensemble": provenance},
    )


def label_by_protocol(
    atoms: Atoms,
    charge: int | None,
    protocol: Protocol,
    compute: Compute,
    working: Callable[[str], None],
    *,
    grid: FloatArray | None = None,
    groups: Mapping[str, IntArray] | None = None,
    allow_several: bool = False,
) -> Label:
    """The label of the geometry, or the mean over the protocol's ensemble, with advice on charges.

    ``working``: told in words how far it is.  For the others, and errors, see :func:`~clusterml.engine.label.label`.
    """
    ensemble = protocol.ensemble
    shared: Any = {"grid": grid, "groups": groups, "allow_several": allow_several, "advise": True}
    if ensemble is None:
        return label(atoms, charge, protocol, compute, progress=lambda blocks: working(f"{blocks} blocks"), **shared)

    def tell(number: int) -> None:
        working(f"snapshot {number} of {ensemble.members}")

    return label_ensemble(atoms, charge, protocol, compute, drawing=tell, **shared)

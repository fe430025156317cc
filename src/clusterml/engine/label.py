"""``label``: from a geometry to its absorption and CD spectrum with the physics engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.charge import gap_advice, resolve_charge
from clusterml.engine.cost import check_ground_state
from clusterml.engine.fragments import Band, band_assignments, element_groups
from clusterml.engine.orbitals.orbitals import Orbitals, gap_warnings
from clusterml.engine.parameters import parameters_hash
from clusterml.engine.response.excited import ExcitedStates
from clusterml.engine.settings import ExcitedSettings, OrbitalSource, default_orbitals
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.structure.anatomy.charge import signed_charge
from clusterml.structure.charge import SMALL_GAP_EV, ChargeDecision
from clusterml.structure.check import check_geometry, check_one_molecule, check_size
from clusterml.structure.elements import formula
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, repr=False)
class Label:
    """Everything the engine says about one geometry.

    ``spectrum``: broadened absorption and CD; ``transitions``: the states (or, from the spectrum solver, pseudo-states
    valid for widths of at least ``settings.fwhm_ev``); ``bands``: what each band is made of; ``decision``: the charge,
    and what spoke for it.
    """

    atoms: Atoms
    decision: ChargeDecision
    settings: ExcitedSettings
    spectrum: Spectrum
    states: ExcitedStates
    orbitals: Orbitals
    bands: list[Band]
    warnings: tuple[str, ...]
    timings_s: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line."""
        name = self.atoms.info.get("name") or "structure"
        orbitals = f"{self.orbitals.method}, gap {self.orbitals.gap_ev:.2f} eV"
        of = f"{name}: {formula(self.atoms.numbers)}, charge {signed_charge(self.charge)}"
        return f"Label({of}; {orbitals}; {self.spectrum!r})"

    @property
    def charge(self) -> int:
        """The charge it was computed with, in units of e."""
        return self.decision.charge

    @property
    def transitions(self) -> Transitions:
        """The excitations, in eV and 1e-40 cgs."""
        return self.states.transitions


def ground_state(
    atoms: Atoms,
    charge: int,
    source: OrbitalSource,
    solvent: str | None,
    settings: ExcitedSettings,
    start_from: Atoms | None = None,
    electronic_temperature_k: float | None = None,
) -> Orbitals:
    """Orbitals of ``atoms`` from the chosen source.

    ``stda-xtb`` is the non-self-consistent Hamiltonian of the sTDA-xTB paper (no solvent); ``gfn1`` and ``gfn2`` are
    self-consistent, with an optional implicit ``solvent`` and ``electronic_temperature_k`` (default 300 K); they begin
    at ``start_from``, if it is given (see :func:`clusterml.engine.orbitals.gfn.gfn_orbitals`). Raises OptionError,
    UnsupportedElementError, ElectronicStructureError.
    """
    symbols = atoms.get_chemical_symbols()
    if source == "stda-xtb":
        from clusterml.engine.orbitals.stda_xtb import stda_xtb_orbitals

        if solvent is not None:
            raise OptionError(f"solvent {solvent!r} has no effect on stda-xtb orbitals", "use --orbitals gfn1")
        if electronic_temperature_k is not None:
            raise OptionError("stda-xtb orbitals have no electronic temperature", "use --orbitals gfn1")
        screen = settings.mode == "reference"
        return stda_xtb_orbitals(symbols, atoms.positions, charge, screen=screen, device=settings.device)
    if source not in ("gfn1", "gfn2"):
        raise OptionError(f"orbitals is {source!r}", "choose one of stda-xtb, gfn1, gfn2")
    from clusterml.engine.orbitals.gfn import gfn_orbitals

    return gfn_orbitals(
        atoms,
        charge,
        method=source,
        solvent=solvent,
        electronic_temperature_k=300.0 if electronic_temperature_k is None else electronic_temperature_k,
        start_from=start_from,
        device=settings.device,
    )


def excite(
    orbitals: Orbitals, settings: ExcitedSettings, progress: Callable[[int], None] | None = None
) -> ExcitedStates:
    """Excited states of any orbitals: sTDA for sTDA-xTB orbitals, linear response with a_x = 0 for GFN orbitals."""
    if orbitals.method != "sTDA-xTB":
        from clusterml.engine.response.linear import response_states

        if settings.mode == "reference":
            raise OptionError(
                f"mode reference has no meaning for {orbitals.method} orbitals", "use --orbitals stda-xtb"
            )
        return response_states(orbitals, settings, progress)
    if settings.mode == "reference":
        from clusterml.engine.response.singles import reference_states

        return reference_states(orbitals, settings, progress)
    from clusterml.engine.response.singles import smooth_states

    return smooth_states(orbitals, settings, progress)


def label(
    atoms: Atoms,
    charge: int | None = None,
    *,
    orbitals: OrbitalSource | None = None,
    solvent: str | None = None,
    gauge: str = "velocity",
    grid: FloatArray | None = None,
    groups: Mapping[str, IntArray] | None = None,
    allow_several: bool = False,
    start_from: Atoms | None = None,
    electronic_temperature_k: float | None = None,
    smallest_gap_ev: float = 0.0,
    advise: bool = False,
    progress: Callable[[int], None] | None = None,
    **settings: Any,
) -> Label:
    """Absorption and CD spectrum of a closed-shell cluster.

    ``charge``: default ``atoms.info['charge']``, else proposed, with a warning (:mod:`clusterml.structure.charge`).
    ``orbitals``: ``gfn1`` (default), ``gfn2`` or ``stda-xtb`` (default with ``mode="reference"``);
    why, see docs/science/orbital-sources.md. ``gauge``: of the CD; with ``length`` the origin matters.
    ``grid`` (m,): energies in eV, default 0.5 eV to ``emax_ev`` in steps of 0.02 eV.
    ``groups``: name -> atom indices for the band assignment,
    default :func:`~clusterml.engine.fragments.element_groups`.
    ``start_from``: a geometry of the same atoms whose GFN density is the first guess, for many geometries near it.
    ``electronic_temperature_k`` of gfn1 and gfn2, default 300 K: a higher one helps where a gap is small.
    ``smallest_gap_ev``: a ground state with a smaller HOMO-LUMO gap raises ElectronicStructureError at once.
    ``advise``: where the gap is below 0.2 eV, or the ground state fails, look for a charge that opens it (seconds).
    ``progress``: called with the number of Krylov blocks.
    Further keywords are those of :class:`clusterml.engine.settings.ExcitedSettings` (``emax_ev``, ``fwhm_ev``,
    ``mode``, ``solver``, ``dtype``, ``device``, ``memory_gb``, ...).

    Raises StructureError, SeveralMoleculesError, UnsupportedElementError, ChargeError, OptionError, MemoryLimitError,
    ElectronicStructureError.
    """
    start = time.perf_counter()
    chosen = _settings(settings)
    check_size(atoms)
    check_geometry(atoms)
    if not allow_several:
        check_one_molecule(atoms)
    decision = resolve_charge(atoms, charge)
    warnings = [*atoms.info.get("provenance", {}).get("warnings", []), *decision.notes]
    source = orbitals or default_orbitals(chosen.mode)
    if source != "stda-xtb":
        check_ground_state(atoms, chosen.memory_gb)
    try:
        ground = ground_state(atoms, decision.charge, source, solvent, chosen, start_from, electronic_temperature_k)
    except ElectronicStructureError as error:
        advice = gap_advice(atoms, decision.charge) if advise else ""
        raise ElectronicStructureError(error.problem, "; ".join(filter(None, (advice, error.remedy)))) from error
    if smallest_gap_ev > 0.0 and not ground.raw_gap_ev >= smallest_gap_ev:
        problem = f"HOMO-LUMO gap of {ground.raw_gap_ev:.3f} eV"
        raise ElectronicStructureError(problem, f"less than {smallest_gap_ev:g} eV; check the charge and the geometry")
    ground_done = time.perf_counter()
    warnings += [*ground.warnings, *gap_warnings(ground)]
    if advise and ground.raw_gap_ev < SMALL_GAP_EV:
        warnings += filter(None, [gap_advice(atoms, decision.charge)])
    states = excite(ground, chosen, progress)
    warnings += _state_warnings(states, chosen)
    axis = np.arange(25, round(50.0 * chosen.emax_ev) + 1) / 50.0 if grid is None else grid
    spectrum = states.transitions.broaden(axis, chosen.fwhm_ev, gauge=gauge, absorption_gauge="length")
    excited_done = time.perf_counter()
    bands = band_assignments(states, spectrum, groups if groups is not None else element_groups(atoms))
    timings = {
        "ground_state": ground_done - start,
        **states.timings_s,
        "bands": time.perf_counter() - excited_done,
        "total": time.perf_counter() - start,
    }
    provenance = {
        "orbitals": ground.method,
        "solvent": solvent,
        "mode": chosen.mode,
        "solver": chosen.solver,
        "emax_ev": chosen.emax_ev,
        "dtype": chosen.dtype,
        "device": chosen.device,
        "parameters": parameters_hash(),
        "raw_gap_ev": ground.raw_gap_ev,
        "counts": states.counts,
    }
    return Label(atoms, decision, chosen, spectrum, states, ground, bands, tuple(warnings), timings, provenance)


def _settings(values: Mapping[str, Any]) -> ExcitedSettings:
    try:
        return ExcitedSettings(**values)
    except TypeError as exc:
        known = ", ".join(ExcitedSettings.__dataclass_fields__)
        raise OptionError(f"label was given an option it does not have: {exc}", f"known options: {known}") from exc


def _state_warnings(states: ExcitedStates, settings: ExcitedSettings) -> list[str]:
    warnings = []
    if len(states.transitions) == 0:
        warnings.append(f"no excitation below {settings.emax_ev:g} eV: the spectrum is empty; raise --emax")
    elif states.amplitudes is None:
        warnings.append("no memory to keep the states: bands are not assigned to groups of atoms; raise --memory-gb")
    if not states.converged:
        warnings.append(
            f"the spectrum is not converged to {settings.tolerance:g} with {states.counts['n_krylov']} Krylov vectors: "
            "raise --memory-gb or --fwhm"
        )
    return warnings

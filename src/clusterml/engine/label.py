"""``label``: from a geometry to its absorption and CD spectrum with the physics engine.

Under a protocol with an ensemble it is the average over thermal snapshots of the geometry.  Each snapshot is drawn from
the thermal motion of an elastic network about the geometry (:mod:`clusterml.structure.distort.vibrations`) and
labelled; the mean of the spectra is what a sample at that temperature shows in the classical Condon picture.
R. Crespo-Otero, M. Barbatti, Theor. Chem. Acc. 131, 1237 (2012).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from clusterml.engine.charge import gap_advice, resolve_charge
from clusterml.engine.cost import Cost, check_ground_state, label_cost
from clusterml.engine.fragments import Band, band_assignments, element_groups
from clusterml.engine.label_error import Reliability, protocol_key, reliability, with_reliability
from clusterml.engine.orbitals.orbitals import Orbitals, gap_warnings
from clusterml.engine.orbitals.source import find_source
from clusterml.engine.parameters import parameters_hash
from clusterml.engine.protocol import (
    DEFAULT_COMPUTE,
    DEFAULT_PROTOCOL,
    Compute,
    LabelKeywords,
    Protocol,
    ThermalEnsemble,
    chosen,
)
from clusterml.engine.response.excited import ExcitedStates
from clusterml.engine.response.response import Response, check_reach
from clusterml.engine.response.solver import ResponseSolver, find_solver
from clusterml.errors import ElectronicStructureError, OptionError, counted
from clusterml.io.display import WithWarnings, wrapped
from clusterml.spectrum.curves import check_axis
from clusterml.spectrum.spectrum import Spectrum, default_grid, mean_spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.structure.anatomy.superatom import signed_charge
from clusterml.structure.charge import SMALL_GAP_EV, ChargeDecision
from clusterml.structure.check import check_geometry, check_one_molecule, check_size, check_structure
from clusterml.structure.elements import figure_title, formula
from clusterml.structure.formats.molden import holds_orbitals
from clusterml.structure.read import read
from clusterml.structure.superpose import torch_threads
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, repr=False)
class Label(WithWarnings):
    """Everything the engine says about one geometry.

    ``spectrum``: broadened absorption and CD; ``response``: what it was made of, which gives it at larger widths too;
    ``bands``: what each band is made of; ``decision``: the charge, and what spoke for it.
    """

    atoms: Atoms
    decision: ChargeDecision
    protocol: Protocol
    spectrum: Spectrum
    response: Response
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
        return wrapped(f"Label({of}; {orbitals}; {self.spectrum!r})")

    def _repr_html_(self) -> str:
        """Spectrum and structure, for notebooks."""
        from clusterml.structure.picture import result_card

        return result_card(repr(self), self.atoms, [self.spectrum], notes=self.warnings)

    @property
    def charge(self) -> int:
        """The charge it was computed with, in units of e."""
        return self.decision.charge

    @cached_property
    def reliability(self) -> Reliability:
        """How far such a CD is from DFT, and which signs it supports."""
        return reliability(self.spectrum, self.atoms, self.charge, protocol_key(self.protocol))

    @property
    def label_error(self) -> FloatArray:
        """Standard deviation (m,) of its delta_epsilon from that of DFT, L mol-1 cm-1; NaN where it is not known."""
        return self.reliability.error

    @property
    def transitions(self) -> Transitions:
        """The excitations, in eV and 1e-40 cgs (of solver ``krylov``: pseudo-states with the same spectrum).

        Raises OptionError where the solver gives spectra without any.
        """
        if not isinstance(self.response, ExcitedStates):
            raise OptionError("the contour gives spectra without excitations", "use --states (solver='states')")
        return self.response.transitions


def with_own_orbitals(atoms: Atoms, protocol: Protocol, *, named: bool) -> Protocol:
    """``protocol`` with the orbitals of the Molden file that ``atoms`` come from, if they come from one; not where
    orbitals or a mode other than the default were ``named``."""
    return protocol.but(orbitals="molden") if not named and holds_orbitals(atoms) else protocol


def label(
    atoms: Atoms | str | Path,
    charge: int | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    compute: Compute = DEFAULT_COMPUTE,
    *,
    grid: FloatArray | None = None,
    groups: Mapping[str, IntArray] | None = None,
    allow_several: bool = False,
    start_from: Atoms | None = None,
    advise: bool = False,
    progress: Callable[[str], None] | None = None,
    **choices: Unpack[LabelKeywords],
) -> Label:
    """Absorption and CD spectrum of a closed-shell cluster in one geometry.

    ``atoms``: or the path of a structure file; a Molden file's own orbitals are taken then, unless others are named.
    ``charge``: default ``atoms.info['charge']``, else proposed, with a warning (:mod:`clusterml.structure.charge`).
    ``protocol``: how; ``compute``: with what; single fields of both may be given as keywords, such as
    ``orbitals="gfn2"`` (why gfn1-pbe is the default, see docs/science/orbital-sources.md) or ``device="cuda"``.
    With the protocol's ``ensemble`` the spectrum is the mean over its snapshots, with their standard deviation; the
    bands are taken at the maxima of the mean, and orbitals and response are those of the given geometry. A snapshot
    whose ground state cannot be computed is left out, with a warning; the error is raised where that is half of
    them or more.
    ``grid`` (m,): energies in eV up to ``emax_ev``, default 0.5 eV to ``emax_ev`` in steps of 0.02 eV.
    ``groups``: name -> atom indices for the band assignment,
    default :func:`~clusterml.engine.fragments.element_groups`.
    ``start_from``: a geometry of the same atoms whose GFN density is the first guess, for many geometries near it.
    ``advise``: where the gap is below 0.2 eV, or the ground state fails, look for a charge that opens it (seconds).
    ``progress``: told in words how far it is: ``4 blocks``, or of an ensemble ``snapshot 3 of 32``.

    Raises InputFileError, StructureError, SeveralMoleculesError, UnsupportedElementError, ChargeError, OptionError,
    MemoryLimitError, ElectronicStructureError (also for a gap below the protocol's smallest).

    Examples:
        >>> import clusterml as cm
        >>> result = cm.label(cm.build("ag3", thiolate="SH"), emax_ev=4.5)
        >>> result.orbitals.method, len(result.spectrum)
        ('GFN1-PBE', 201)
        >>> bool(result.spectrum.epsilon.max() > 1e4)
        True
    """
    named = not isinstance(atoms, str | Path) or bool({"orbitals", "mode"} & {*choices, *protocol.model_fields_set})
    if isinstance(atoms, str | Path):
        atoms = read(atoms, allow_several=allow_several)
    check_structure(atoms, "label them one by one, or all: clusterml label FILE ..")
    protocol, compute = chosen(protocol, compute, choices)
    protocol = with_own_orbitals(atoms, protocol, named=named)
    if choices.get("checkpoint") is not None and not (source := find_source(protocol)).checkpoints:
        raise OptionError(f"{source.name} orbitals have no checkpoint", "use --orbitals dft, or leave it out")
    if grid is not None:
        check_reach(check_axis("grid", grid), protocol.emax_ev)
    check_size(atoms)
    check_geometry(atoms)
    parts = groups if groups is not None else element_groups(atoms)
    work = _Work(protocol, compute, grid, allow_several, advise)
    with torch_threads(compute.threads):
        if protocol.ensemble is None:
            result = work.label(atoms, charge, parts, start_from, progress)
        else:
            result = _label_ensemble(atoms, charge, work, protocol.ensemble, parts, start_from, progress)
    return replace(result, spectrum=with_reliability(result.spectrum, result.reliability))


@dataclass(frozen=True)
class _Work:
    """What is the same for every geometry; see :func:`label`."""

    protocol: Protocol
    compute: Compute
    grid: FloatArray | None
    allow_several: bool
    advise: bool

    def label(
        self,
        atoms: Atoms,
        charge: int | None,
        groups: Mapping[str, IntArray],
        start_from: Atoms | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Label:
        """The label of one geometry; raises what :func:`label` raises."""
        start, protocol = time.perf_counter(), self.protocol
        check_geometry(atoms)
        if not self.allow_several:
            check_one_molecule(atoms)
        decision = resolve_charge(atoms, charge)
        ground = self._ground_state(atoms, decision.charge, start_from, progress)
        ground_done = time.perf_counter()
        solver = find_solver(ground, protocol)
        tell = None if progress is None else lambda blocks: progress(counted(blocks, "block"))
        response = solver.solve(ground, protocol, self.compute, tell)
        axis = default_grid(protocol.emax_ev) if self.grid is None else self.grid
        spectrum = response.broaden(axis, protocol.fwhm_ev, gauge=protocol.gauge, absorption_gauge="length")
        title = figure_title(atoms, decision.charge, response_method(ground))
        spectrum = replace(spectrum, meta={**spectrum.meta, "title": title})
        excited_done = time.perf_counter()
        bands = band_assignments(response, spectrum, groups)
        warnings = [*atoms.info.get("provenance", {}).get("warnings", []), *decision.notes, *ground.warnings]
        warnings += [*gap_warnings(ground)]
        if self._advises and ground.raw_gap_ev < SMALL_GAP_EV:
            warnings += filter(None, [gap_advice(atoms, decision.charge)])
        warnings += _response_warnings(response, protocol)
        timings = {
            "ground_state": ground_done - start,
            **response.timings_s,
            "bands": time.perf_counter() - excited_done,
            "total": time.perf_counter() - start,
        }
        provenance = _provenance(self, ground, solver, response)
        return Label(atoms, decision, protocol, spectrum, response, ground, bands, tuple(warnings), timings, provenance)

    @property
    def _advises(self) -> bool:
        """Can another charge be advised: orbitals of a file have theirs."""
        return self.advise and not find_source(self.protocol).from_file

    def _ground_state(
        self, atoms: Atoms, charge: int, start_from: Atoms | None, progress: Callable[[str], None] | None
    ) -> Orbitals:
        """Raises ElectronicStructureError, also for a gap below the protocol's smallest."""
        source, compute = find_source(self.protocol), replace(self.compute, working=progress)
        cost = label_cost(atoms) if source.check_memory else ground_state_cost(atoms, self.protocol, compute)
        if cost is not None:
            check_ground_state(atoms, cost, compute.memory, source.kohn_sham)
        try:
            ground = source.compute(atoms, charge, self.protocol, compute, start_from)
        except ElectronicStructureError as error:
            advice = gap_advice(atoms, charge) if self._advises else ""
            raise ElectronicStructureError(error.problem, "; ".join(filter(None, (advice, error.remedy)))) from error
        smallest = self.protocol.smallest_gap_ev
        if smallest > 0.0 and not ground.raw_gap_ev >= smallest:
            problem = f"HOMO-LUMO gap of {ground.raw_gap_ev:.3f} eV"
            raise ElectronicStructureError(problem, f"less than {smallest:g} eV; check the charge and the geometry")
        return ground


def _provenance(work: _Work, ground: Orbitals, solver: ResponseSolver, response: Response) -> dict[str, Any]:
    protocol = work.protocol
    return {
        "orbitals": ground.method,
        "solvent": protocol.solvent,
        "solvation": None if protocol.solvent is None else protocol.solvation,
        "mode": protocol.mode,
        "solver": solver.solver[-1],
        "emax_ev": protocol.emax_ev,
        "dtype": protocol.dtype,
        "device": work.compute.device,
        "parameters": parameters_hash(),
        "raw_gap_ev": ground.raw_gap_ev,
        "counts": response.counts,
    }


def _label_ensemble(
    atoms: Atoms,
    charge: int | None,
    work: _Work,
    ensemble: ThermalEnsemble,
    groups: Mapping[str, IntArray],
    start_from: Atoms | None,
    progress: Callable[[str], None] | None,
) -> Label:
    """The label of ``atoms`` with the mean spectrum of its snapshots."""
    central = work.label(atoms, charge, {}, start_from)
    snapshots, quiet = ensemble.snapshots(atoms), replace(work, advise=False)
    # charges of the given geometry save a cycle of each snapshot, densities of Kohn-Sham would be computed once more
    near = atoms if start_from is None and find_source(work.protocol).charge_tolerance else start_from
    spectra: list[Spectrum] = []
    lost: list[ElectronicStructureError] = []
    for number, snapshot in enumerate(snapshots, start=1):
        if progress is not None:
            progress(f"snapshot {number} of {ensemble.members}")
        try:
            spectra.append(quiet.label(snapshot, central.charge, {}, near).spectrum)
        except ElectronicStructureError as error:
            lost.append(error)
    if len(lost) * 2 >= ensemble.members:
        raise lost[-1]
    mean = mean_spectrum(spectra, {"ensemble": len(spectra), "temperature_k": ensemble.temperature_k})
    left_out = [f"{len(lost)} of {ensemble.members} snapshots are left out: {lost[-1].problem}"] if lost else []
    provenance = {**central.provenance, "ensemble": {**ensemble.to_dict(), "members": len(spectra)}}
    return replace(
        central,
        spectrum=mean,
        bands=band_assignments(central.response, mean, groups),
        warnings=(*central.warnings, *left_out),
        provenance=provenance,
    )


def ground_state_cost(atoms: Atoms, protocol: Protocol, compute: Compute) -> Cost | None:
    """Time and memory of a ground state that takes long, None where it is a matter of seconds.

    Raises OptionError for a protocol that cannot be, UnsupportedElementError for an element without a basis.
    """
    cost = find_source(protocol).cost
    return None if cost is None else cost(atoms, protocol, compute)


def response_method(orbitals: Orbitals) -> str:
    """``sTDA-xTB``, or the orbitals' method with the kind of response: ``GFN1-xTB linear response``."""
    if orbitals.kernels.k_shift:
        return orbitals.method
    return f"{orbitals.method} {'sTDA' if orbitals.kernels.ax else 'linear response'}"


def _response_warnings(response: Response, protocol: Protocol) -> list[str]:
    warnings = []
    if response.dark:
        warnings.append(f"no excitation below {protocol.emax_ev:g} eV: the spectrum is empty; raise --emax")
    elif isinstance(response, ExcitedStates) and response.amplitudes is None:
        warnings.append("no memory to keep the states: bands are not assigned to groups of atoms; raise --memory-gb")
    if not response.converged:
        warnings.append(
            f"the spectrum is not converged to {protocol.tolerance:g} with {response.counts['n_krylov']} Krylov "
            "vectors: raise --memory-gb or --fwhm"
        )
    return warnings

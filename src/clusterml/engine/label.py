"""``label``: from a geometry to its absorption and CD spectrum with the physics engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

from clusterml.engine.charge import gap_advice, resolve_charge
from clusterml.engine.cost import check_ground_state
from clusterml.engine.fragments import Band, band_assignments, element_groups
from clusterml.engine.orbitals.orbitals import Orbitals, gap_warnings
from clusterml.engine.orbitals.source import find_source
from clusterml.engine.parameters import parameters_hash
from clusterml.engine.protocol import DEFAULT_COMPUTE, DEFAULT_PROTOCOL, Compute, LabelKeywords, Protocol, chosen
from clusterml.engine.response.excited import ExcitedStates
from clusterml.engine.response.response import Response
from clusterml.engine.response.solver import find_solver
from clusterml.errors import ElectronicStructureError, OptionError
from clusterml.io.display import wrapped
from clusterml.spectrum.spectrum import Spectrum
from clusterml.spectrum.transitions import Transitions
from clusterml.structure.anatomy.superatom import signed_charge
from clusterml.structure.charge import SMALL_GAP_EV, ChargeDecision
from clusterml.structure.check import check_geometry, check_one_molecule, check_size
from clusterml.structure.elements import formula
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, repr=False)
class Label:
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

    @property
    def transitions(self) -> Transitions:
        """The excitations, in eV and 1e-40 cgs (of solver ``krylov``: pseudo-states with the same spectrum).

        Raises OptionError where the solver gives spectra without any.
        """
        if not isinstance(self.response, ExcitedStates):
            raise OptionError("the contour gives spectra without excitations", "use --states (solver='states')")
        return self.response.transitions


def label(
    atoms: Atoms,
    charge: int | None = None,
    protocol: Protocol = DEFAULT_PROTOCOL,
    compute: Compute = DEFAULT_COMPUTE,
    *,
    grid: FloatArray | None = None,
    groups: Mapping[str, IntArray] | None = None,
    allow_several: bool = False,
    start_from: Atoms | None = None,
    advise: bool = False,
    progress: Callable[[int], None] | None = None,
    **choices: Unpack[LabelKeywords],
) -> Label:
    """Absorption and CD spectrum of a closed-shell cluster in one geometry.

    ``charge``: default ``atoms.info['charge']``, else proposed, with a warning (:mod:`clusterml.structure.charge`).
    ``protocol``: how; ``compute``: with what; single fields of both may be given as keywords, such as
    ``orbitals="gfn2"`` (why gfn1 is the default, see docs/science/orbital-sources.md) or ``device="cuda"``.  The
    protocol's ensemble has no part in it: see :func:`clusterml.engine.ensemble.label_ensemble`.
    ``grid`` (m,): energies in eV, default 0.5 eV to ``emax_ev`` in steps of 0.02 eV.
    ``groups``: name -> atom indices for the band assignment,
    default :func:`~clusterml.engine.fragments.element_groups`.
    ``start_from``: a geometry of the same atoms whose GFN density is the first guess, for many geometries near it.
    ``advise``: where the gap is below 0.2 eV, or the ground state fails, look for a charge that opens it (seconds).
    ``progress``: called with the number of Krylov blocks, or of blocks of configurations.

    Raises StructureError, SeveralMoleculesError, UnsupportedElementError, ChargeError, OptionError, MemoryLimitError,
    ElectronicStructureError (also for a gap below the protocol's smallest).

    Examples:
        >>> import clusterml as cm
        >>> result = cm.label(cm.build("ag3", thiolate="SH"), emax_ev=4.5)
        >>> result.orbitals.method, len(result.spectrum)
        ('GFN1-xTB', 201)
        >>> bool(result.spectrum.epsilon.max() > 1e4)
        True
    """
    start = time.perf_counter()
    protocol, compute = chosen(protocol, compute, choices)
    check_size(atoms)
    check_geometry(atoms)
    if not allow_several:
        check_one_molecule(atoms)
    decision = resolve_charge(atoms, charge)
    warnings = [*atoms.info.get("provenance", {}).get("warnings", []), *decision.notes]
    source = find_source(protocol)
    if source.check_memory:
        check_ground_state(atoms, compute.memory)
    try:
        ground = source.compute(atoms, decision.charge, protocol, compute, start_from)
    except ElectronicStructureError as error:
        advice = gap_advice(atoms, decision.charge) if advise else ""
        raise ElectronicStructureError(error.problem, "; ".join(filter(None, (advice, error.remedy)))) from error
    if protocol.smallest_gap_ev > 0.0 and not ground.raw_gap_ev >= protocol.smallest_gap_ev:
        problem = f"HOMO-LUMO gap of {ground.raw_gap_ev:.3f} eV"
        remedy = f"less than {protocol.smallest_gap_ev:g} eV; check the charge and the geometry"
        raise ElectronicStructureError(problem, remedy)
    ground_done = time.perf_counter()
    warnings += [*ground.warnings, *gap_warnings(ground)]
    if advise and ground.raw_gap_ev < SMALL_GAP_EV:
        warnings += filter(None, [gap_advice(atoms, decision.charge)])
    solver = find_solver(ground, protocol)
    response = solver.solve(ground, protocol, compute, progress)
    warnings += _response_warnings(response, protocol)
    axis = np.arange(25, round(50.0 * protocol.emax_ev) + 1) / 50.0 if grid is None else grid
    spectrum = response.broaden(axis, protocol.fwhm_ev, gauge=protocol.gauge, absorption_gauge="length")
    excited_done = time.perf_counter()
    bands = band_assignments(response, spectrum, groups if groups is not None else element_groups(atoms))
    timings = {
        "ground_state": ground_done - start,
        **response.timings_s,
        "bands": time.perf_counter() - excited_done,
        "total": time.perf_counter() - start,
    }
    provenance = {
        "orbitals": ground.method,
        "solvent": protocol.solvent,
        "mode": protocol.mode,
        "solver": solver.solver[-1],
        "emax_ev": protocol.emax_ev,
        "dtype": protocol.dtype,
        "device": compute.device,
        "parameters": parameters_hash(),
        "raw_gap_ev": ground.raw_gap_ev,
        "counts": response.counts,
    }
    return Label(atoms, decision, protocol, spectrum, response, ground, bands, tuple(warnings), timings, provenance)


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

"""Relaxing a structure with GFN1-xTB or GFN2-xTB, restartable, and keeping its symmetry on demand.

Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 2017, 13, 1989 (GFN1); Bannwarth, Ehlert, Grimme, ibid. 2019, 15,
1652 (GFN2); Ehlert, Stahn, Spicher, Grimme, ibid. 2021, 17, 4250 (ALPB, GBSA).  Limited-memory BFGS of ASE.  GFN1 in
vacuum is our own; all else is tblite's, whose solvent cavity uses a grid of fixed orientation, which breaks symmetry a
little: with ``symmetry`` the forces are projected.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from clusterml.engine.blas import lend_blas
from clusterml.engine.choices import check_kelvin
from clusterml.engine.orbitals.solvation import buried_atoms_warnings
from clusterml.errors import ElectronicStructureError, InputFileError, OptionError, OutputError
from clusterml.io.display import choices_repr, wrapped
from clusterml.io.files import read_bounded, sha256, write_text
from clusterml.structure.anatomy.ligands import find_ligands
from clusterml.structure.build.contacts import find_donors
from clusterml.structure.build.operations import KeepSymmetry, Operations, find_operations
from clusterml.structure.charge import GapSource, check_charge, decide_charge
from clusterml.structure.check import check_geometry, check_size, connected_molecules
from clusterml.structure.elements import is_metal
from clusterml.structure.solvents import GfnMethod, SolventModel, find_solvent
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms


_VERSION = 1


class Checkpoint:
    """The state of a relaxation in the file ``path``.

    ``task``: plain values that say what is calculated; a file of another task is refused.  After construction
    ``number`` is the step to go on with (0 if there is no file), ``positions`` ``(n, 3)`` in A and ``state`` (the
    optimiser's memory) are what was written last, or None.

    Raises :class:`~clusterml.errors.InputFileError` for a file that is damaged or of another calculation.
    """

    def __init__(self, path: Path, task: dict[str, Any]) -> None:
        self.path = path
        self._key = sha256(json.dumps(task, sort_keys=True))
        self.number = 0
        self.positions: FloatArray | None = None
        self.state: Any = None
        if path.exists():
            self._read()

    def write(self, number: int, positions: FloatArray, state: Any) -> None:
        """Replace the file, atomically; raises :class:`~clusterml.errors.OutputError`."""
        from ase.io.jsonio import encode

        content = {"version": _VERSION, "task": self._key, "number": number, "positions": positions, "state": state}
        write_text(self.path, encode(content))

    def remove(self) -> None:
        """Delete the file, if it is there."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be deleted: {error}", "delete it by hand") from error

    def damaged(self, error: Exception) -> InputFileError:
        """What to say of a file whose content gave ``error``."""
        return InputFileError(
            f"{self.path}: is not a checkpoint of a relaxation ({type(error).__name__})", "delete it to start anew"
        )

    def _read(self) -> None:
        from ase.io.jsonio import decode

        try:
            content = decode(read_bounded(self.path, links=False).decode("utf-8"))
            version, key = content["version"], content["task"]
            positions = np.asarray(content["positions"], dtype=np.float64)
            number, state = int(content["number"]), content["state"]
            if positions.ndim != 2 or positions.shape[1] != 3 or not np.isfinite(positions).all():
                raise ValueError("these are no positions")
        except (ValueError, LookupError, TypeError, AttributeError, MemoryError, RecursionError) as error:
            raise self.damaged(error) from error
        if version != _VERSION or key != self._key:
            raise InputFileError(
                f"{self.path}: belongs to another structure, charge or method", "delete it, or write elsewhere"
            )
        self.number, self.positions, self.state = number, positions, state


Fixed = Literal["none", "metals", "frame"]
"""What stays put: nothing, the metals, or the metals with all donor atoms."""

_NAMES = {"gfn1": "GFN1-xTB", "gfn2": "GFN2-xTB"}
_MAX_STEP = 0.15  # A
_HEAVIEST = 86


@dataclass(frozen=True, repr=False)
class RelaxSettings:
    """How to relax.

    ``solvent``: a name of :mod:`clusterml.structure.solvents`, or None for the vacuum; ``fix``: see :data:`Fixed`;
    ``symmetry``: keep the point group the structure has; ``steps``: at most so many; ``fmax``: largest force (eV/A) at
    which it is done; ``temperature_k``: electronic temperature.

    Examples:
        >>> import clusterml as cm
        >>> cm.RelaxSettings(method="gfn2", steps=100).method
        'gfn2'
    """

    method: GfnMethod = "gfn1"
    solvent: str | None = None
    solvation: SolventModel = "alpb"
    fix: Fixed = "none"
    symmetry: bool = False
    steps: int = 500
    fmax: float = 0.05
    temperature_k: float = 300.0

    def __repr__(self) -> str:
        """What is not at its default."""
        return choices_repr(self)

    def __post_init__(self) -> None:
        """Raises :class:`~clusterml.errors.OptionError` naming the setting."""
        for name, choices in (("method", GfnMethod), ("solvation", SolventModel), ("fix", Fixed)):
            if getattr(self, name) not in get_args(choices):
                raise OptionError(f"{name} is {getattr(self, name)!r}", f"choose one of {', '.join(get_args(choices))}")
        if self.solvent is not None:
            find_solvent(self.solvent, self.solvation, self.method)
        elif self.solvation != type(self).solvation:
            raise OptionError(
                f"solvation {self.solvation} has no effect without a solvent", "give --solvent, or leave it out"
            )
        if not 0 <= self.steps <= 1_000_000:
            raise OptionError(f"steps is {self.steps}", "give a number from 0")
        if not 1e-5 <= self.fmax <= 100.0:
            raise OptionError(f"fmax is {self.fmax:g} eV/A", "give a number between 0.00001 and 100")
        check_kelvin("temperature_k", self.temperature_k)

    @property
    def level(self) -> str:
        """The level of theory in words."""
        medium = f"{self.solvation.upper()}({self.solvent})" if self.solvent else "vacuum"
        return f"{_NAMES[self.method]}, {medium}"


@dataclass(frozen=True)
class RelaxStep:
    """One step: its ``number`` (0 is the start), ``energy_ev`` and the largest force ``fmax`` (eV/A)."""

    number: int
    energy_ev: float
    fmax: float


@dataclass(frozen=True, repr=False)
class Relaxation:
    """The end of a relaxation: ``atoms`` (A), the last ``step``, whether forces are below the limit, and ``resumed_at``
    (the step a checkpoint was taken up at, 0 without one)."""

    atoms: Atoms
    step: RelaxStep
    converged: bool
    resumed_at: int

    def __repr__(self) -> str:
        """Formula, steps, energy and largest force."""
        end = "converged" if self.converged else "not converged"
        last = f"step {self.step.number}, {self.step.energy_ev:.4f} eV, largest force {self.step.fmax:.3f} eV/A"
        return wrapped(f"Relaxation({self.atoms.symbols}: {last}, {end})")


def relax(
    atoms: Atoms,
    charge: int | None = None,
    settings: RelaxSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    progress: Callable[[RelaxStep], None] | None = None,
    gaps: GapSource | None = None,
) -> Relaxation:
    """Relax a copy of ``atoms``.

    ``charge``: default ``info["charge"]``, else proposed, with a warning.  ``checkpoint``: a file kept up to date after
    every step; a relaxation of the same structure with the same settings (the number of steps apart) that finds it goes
    on where it stopped.  It is deleted at the end if the forces have converged.  ``progress`` is called after every
    step.  ``gaps``: ground states where nothing states the charge, :func:`clusterml.structure.charge.decide_charge`.

    The result's ``provenance`` says the level of theory, energy, largest force, steps and symmetry; ``warnings`` tell
    of forces above the limit, of ligands or bonds that changed.

    Raises OptionError, ChargeError, StructureError, UnsupportedElementError, ElectronicStructureError (no convergence),
    InputFileError (a checkpoint of another calculation, or a damaged one), OutputError (it cannot be written).

    Examples:
        >>> import clusterml as cm
        >>> relaxed = cm.relax(cm.build("ag3", thiolate="SH"), settings=cm.RelaxSettings(steps=2))
        >>> relaxed.step.number, relaxed.converged
        (2, False)
    """
    chosen = settings or RelaxSettings()
    check_geometry(atoms)
    check_size(atoms)
    work = atoms.copy()
    work.info = {**atoms.info}
    total, warnings = _charge(work, charge, gaps)
    operations = find_operations(work) if chosen.symmetry else None
    if operations is not None:
        work.positions[:] = operations.restore(work.positions)
    work.set_constraint(_constraints(work, chosen, operations))
    work.calc = _calculator(work, total, chosen)
    store = None if checkpoint is None else Checkpoint(Path(checkpoint), _describe_task(atoms, total, chosen))
    resumed = store.number if store is not None else 0
    step, converged = _run(work, chosen, store, progress)
    work.calc = None
    work.set_constraint()
    if store is not None and converged:
        store.remove()
    warnings += [*_find_changes(atoms, work), *_solvent_failures(work, chosen)]
    if not converged:
        warnings.append(f"relaxation stopped after {step.number} steps with forces up to {step.fmax:.3f} eV/A")
    _describe(work, total, chosen, operations, step, warnings)
    return Relaxation(work, step, converged, resumed)


def _run(
    work: Atoms, settings: RelaxSettings, store: Checkpoint | None, progress: Callable[[RelaxStep], None] | None
) -> tuple[RelaxStep, bool]:
    from ase.calculators.calculator import CalculationFailed, InputError
    from ase.optimize import LBFGS

    class Restartable(LBFGS):  # type: ignore[misc]
        """Writes its memory and the next positions into the checkpoint, atomically."""

        def dump(self, data: Any) -> None:
            if store is not None:
                store.write(self.nsteps + 1, work.positions, data)

        def load(self) -> Any:
            return store.state if store is not None else None

    if store is not None and store.positions is not None:
        try:
            work.positions[:] = store.positions
            optimiser = Restartable(work, restart=str(store.path), logfile=None, maxstep=_MAX_STEP)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise store.damaged(error) from error
    else:
        optimiser = Restartable(work, logfile=None, maxstep=_MAX_STEP)
    try:
        optimiser.nsteps = store.number if store is not None else 0
        left = max(settings.steps - optimiser.nsteps, 0)
        converged, step = False, RelaxStep(0, 0.0, 0.0)
        for done in optimiser.irun(fmax=settings.fmax, steps=left):
            forces = float(np.linalg.norm(work.get_forces(), axis=1).max())
            step, converged = RelaxStep(optimiser.nsteps, float(work.get_potential_energy()), forces), bool(done)
            if not np.isfinite(step.energy_ev):
                raise ElectronicStructureError("the energy is not finite", "check the geometry and the charge")
            if progress is not None:
                progress(step)
    except CalculationFailed as error:
        raise ElectronicStructureError(
            f"the {_NAMES[settings.method]} ground state failed: {error}",
            "check charge and geometry, or raise the electronic temperature (--temperature 1000)",
        ) from error
    except InputError as error:
        raise OptionError(
            f"tblite refuses the calculation ({settings.level}): {error}",
            "check the charge and the geometry",
        ) from error
    return step, converged


def _calculator(atoms: Atoms, charge: int, settings: RelaxSettings) -> Any:
    if settings.method == "gfn1" and settings.solvent is None:
        from clusterml.engine.gfn1_calculator import Gfn1Calculator

        return Gfn1Calculator(charge, settings.temperature_k)
    lend_blas()
    from tblite.ase import TBLite

    solvation = (settings.solvation, settings.solvent) if settings.solvent else None
    return TBLite(
        method=_NAMES[settings.method], charge=charge, multiplicity=1, solvation=solvation, verbosity=0,
        electronic_temperature=settings.temperature_k, max_iterations=500,
    )  # fmt: skip


def _constraints(atoms: Atoms, settings: RelaxSettings, operations: Operations | None) -> list[Any]:
    from ase.constraints import FixAtoms

    constraints: list[Any] = []
    if settings.fix != "none":
        held: IntArray = np.flatnonzero(is_metal(np.asarray(atoms.numbers, dtype=np.int64)))
        if settings.fix == "frame":
            held = np.union1d(held, find_donors(atoms))
        if len(held) == len(atoms):
            raise OptionError(f"fix {settings.fix} leaves no atom to move", "fix fewer atoms")
        constraints.append(FixAtoms(indices=held))
    if operations is not None and len(operations) > 1:
        constraints.append(KeepSymmetry(operations))
    return constraints


def _charge(atoms: Atoms, charge: int | None, gaps: GapSource | None) -> tuple[int, list[str]]:
    """The charge to use, and a warning if it is a proposal; raises ChargeError for an odd number of electrons."""
    from clusterml.errors import UnsupportedElementError

    heavy = [s for s, z in zip(atoms.symbols, atoms.numbers, strict=True) if z > _HEAVIEST]
    if heavy:
        raise UnsupportedElementError(f"GFN-xTB has no parameters for {heavy[0]}", "elements up to radon are supported")
    decision = decide_charge(atoms, charge, gaps)
    check_charge(atoms, decision)
    return decision.charge, decision.notes


def _describe_task(atoms: Atoms, charge: int, settings: RelaxSettings) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    same = {k: v for k, v in asdict(settings).items() if k not in ("steps", "fmax")}
    start = np.round(atoms.positions, 6).ravel().tolist()
    return {"charge": charge, **same, "numbers": atoms.numbers.tolist(), "start": start}


def _find_changes(before: Atoms, after: Atoms) -> list[str]:
    """Warnings about ligands and pieces that are not what they were."""
    warnings = []
    old = Counter((x.formula, len(x.donors) > 0) for x in find_ligands(before))
    new = Counter((x.formula, len(x.donors) > 0) for x in find_ligands(after))
    if old != new:
        lost = ", ".join(f"{n} x {name}{'' if bound else ' (free)'}" for (name, bound), n in (old - new).items())
        gained = ", ".join(f"{n} x {name}{'' if bound else ' (free)'}" for (name, bound), n in (new - old).items())
        warnings.append(f"relaxation changed the ligands: {lost or 'none'} became {gained or 'none'}")
    pieces = len(connected_molecules(after))
    if pieces > len(connected_molecules(before)):
        warnings.append(f"relaxation broke the structure into {pieces} pieces")
    return warnings


def _solvent_failures(atoms: Atoms, settings: RelaxSettings) -> list[str]:
    """Warnings that the solvent's model fails for buried atoms, whose forces are then wrong as well."""
    if settings.solvent is None:
        return []
    words = buried_atoms_warnings(atoms, settings.solvent, settings.solvation, settings.method)
    return [f"relaxation in a solvent: {warning}" for warning in words]


def _describe(
    atoms: Atoms,
    charge: int,
    settings: RelaxSettings,
    operations: Operations | None,
    step: RelaxStep,
    warnings: list[str],
) -> None:
    history = dict(atoms.info.get("provenance", {}))
    before = [w for w in history.get("warnings", []) if not w.startswith("relaxation ")]
    history |= {
        "level": f"relaxed with {settings.level}",
        "energy_ev": round(step.energy_ev, 6),
        "fmax_ev_a": round(step.fmax, 4),
        "steps": step.number,
        "fixed": settings.fix,
        "symmetry_operations": len(operations) if operations is not None else 1,
        "warnings": before + warnings,
    }
    atoms.info |= {"charge": charge, "provenance": history}

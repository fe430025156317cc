"""One labelled geometry, and the columns it is stored in: names, shapes, units in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import StringConstraints

from clusterml.errors import DatasetError, counted
from clusterml.typing import FloatArray, IntArray

SCHEMA_VERSION = 1
"""Version of the columns; a reader refuses files of another one."""

GRID_EV: FloatArray = np.arange(25, 276) / 50.0
"""Energies (251,) of the stored spectra: 0.50 to 5.50 eV in steps of 0.02 eV."""
FWHM_EV = 0.10
"""Width of the stored spectra; broader ones are made by :func:`clusterml.training.targets.broadening_matrix`.

Imported ones may be broader already (:attr:`Record.fwhm_ev`)."""
LARGEST_FWHM_EV = 2.0
"""Of an imported spectrum."""
N_LOWEST = 10
"""Excitations kept one by one."""

_NAME = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}"
Name = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
"""Name of a record: letters, digits and . _ + -, so that it can be the name of a file, and of nothing elsewhere."""

Kind = Literal["reference", "mode", "thermal", "ensemble", "conformer", "imported"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""How a geometry came about: as its parent; by signed collective distortions; as a thermal snapshot; as the mean
geometry of a thermal ensemble (whose spectrum is the average); with its ligands in other conformers and its frame
scaled, as another method or a crystal would have it; brought by the user."""


@dataclass(frozen=True)
class Column:
    """A stored column: ``shape`` of one record's value (empty: a scalar), ``dtype`` on disk, ``unit``, ``meaning``."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    unit: str
    meaning: str


_M = len(GRID_EV)
_DE = "L mol-1 cm-1"
COLUMNS: tuple[Column, ...] = (
    Column("id", (), "str", "", "name of the record, unique in a dataset"),
    Column("kind", (), "str", "", f"how the geometry came about: {', '.join(KINDS)}"),
    Column("parent", (), "str", "", "the cluster it was made from"),
    Column("family", (), "str", "", "parents that are the same cluster up to ligands and hand"),
    Column("shell", (), "str", "", "ligand shell, in the names of the ligand library"),
    Column("hand", (), "str", "", "R, S, P, M, or 0 for a parent that has none"),
    Column("pair", (), "str", "", "records of one geometry and its mirror image share this name"),
    Column("method", (), "str", "", "protocol of the label"),
    Column("charge", (), "i2", "e", "total charge"),
    Column("n_snapshots", (), "i4", "", "geometries averaged over (1 for a single geometry)"),
    Column("gap_ev", (), "f4", "eV", "HOMO-LUMO gap of the ground state"),
    Column("epsilon", (_M,), "f4", _DE, "absorption, length gauge"),
    Column("epsilon_velocity", (_M,), "f4", _DE, "absorption, velocity gauge"),
    Column("delta_epsilon", (_M,), "f4", _DE, "CD, velocity gauge"),
    Column("delta_epsilon_length", (_M,), "f4", _DE, "CD, length gauge, origin at the centroid"),
    Column("epsilon_std", (_M,), "f4", _DE, "standard deviation over the snapshots (0 for a single geometry)"),
    Column("delta_epsilon_std", (_M,), "f4", _DE, "standard deviation over the snapshots (0 for a single geometry)"),
    Column("absorption_tensor", (_M, 3, 3), "scaled", _DE, "its trace is epsilon_velocity; symmetric"),
    Column("rotatory_tensor", (_M, 3, 3), "scaled", _DE, "its trace is delta_epsilon"),
    Column("lowest_ev", (N_LOWEST,), "f4", "eV", "lowest excitations; 0 where there are fewer"),
    Column("lowest_f", (N_LOWEST,), "f4", "", "their oscillator strengths, length gauge"),
    Column("lowest_r_cgs", (N_LOWEST,), "f4", "1e-40 cgs", "their rotatory strengths, velocity gauge"),
    Column("details", (), "json", "", "distortions, ligands, chirality measures, provenance, timings, warnings"),
)


@dataclass(frozen=True, eq=False)
class Record:
    """One labelled geometry.

    ``numbers`` (n,) and ``positions`` (n, 3) in A, rounded to single precision, as labelled; the other fields are the
    :data:`COLUMNS`.  Raises :class:`DatasetError` naming record and field if a shape is wrong or a number not finite.
    """

    id: str
    kind: Kind
    parent: str
    family: str
    shell: str
    hand: str
    pair: str
    method: str
    charge: int
    numbers: IntArray
    positions: FloatArray
    gap_ev: float
    epsilon: FloatArray
    epsilon_velocity: FloatArray
    delta_epsilon: FloatArray
    delta_epsilon_length: FloatArray
    absorption_tensor: FloatArray
    rotatory_tensor: FloatArray
    lowest_ev: FloatArray
    lowest_f: FloatArray
    lowest_r_cgs: FloatArray
    n_snapshots: int = 1
    epsilon_std: FloatArray = field(default_factory=lambda: np.zeros(_M))
    delta_epsilon_std: FloatArray = field(default_factory=lambda: np.zeros(_M))
    details: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes and numbers."""
        if not re.fullmatch(_NAME, self.id):
            problem = f"{self.id[:80]!r} is not the name of a record"
            raise DatasetError(problem, "use letters, digits and . _ + -, at most 200")
        if self.kind not in KINDS:
            raise DatasetError(f"record {self.id}: kind is {self.kind!r}", f"choose one of {', '.join(KINDS)}")
        n = len(self.numbers)
        if n == 0 or np.shape(self.positions) != (n, 3) or not np.isfinite(self.positions).all():
            raise DatasetError(
                f"record {self.id}: positions do not fit {counted(n, 'atom')}, or are not finite",
                "label the geometry again",
            )
        for column in COLUMNS:
            if column.dtype in ("str", "json"):
                continue
            value = np.asarray(getattr(self, column.name))
            if value.shape != column.shape:
                raise DatasetError(
                    f"record {self.id}: {column.name} has shape {value.shape}", f"{column.shape} is expected"
                )
            if not np.isfinite(value).all():
                raise DatasetError(f"record {self.id}: {column.name} is not finite", "label the geometry again")

    @property
    def fwhm_ev(self) -> float:
        """Width of the bands of the spectra, in eV: :data:`FWHM_EV` unless ``details["fwhm_ev"]`` says otherwise.

        Raises :class:`DatasetError` for what is no width.
        """
        width = self.details.get("fwhm_ev", FWHM_EV)
        if isinstance(width, bool) or not isinstance(width, int | float) or not FWHM_EV <= width <= LARGEST_FWHM_EV:
            raise DatasetError(f"record {self.id}: details.fwhm_ev is {width!r:.40}", "label the geometry again")
        return float(width)

    @property
    def reaches_ev(self) -> float:
        """Where the excitations behind an imported label end, in eV; inf where they go beyond the stored energies.

        Raises :class:`DatasetError` for what is no energy.
        """
        end = self.details.get("reaches_ev", np.inf)
        if isinstance(end, bool) or not isinstance(end, int | float) or not end > 0.0:
            raise DatasetError(f"record {self.id}: details.reaches_ev is {end!r:.40}", "label the geometry again")
        return float(end)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.numbers)

    def mirrored(self, name: str, hand: str) -> Record:
        """The record of the mirror image (x -> -x), called ``name``: the same absorption, every CD with opposite sign.

        Tensors turn with the geometry: an element that carries x an odd number of times changes sign once more.
        """
        flip = np.array([-1.0, 1.0, 1.0])
        both = np.outer(flip, flip)
        measured = self.details.get("chirality", {})
        turned = {key: -value if key.startswith("opd") else value for key, value in measured.items()}
        ligands = {}
        if "ligands" in self.details:
            ligands["ligands"] = {_other_hand(name): count for name, count in self.details["ligands"].items()}
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {
            "id": name,
            "hand": hand,
            "shell": "+".join(sorted(map(_other_hand, self.shell.split("+")), key=_ligand_of)),
            "positions": self.positions * flip,
            "delta_epsilon": -self.delta_epsilon,
            "delta_epsilon_length": -self.delta_epsilon_length,
            "absorption_tensor": self.absorption_tensor * both,
            "rotatory_tensor": -self.rotatory_tensor * both,
            "lowest_r_cgs": -self.lowest_r_cgs,
            "details": {**self.details, "chirality": turned, "mirror_image_of": self.id, **ligands},
        }
        return Record(**values)


def _other_hand(ligand: str) -> str:
    """The mirror image's name of a ligand, with or without a count before it: ``2R-TFL`` is ``2S-TFL``, SH is SH."""
    match = re.fullmatch(r"(\d*)([RS])-(.*)", ligand)
    return ligand if match is None else f"{match[1]}{'S' if match[2] == 'R' else 'R'}-{match[3]}"


def _ligand_of(term: str) -> str:
    return term.lstrip("0123456789")


def stored_positions(positions: FloatArray) -> FloatArray:
    """``positions`` (n, 3) rounded to single precision, as a record keeps them: label these, so that label and record
    belong together exactly."""
    return np.asarray(positions, dtype=np.float32).astype(np.float64)

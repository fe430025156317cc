"""One labelled geometry, and the columns it is stored in: names, shapes, units in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import Field, StringConstraints, model_validator

from clusterml.config.schema import Strict
from clusterml.errors import DatasetError, counted
from clusterml.typing import FloatArray, IntArray

SCHEMA_VERSION = 2
"""Version of the files; the first is still read (:mod:`clusterml.dataset.shards_v1`)."""


class SpectralGrid(Strict):
    """Energies and width of stored spectra.

    Bands of a Gaussian width are given back between the energies, to 1e-3 of the maximum, if these are not farther
    apart than 0.3 of the width (:func:`clusterml.training.targets.broadening_matrix`).
    """

    low_ev: float = Field(0.5, ge=0.0, le=5.0, description="a number from 0 to 5: the lowest energy (eV)")
    step_ev: float = Field(0.02, ge=0.005, le=0.5, description="a number: from one energy to the next (eV)")
    n_points: int = Field(251, ge=16, le=2000, description="a whole number: how many energies")
    fwhm_ev: float = Field(0.1, ge=0.05, le=2.0, description="a number: width of the bands (eV)")
    levels: int = Field(32767, ge=255, le=32767, description="a whole number: steps from 0 to a curve's maximum")
    lowest: bool = Field(
        True, description="true or false: are the lowest excitations kept one by one? They take a slower solver"
    )

    @model_validator(mode="after")
    def _fine_enough(self) -> SpectralGrid:
        if self.step_ev > 0.3 * self.fwhm_ev + 1e-9:
            raise ValueError(f"step_ev is {self.step_ev:g}: give at most 0.3 of fwhm_ev, {0.3 * self.fwhm_ev:.3g}")
        return self

    @property
    def energy_ev(self) -> FloatArray:
        """The energies (n_points,).  Not cached: a field that holds an array would make grids incomparable."""
        return np.round(self.low_ev + self.step_ev * np.arange(self.n_points), 9)


FINE = SpectralGrid()
"""0.50 to 5.50 eV in steps of 0.02 eV at 0.10 eV, with the lowest excitations: of datasets that name no grid."""
GRID_EV: FloatArray = FINE.energy_ev
"""Energies (251,) of :data:`FINE`."""
FWHM_EV = FINE.fwhm_ev
"""Width of :data:`FINE`; broader bands are made by :func:`clusterml.training.targets.broadening_matrix`."""
LARGEST_FWHM_EV = 2.0
"""Of an imported spectrum."""
N_LOWEST = 10
"""Excitations kept one by one."""
N_FRONTIER = 8
"""Orbital levels kept on either side of the gap."""
HISTOGRAM_EV: FloatArray = np.arange(-40, 41) / 5.0
"""Edges (81,) of the intervals in which orbital levels are counted, about the middle of the gap."""
STEPS = 1000
"""Positions are rounded to one of so many parts of an angstrom, before they are labelled; charges of shells to as many
of an elementary charge, orbital levels of an electronvolt."""

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
    """A column: ``shape`` of one record's value (empty: a scalar; "energies": of the grid; "shells": of the atoms),
    ``dtype`` (curve: whole parts of the largest value), ``unit``, ``meaning``; an ``optional`` one may be empty."""

    name: str
    shape: tuple[int | Literal["energies", "shells"], ...]
    dtype: str
    unit: str
    meaning: str
    optional: bool = False

    def shape_on(self, grid: SpectralGrid) -> tuple[int, ...]:
        """The shape of one record's value on ``grid``; -1 for the number of shells."""
        sizes = {"energies": grid.n_points, "shells": -1}
        return tuple(n if isinstance(n, int) else sizes[n] for n in self.shape)


_DE = "L mol-1 cm-1"
_E: tuple[Literal["energies"]] = ("energies",)
COLUMNS: tuple[Column, ...] = (
    Column("id", (), "str", "", "name of the record, unique in a dataset"),
    Column("kind", (), "str", "", f"how the geometry came about: {', '.join(KINDS)}"),
    Column("parent", (), "str", "", "the cluster it was made from"),
    Column("family", (), "str", "", "parents that are the same cluster up to ligands and hand"),
    Column("shell", (), "str", "", "ligand shell, in the names of the ligand library"),
    Column("hand", (), "str", "", "R, S, P, M, or 0 for a parent that has none"),
    Column("pair", (), "str", "", "records of one geometry, its mirror image and its snapshots share this name"),
    Column("method", (), "str", "", "protocol of the label"),
    Column("charge", (), "i2", "e", "total charge"),
    Column("n_snapshots", (), "i4", "", "geometries averaged over (1 for a single geometry)"),
    Column("gap_ev", (), "f4", "eV", "HOMO-LUMO gap of the ground state"),
    Column("epsilon", _E, "curve", _DE, "absorption, length gauge"),
    Column("epsilon_velocity", _E, "curve", _DE, "absorption, velocity gauge"),
    Column("delta_epsilon", _E, "curve", _DE, "CD, velocity gauge"),
    Column("delta_epsilon_length", _E, "curve", _DE, "CD, length gauge, origin at the centroid"),
    Column("epsilon_std", _E, "curve", _DE, "standard deviation over the snapshots (0 for a single geometry)"),
    Column("delta_epsilon_std", _E, "curve", _DE, "standard deviation over the snapshots (0 for a single geometry)"),
    Column("absorption_tensor", (*_E, 3, 3), "curve", _DE, "its trace is epsilon_velocity; symmetric"),
    Column("rotatory_tensor", (*_E, 3, 3), "curve", _DE, "its trace is delta_epsilon"),
    Column("lowest_ev", (N_LOWEST,), "f4", "eV", "lowest excitations; 0 where there are fewer, or none are kept"),
    Column("lowest_f", (N_LOWEST,), "f4", "", "their oscillator strengths, length gauge"),
    Column("lowest_r_cgs", (N_LOWEST,), "f4", "1e-40 cgs", "their rotatory strengths, velocity gauge"),
    Column("shell_charges", ("shells",), "i2", "0.001 e", "Mulliken charges of the shells, atom by atom", True),
    Column(
        "levels_ev",
        (2 * N_FRONTIER,),
        "i4",
        "0.001 eV",
        "orbital levels about the middle of the gap, eight occupied and eight empty",
        True,
    ),
    Column(
        "level_histogram", (len(HISTOGRAM_EV) - 1,), "u2", "", "orbital levels in each 0.2 eV about that middle", True
    ),
    Column("details", (), "json", "", "distortions, ligands, chirality measures, provenance, timings, warnings"),
)


@dataclass(frozen=True, eq=False)
class Record:
    """One labelled geometry.

    ``numbers`` (n,) and ``positions`` (n, 3) in A, rounded to 0.001 A, as labelled; ``grid``: of the spectra; the other
    fields are the :data:`COLUMNS`.  Raises :class:`DatasetError` naming record and field if a shape is wrong or a
    number not finite.
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
    epsilon_std: FloatArray = field(default_factory=lambda: np.zeros(0))
    delta_epsilon_std: FloatArray = field(default_factory=lambda: np.zeros(0))
    shell_charges: FloatArray = field(default_factory=lambda: np.zeros(0))
    levels_ev: FloatArray = field(default_factory=lambda: np.zeros(0))
    level_histogram: FloatArray = field(default_factory=lambda: np.zeros(0))
    details: dict[str, Any] = field(default_factory=dict)
    grid: SpectralGrid = FINE

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
        for name in ("epsilon_std", "delta_epsilon_std"):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.zeros(self.grid.n_points))
        for column in COLUMNS:
            if column.dtype not in ("str", "json"):
                self._check(column)

    def _check(self, column: Column) -> None:
        value, expected = np.asarray(getattr(self, column.name)), column.shape_on(self.grid)
        of_any_length = column.optional and (value.shape == (0,) or (expected == (-1,) and value.ndim == 1))
        if value.shape != expected and not of_any_length:
            raise DatasetError(f"record {self.id}: {column.name} has shape {value.shape}", f"{expected} is expected")
        if not np.isfinite(value).all():
            raise DatasetError(f"record {self.id}: {column.name} is not finite", "label the geometry again")

    @property
    def fwhm_ev(self) -> float:
        """Width of the bands of the spectra, in eV: that of the grid unless ``details["fwhm_ev"]`` says otherwise.

        Raises :class:`DatasetError` for what is no width.
        """
        least = self.grid.fwhm_ev
        width = self.details.get("fwhm_ev", least)
        if isinstance(width, bool) or not isinstance(width, int | float) or not least <= width <= LARGEST_FWHM_EV:
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
    def missing(self) -> set[str]:
        """Columns that the label does not have and that are stored as zeros."""
        return set(self.details.get("missing", ()))

    def standard_error(self, name: Literal["epsilon", "delta_epsilon"]) -> FloatArray:
        """How far the mean over the snapshots may be from that over all (m,), in L mol-1 cm-1; 0 for one geometry."""
        spread: FloatArray = getattr(self, f"{name}_std")
        return spread / np.sqrt(self.n_snapshots)

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
    """``positions`` (n, 3) rounded to 0.001 A, as a record keeps them: label these, so that label and record belong
    together exactly."""
    return np.asarray(np.rint(np.asarray(positions, dtype=np.float64) * STEPS) / STEPS)

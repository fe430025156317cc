"""The records of a dataset as arrays, and the small numbers and drawings that several checks need."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

import clusterml
from clusterml.dataset.reader import Dataset
from clusterml.dataset.record import FWHM_EV, GRID_EV
from clusterml.dataset.summary import chirality, spectral_numbers
from clusterml.spectrum.files import write_text

STEP_EV = float(GRID_EV[1] - GRID_EV[0])
NOISE = "thermal-noise"
CD_UNIT = "L mol⁻¹ cm⁻¹"


@dataclass
class Data:
    """Columns of the records of one protocol: ``text`` columns by name, spectra (n, 251), ``numbers``, ``measures``."""

    dataset: Dataset
    method: str
    ids: list[str]
    text: dict[str, np.ndarray]
    details: list[dict]
    epsilon: np.ndarray
    cd: np.ndarray
    numbers: dict[str, np.ndarray]
    measures: dict[str, np.ndarray]
    atoms: list[np.ndarray]
    positions: list[np.ndarray]

    def where(self, **wanted) -> np.ndarray:
        """Indices of the records whose text columns have these values."""
        found = np.ones(len(self.ids), dtype=bool)
        for name, value in wanted.items():
            found &= self.text[name] == value
        return np.flatnonzero(found)

    def reference(self, parent) -> int | None:
        """Index of the parent's own record, or None."""
        found = self.where(parent=parent, kind="reference")
        return int(found[0]) if len(found) else None

    def is_mirror(self, index) -> bool:
        """Was the record computed by symmetry from another one?"""
        return "mirror_image_of" in self.details[index]

    @property
    def parents(self) -> list[str]:
        """Parents in order of their size."""
        size = {p: np.mean(self.numbers["n_atoms"][self.where(parent=p)]) for p in set(self.text["parent"])}
        return sorted(size, key=lambda p: (size[p], p))


def load(folder: Path) -> Data:
    """The records of the protocol that most of them have."""
    dataset = Dataset(folder)
    methods = np.array(dataset.column("method"))
    method = Counter(methods).most_common(1)[0][0]
    rows = np.flatnonzero(methods == method)
    names = ("parent", "family", "shell", "hand", "kind", "pair")
    details = dataset.column("details")
    records = [dataset[int(row)] for row in rows]
    return Data(
        dataset,
        method,
        [dataset.ids[row] for row in rows],
        {name: np.array(dataset.column(name))[rows] for name in names},
        [details[row] for row in rows],
        dataset.column("epsilon")[rows],
        dataset.column("delta_epsilon")[rows],
        {name: values[rows] for name, values in spectral_numbers(dataset).items()},
        {name: values[rows] for name, values in chirality(dataset).items()},
        [record.numbers for record in records],
        [record.positions for record in records],
    )


def label_again(data, index, positions, keep, name, **settings):
    """(epsilon, delta_epsilon) by the engine for other positions (n, 3) of a record's atoms.

    Settings not given are those of the record.  A file ``name`` in ``keep`` is read instead if it is there.
    """
    kept = keep / f"{name}.json"
    if not kept.exists():
        engine = data.details[index]["provenance"]["engine"]
        options = {"emax_ev": engine["emax_ev"], "dtype": engine["dtype"], "orbitals": data.method, **settings}
        charge = data.dataset.find(data.ids[index]).charge
        atoms = Atoms(data.atoms[index], positions)
        found = clusterml.label(atoms, charge, fwhm_ev=FWHM_EV, grid=GRID_EV, groups={}, **options).spectrum
        write_text(kept, json.dumps([found.epsilon.tolist(), found.delta_epsilon.tolist()]))
    return np.array(json.loads(kept.read_text(encoding="ascii")))


def broader(spectra, fwhm_ev):
    """Stored spectra broadened to ``fwhm_ev``."""
    if fwhm_ev <= FWHM_EV:
        return spectra
    return gaussian_filter1d(spectra, np.sqrt(fwhm_ev**2 - FWHM_EV**2) / 2.354820 / STEP_EV, axis=-1)


def size(spectra):
    """Root of the integral of the squared spectrum: its length as a vector, L mol-1 cm-1 eV^0.5."""
    return np.sqrt((np.asarray(spectra) ** 2).sum(axis=-1) * STEP_EV)


def cosine(first, second):
    """Similarity of two spectra, -1 to 1; NaN for an empty one."""
    product = np.linalg.norm(first) * np.linalg.norm(second)
    return float(first @ second / product) if product > 0.0 else float("nan")


def rms_apart(first, second):
    """Root-mean-square distance (A) of two geometries with the same atoms, turned onto each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # linear or planar ones have several best turns: all as good
        _, distance = Rotation.align_vectors(first - first.mean(axis=0), second - second.mean(axis=0))
    return float(distance / np.sqrt(len(first)))


def table(head, rows) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(value) for value in row) + " |" for row in rows)])


def save(figure: Figure, path: Path, dpi=110) -> None:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)

"""Is a structure like those the network was trained on?  Its composition, and its distance in the network's features.

The features of a structure are means over its atoms.  They are whitened with the scatter *within* families (structures
of the same metal core and ligands): a distance counts in units of what distortions and heat do to one cluster, not of
how clusters differ from each other.  What happens to each of n atoms by itself averages out as 1/sqrt(n); what happens
to all of them alike (a frame contracted by another method, ligands in another order) does not.  So scatter and
distances are taken times the square root of the number of metal atoms, and a geometry from elsewhere stands out.

The score of a structure is its distance from the nearest of some training structures, spread evenly over them, divided
by the distance that 99 % of records which took no part in training stay within: up to 1 is in the domain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import DatasetError, InputFileError
from clusterml.inference.calibration import Novelty
from clusterml.io.files import check_regular, write_bytes
from clusterml.model.upgrade import DOMAIN
from clusterml.structure.anatomy.ligands import Ligand, find_ligands
from clusterml.structure.anatomy.superatom import signed_charge
from clusterml.structure.elements import formula, is_metal
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from ase import Atoms


_LARGER = 1.25
"""A cluster may have this many times the metal atoms of the largest in training."""


@dataclass(frozen=True)
class Composition:
    """What a structure consists of: symbols of ``elements`` and ``metals``, ``ligands``: their classes (see
    :func:`ligand_class`), ``species``: their formulas, ``core``: formula of the metals, ``n_metals``, ``charge``."""

    elements: frozenset[str]
    metals: frozenset[str]
    ligands: frozenset[str]
    n_metals: int
    charge: int
    core: str
    species: frozenset[str]


def composition(atoms: Atoms, charge: int) -> Composition:
    """The composition of ``atoms`` with total ``charge``."""
    symbols = np.array(atoms.get_chemical_symbols())
    metal = is_metal(np.asarray(atoms.numbers, dtype=np.int64))
    ligands = find_ligands(atoms)
    return Composition(
        elements=frozenset(symbols.tolist()),
        metals=frozenset(symbols[metal].tolist()),
        ligands=frozenset(ligand_class(ligand, symbols) for ligand in ligands),
        n_metals=int(metal.sum()),
        charge=int(charge),
        core=formula(atoms.numbers[metal]),
        species=frozenset(ligand.formula for ligand in ligands),
    )


def ligand_class(ligand: Ligand, symbols: Any) -> str:
    """Class of a ligand: donor elements, charge, and whether it is a bare ion: ``S 1-`` (thiolate), ``S 2- ion``.

    ``symbols`` (n,): of the structure.  A molecule that no metal binds is ``free``.
    """
    donors = "+".join(sorted(set(symbols[ligand.donors].tolist()))) or "free"
    bare = " ion" if len(ligand.atoms) == 1 else ""
    charge = f"{abs(ligand.charge)}{'-' if ligand.charge > 0 else '+'}" if ligand.charge else "neutral"
    return f"{donors} {charge}{bare}"


@dataclass(frozen=True)
class KnownCompositions:
    """The range of compositions in training: names sorted, ``n_metals`` and ``charge`` from smallest to largest.

    ``cores`` and ``species`` (formulas of metal cores and of ligands) are empty where an older file does not know them.
    """

    elements: tuple[str, ...]
    metals: tuple[str, ...]
    ligands: tuple[str, ...]
    n_metals: tuple[int, int]
    charge: tuple[int, int]
    cores: tuple[str, ...] = ()
    species: tuple[str, ...] = ()

    @classmethod
    def of(cls, compositions: Iterable[Composition]) -> KnownCompositions:
        """The range of ``compositions``, of which there is at least one."""
        rows = list(compositions)
        counts, charges = [row.n_metals for row in rows], [row.charge for row in rows]
        return cls(
            _names(row.elements for row in rows),
            _names(row.metals for row in rows),
            _names(row.ligands for row in rows),
            (min(counts), max(counts)),
            (min(charges), max(charges)),
            tuple(sorted({row.core for row in rows})),
            _names(row.species for row in rows),
        )

    @classmethod
    def from_dict(cls, values: Any, source: str) -> KnownCompositions:
        """What :meth:`to_dict` gave; raises :class:`InputFileError` naming ``source`` if it is anything else."""
        try:
            elements, metals, ligands, cores, species = (
                tuple(str(x) for x in names)
                for names in (
                    *(values[key] for key in ("elements", "metals", "ligands")),
                    *(values.get(key, ()) for key in ("cores", "species")),
                )
            )
            (low, high), (least, most) = ([int(x) for x in values[key]] for key in ("n_metals", "charge"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"{source}: has no composition rules ({error!r})"
            raise InputFileError(problem, "get the checkpoint again") from error
        return cls(elements, metals, ligands, (low, high), (least, most), cores, species)

    def to_dict(self) -> dict[str, Any]:
        """The ranges as plain JSON values."""
        return asdict(self)

    def objections(self, structure: Composition) -> list[str]:
        """A sentence for everything in ``structure`` that training did not hold; empty if there is nothing."""
        reasons = []
        if not structure.metals:
            reasons.append(f"there is no metal atom (training data: {', '.join(self.metals)} clusters)")
        for kind, words in (("elements", "elements"), ("ligands", "ligands of the class")):
            unknown = sorted(getattr(structure, kind) - set(getattr(self, kind)))
            if unknown:
                reasons.append(f"training data have no {words} {', '.join(unknown)}")
        low, high = self.n_metals
        if structure.metals and not low <= structure.n_metals <= _LARGER * high:
            reasons.append(f"{structure.n_metals} metal atoms, training data have {low} to {high}")
        least, most = self.charge
        if not least <= structure.charge <= most:
            span = f"{signed_charge(least)} to {signed_charge(most)}"
            reasons.append(f"charge {signed_charge(structure.charge)}, training data have {span}")
        return reasons

    def novelty(self, structure: Composition) -> tuple[Novelty | None, str]:
        """What is new in ``structure`` to networks of this training, a ``cluster``'s core before a ``ligand``, and a
        sentence that says so."""
        if self.cores and structure.core not in self.cores:
            return "cluster", f"training data have no cluster with the core {structure.core or 'of no metal'}"
        unknown = sorted(structure.species - set(self.species)) if self.species else []
        if unknown:
            return "ligand", f"training data have no ligand {', '.join(unknown)}"
        return None, ""


def _names(sets: Iterable[frozenset[str]]) -> tuple[str, ...]:
    return tuple(sorted(frozenset().union(*sets)))


MOST_REFERENCES = 1024
"""Training structures that are kept."""
SMALLEST_SCATTER = 1e-3
"""Components with less scatter than this share of the largest count as if they had it: rounding is no distance."""
LEAST_OF_A_FAMILY = 5
"""Training structures of a family from which its scatter is measured."""
SHARE_INSIDE = 0.99
"""Share of held-out records whose score is at most 1."""
_ARRAYS = ("mean", "axes", "references", "limit")
_SIZE_POWER = 0.5


@dataclass(frozen=True)
class DomainReport:
    """``score``: 0 (a training structure) upwards, at most 1 in the domain; ``reasons``: why not, empty if it is."""

    score: float
    reasons: tuple[str, ...]

    @property
    def in_domain(self) -> bool:
        """True where nothing speaks against it."""
        return not self.reasons


@dataclass(frozen=True, eq=False)
class Domain:
    """What a network was trained on.

    ``mean`` (f,) and ``axes`` (f, k) whiten features (f,); ``references`` (r, k): training structures, whitened;
    ``limit``: distance that counts as score 1; ``compositions``: their range; ``size_power``: the power of the
    number of metals that distances are multiplied by (0 in files of version 0.1).
    """

    mean: FloatArray
    axes: FloatArray
    references: FloatArray
    limit: float
    compositions: KnownCompositions
    size_power: float = _SIZE_POWER

    def scores(self, features: FloatArray, n_metals: Sequence[int]) -> FloatArray:
        """Scores (g,) of structures with ``features`` (g, f) and ``n_metals`` (g,) metal atoms."""
        nearest = _nearest((features - self.mean) @ self.axes, self.references)
        return nearest * _sizes(n_metals) ** self.size_power / self.limit

    def report(self, score: float, structure: Composition) -> DomainReport:
        """Score and composition together."""
        reasons = self.compositions.objections(structure)
        if not score <= 1.0:
            reasons.append(
                f"its geometry is {score:.1f} times as far from the training data as known clusters are at most"
            )
        return DomainReport(float(score), tuple(reasons))


def fit_domain(
    training: FloatArray,
    held_out: FloatArray,
    compositions: Sequence[Composition],
    held_out_compositions: Sequence[Composition],
    *,
    seed: int = 0,
) -> Domain:
    """The domain of ``training`` features (n, f) with their ``compositions`` (n,); ``held_out`` (h, f) are the features
    of records that took no part.

    Raises :class:`DatasetError` for fewer than 2 training records or no held-out ones.
    """
    if len(training) < 2 or not len(held_out):
        raise DatasetError(
            f"{len(training)} training and {len(held_out)} held-out records cannot describe a domain",
            "use more records",
        )
    mean = training.mean(axis=0)
    weights = _sizes([entry.n_metals for entry in compositions])[:, None] ** _SIZE_POWER
    axes = _whitening(_scatter(training - mean, compositions) * weights)
    projected = (training - mean) @ axes
    references = projected[_spread_evenly(projected * weights, MOST_REFERENCES, seed)]
    domain = Domain(mean, axes, references, 1.0, KnownCompositions.of(compositions))
    distances = domain.scores(held_out, [entry.n_metals for entry in held_out_compositions])
    return replace(domain, limit=max(float(np.quantile(distances, SHARE_INSIDE)), 1e-6))


def write_domain(domain: Domain, path: Path) -> Path:
    """Write ``domain`` as safetensors (single precision), the rules in its metadata, atomically."""
    from safetensors.numpy import save

    # safetensors writes the buffer as it lies: a transposed array would come back scrambled
    arrays = {name: np.ascontiguousarray(getattr(domain, name), dtype=np.float32) for name in _ARRAYS}
    return write_bytes(path, save(arrays, metadata=_metadata(domain)))


def read_domain(path: Path) -> Domain:
    """The domain that :func:`write_domain` wrote; raises :class:`InputFileError` naming a file that holds none."""
    from safetensors import SafetensorError, safe_open

    check_regular(path, links=False)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays: dict[str, Any] = {name: file.get_tensor(name).astype(np.float64) for name in _ARRAYS}
            metadata = _upgrade_metadata(file.metadata() or {}, path)
            rules, power = json.loads(metadata["known"]), float(metadata["size_power"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputFileError(f"{path}: holds no domain of a network ({error})", "get the checkpoint again") from error
    mean, axes, references = (arrays[name] for name in _ARRAYS[:3])
    shapes = [array.ndim for array in arrays.values()] == [1, 2, 2, 1]
    fits = shapes and axes.shape == (len(mean), references.shape[1]) and len(references) > 0
    sound = all(np.isfinite(values).all() for values in arrays.values()) and 0.0 <= power <= 1.0
    if not fits or not sound or arrays["limit"].min() <= 0.0:
        raise InputFileError(f"{path}: the arrays of the domain do not fit together", "get the checkpoint again")
    compositions = KnownCompositions.from_dict(rules, str(path))
    return Domain(mean, axes, references, float(arrays["limit"].item()), compositions, power)


def _metadata(domain: Domain) -> dict[str, str]:
    compositions = json.dumps(domain.compositions.to_dict())
    return {"schema_version": str(DOMAIN.newest), "known": compositions, "size_power": str(domain.size_power)}


def _upgrade_metadata(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """Metadata of any version as the newest has them; files of 0.1 do not say theirs, and then a growth or none."""
    version = int(metadata.get("schema_version", DOMAIN.newest if "size_power" in metadata else 1))
    return DOMAIN.apply({**metadata, "schema_version": version}, str(path))


def _sizes(n_metals: Sequence[int]) -> FloatArray:
    return np.maximum(np.asarray(n_metals, dtype=np.float64), 1.0)


def _scatter(features: FloatArray, compositions: Sequence[Composition]) -> FloatArray:
    """``features`` (n, f) less the mean of their family; those of families too small to have one become 0.

    Where no family is large enough all structures count as one.
    """
    families = np.array([f"{entry.core} {' '.join(sorted(entry.species))}" for entry in compositions])
    names, members, counts = np.unique(families, return_inverse=True, return_counts=True)
    if counts.max() < LEAST_OF_A_FAMILY:
        return features - features.mean(axis=0)
    sums = np.zeros((len(names), features.shape[1]))
    np.add.at(sums, members, features)
    centred = features - (sums / counts[:, None])[members]
    return np.asarray(np.where((counts >= LEAST_OF_A_FAMILY)[members][:, None], centred, 0.0))


def _whitening(scatter: FloatArray) -> FloatArray:
    """Axes (f, k) along the principal components of ``scatter`` (n, f), scaled to unit variance."""
    scale = np.maximum(scatter.std(axis=0), 1e-12)
    _, singular, rows = np.linalg.svd(scatter / scale / np.sqrt(len(scatter)), full_matrices=False)
    significant = singular > 1e-6 * singular[0]
    deviation = np.hypot(singular[significant], SMALLEST_SCATTER * singular[0])
    return np.asarray(rows[significant].T / deviation / scale[:, None])


def _spread_evenly(points: FloatArray, most: int, seed: int) -> list[int]:
    """Indices of at most ``most`` points, each the one farthest from those before it."""
    indices = [int(np.random.default_rng(seed).integers(len(points)))]
    distance = np.linalg.norm(points - points[indices[0]], axis=1)
    while len(indices) < min(most, len(points)):
        indices.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[indices[-1]], axis=1))
    return indices


def _nearest(points: FloatArray, references: FloatArray) -> FloatArray:
    """Distance (g,) of each of ``points`` (g, k) from the nearest of ``references`` (r, k)."""
    return np.array([np.linalg.norm(references - point, axis=1).min() for point in points])

"""Contributions of the atoms and parts of a cluster to the integral of its CD over a band, and those of a label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from typing import Protocol as Contract

import numpy as np

from clusterml.engine.label import Label
from clusterml.engine.orbitals.functional import read_functional
from clusterml.engine.orbitals.source import SOURCES
from clusterml.engine.output import label_dict, label_method
from clusterml.engine.response.atoms import atom_contributions
from clusterml.engine.response.contour import ContourSpectra
from clusterml.errors import OptionError, check_kind
from clusterml.io.display import card, small_table, wrapped
from clusterml.spectrum.curves import band_weights
from clusterml.spectrum.picture import spectra_picture
from clusterml.spectrum.significance import Significance, has_no_cd
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.elements import structure_name
from clusterml.structure.picture import signed_colours, structure_picture
from clusterml.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Protocol

UNIT = "L mol-1 cm-1 eV"
"""Unit of contributions: that of the integral of delta epsilon over energy."""
_REMEDY = "take orbitals without Fock exchange, such as gfn1-pbe, and leave --states out"


@dataclass(frozen=True)
class ContributionPart:
    """A part of a cluster: indices of its ``atoms`` and its contribution with the standard deviation between networks
    (None without several)."""

    atoms: IntArray
    value: float
    std: float | None = None


class Explained(Contract):
    """A label or a prediction."""

    @property
    def atoms(self) -> Atoms:
        """The structure."""

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for people."""

    @property
    def charge(self) -> int:
        """In units of e."""

    @property
    def spectrum(self) -> Spectrum:
        """Absorption and CD."""


@dataclass(frozen=True, repr=False, eq=False)
class Contributions(ABC):
    """Contributions to the integral of delta epsilon from ``low_ev`` to ``high_ev``, in L mol-1 cm-1 eV.

    ``per_atom`` (n,) and ``per_atom_std`` (n,), None without several networks; ``parts``: by name, each atom in exactly
    one; ``total``: of all atoms, the integral itself.  Standard deviations are those between networks, without
    calibration.
    """

    low_ev: float
    high_ev: float
    per_atom: FloatArray
    per_atom_std: FloatArray | None
    parts: dict[str, ContributionPart]
    total: ContributionPart

    @property
    @abstractmethod
    def result(self) -> Explained:
        """What the CD that is shared out is of."""

    @property
    @abstractmethod
    def method(self) -> str:
        """Who says so: a network or a method."""

    @property
    def atoms(self) -> Atoms:
        """The structure."""
        return self.result.atoms

    @property
    def charge(self) -> int:
        """Its charge, in units of e."""
        return self.result.charge

    @property
    def name(self) -> str:
        """Its name."""
        return structure_name(self.atoms)

    @property
    def spectrum(self) -> Spectrum:
        """The spectrum whose CD is shared out."""
        return self.result.spectrum

    @property
    def warnings(self) -> Sequence[str]:
        """Sentences for people."""
        return self.result.warnings

    @property
    @abstractmethod
    def significance(self) -> Significance:
        """Whether the sign of the total is sure."""

    @property
    @abstractmethod
    def verdict(self) -> str:
        """A sentence about the total."""

    @abstractmethod
    def result_dict(self) -> dict[str, Any]:
        """The JSON of the result whose CD is shared out."""

    @property
    def title(self) -> str:
        """Structure and band."""
        return f"{self.name}: CD from {self.low_ev:g} to {self.high_ev:g} eV"

    def __repr__(self) -> str:
        """Band, total and the largest parts."""
        largest = sorted(self.parts.items(), key=lambda item: -abs(item[1].value))[:4]
        parts = ", ".join(f"{name} {part.value:+.3g}" for name, part in largest)
        band = f"{self.low_ev:.2f} to {self.high_ev:.2f} eV"
        return wrapped(f"Contributions({band}: {self.total.value:+.3g} {UNIT}, {self.verdict}; {parts})")

    def _repr_html_(self) -> str:
        """Atoms by what they contribute (blue negative, red positive), spectrum and parts, for notebooks."""
        colours = signed_colours(self.per_atom, float(np.abs(self.per_atom).max(initial=0.0)))
        rows = [(name, f"{part.value:+.3g}") for name, part in self.parts.items()]
        table = small_table(rows, ("part", UNIT))
        return card(repr(self), [structure_picture(self.atoms, colours), table, spectra_picture([self.spectrum])])

    def to_dict(self) -> dict[str, Any]:
        """The JSON of the result with the block ``contributions``; indices of atoms are from 0."""
        parts = {
            name: {"value": part.value, "std": part.std, "atoms": part.atoms.tolist()}
            for name, part in self.parts.items()
        }
        block = {
            "band_ev": [self.low_ev, self.high_ev],
            "unit": UNIT,
            "total": {"value": self.total.value, "std": self.total.std},
            "significance": self.significance.to_dict(),
            "parts": parts,
            "per_atom": self.per_atom.tolist(),
            "per_atom_std": None if self.per_atom_std is None else self.per_atom_std.tolist(),
        }
        return {**self.result_dict(), "contributions": block}


@dataclass(frozen=True, repr=False, eq=False)
class LabelContributions(Contributions):
    """Contributions to the CD of a ``label``: exact, see :mod:`clusterml.engine.response.atoms`."""

    label: Label

    @property
    def result(self) -> Label:
        """The label."""
        return self.label

    @property
    def method(self) -> str:
        """Such as ``GFN1-PBE linear response``."""
        return label_method(self.label)

    @cached_property
    def significance(self) -> Significance:
        """``computed``, or ``no CD``."""
        if has_no_cd(self.spectrum):
            return Significance("no CD")
        return Significance("computed", None, self.total.value)

    @property
    def verdict(self) -> str:
        """What the CD as a whole is worth."""
        return "no CD" if self.significance.verdict == "no CD" else self.label.reliability.headline

    def result_dict(self) -> dict[str, Any]:
        """The label's JSON."""
        return label_dict(self.label)


def label_contributions(label: Label, low_ev: float, high_ev: float) -> LabelContributions:
    """The contributions of all atoms and parts to the CD of ``label`` from ``low_ev`` to ``high_ev``.

    Raises :class:`OptionError` for a band that is not within the spectrum, and for a label whose CD cannot be shared
    out: of orbitals with Fock exchange, in the length gauge, with every excitation, or of an ensemble.

    Examples:
        >>> import clusterml as cm
        >>> atoms = cm.distort(cm.build("ag4", thiolate="SH"), "shear", 5.0)
        >>> shares = cm.label_contributions(cm.label(atoms), 4.0, 5.0)
        >>> bool(abs(shares.per_atom.sum() - shares.total.value) < 1e-6)
        True
    """
    check_kind(label, Label, "a label", "give what clusterml.label returns")
    spectrum, response, protocol = label.spectrum, label.response, label.protocol
    check_band(spectrum.energy_ev, low_ev, high_ev)
    check_shared_out(protocol)
    if not isinstance(response, ContourSpectra):
        method = f"{label_method(label)} with solver {label.provenance['solver']}"
        raise OptionError(f"the CD of {method} cannot be shared out", _REMEDY)
    weights = band_weights(spectrum.energy_ev, low_ev, high_ev)
    basis = label.orbitals.basis
    per_atom = atom_contributions(response, basis, spectrum.energy_ev, weights, protocol.fwhm_ev)
    parts = {
        name: ContributionPart(indices, float(per_atom[indices].sum()))
        for name, indices in exclusive_parts(label.atoms).items()
    }
    total = ContributionPart(np.arange(len(per_atom)), float(per_atom.sum()))
    return LabelContributions(low_ev, high_ev, per_atom, None, parts, total, label)


def check_shared_out(protocol: Protocol) -> None:
    """Raise :class:`OptionError` for a ``protocol`` that gives no CD that can be shared out, whatever the structure."""
    if protocol.ensemble is not None:
        raise OptionError("contributions are those of one geometry, not of an ensemble", "leave --ensemble out")
    if protocol.gauge != "velocity":
        raise OptionError("in the length gauge contributions depend on the origin", "take gauge velocity")
    if protocol.solver == "states":
        raise OptionError("a CD computed by its excitations (--states) cannot be shared out", _REMEDY)
    exchange = protocol.ax if protocol.xc is None else read_functional(protocol.xc).ax
    if exchange or protocol.mode == "reference" or SOURCES.named(protocol.orbitals, "orbitals").exchange:
        whose = f"xc {protocol.xc}" if protocol.xc is not None else f"{protocol.orbitals} orbitals"
        raise OptionError(f"the CD of {whose} cannot be shared out: it has Fock exchange", _REMEDY)


def check_band(energy: FloatArray, low_ev: float, high_ev: float) -> None:
    """Raise :class:`OptionError` for a band that is not within a spectrum on ``energy`` (m,), eV."""
    if not energy[0] <= low_ev < high_ev <= energy[-1]:
        raise OptionError(
            f"the band is {low_ev:g} to {high_ev:g} eV", f"choose one within {energy[0]:.2f} to {energy[-1]:.2f} eV"
        )


def exclusive_parts(atoms: Atoms) -> dict[str, IntArray]:
    """Parts of a cluster that share no atom and leave none out: ``kernel``, ``shell 1`` .. inside out, the ligands by
    name, and ``not bonded`` for solvent and counter-ions."""
    structure = anatomy(atoms)
    parts: dict[str, list[IntArray]] = {"kernel": [structure.kernel]}
    parts |= {f"shell {number}": [shell] for number, shell in enumerate(structure.shells, start=1)}
    for ligand in structure.ligands:
        parts.setdefault(ligand.name, []).append(ligand.atoms)
    joined = {name: np.sort(np.concatenate(indices)) for name, indices in parts.items()}
    rest = np.setdiff1d(np.arange(len(atoms)), np.concatenate(list(joined.values())))
    return {name: indices for name, indices in (joined | {"not bonded": rest}).items() if len(indices)}

"""How far the CD of a label protocol is from density functional theory, as measured on clusters of its kind.

A reference set holds geometries with spectra of Kohn-Sham orbitals (PBE).  Each protocol labelled the same geometries
(``scripts/make_protocol_table.py``), and ``data/label_errors.json`` keeps what came out, by kind of cluster and width
of the bands:

* the error of delta_epsilon at an energy, in units of the *local scale* of the protocol's own CD there: the root mean
  square of the CD, weighted with a Gaussian of 1 eV about that energy.  1.645 errors hold 90 % of the deviations;
* a slope a, so that the sign of a CD band of height h at local scale s is right with the probability
  Phi(a |h| / s), which is the form it has for normal errors (:mod:`clusterml.spectrum.significance`);
* cosines of the CD with the reference's, and the shift of all energies that fits best.

A mirror image has the same error, and one without CD has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.config.schema import Strict
from clusterml.engine.choices import PUBLISHED, REFITTED
from clusterml.engine.parameters import data_tables
from clusterml.errors import counted
from clusterml.io.files import sha256
from clusterml.spectrum.compare import START, stated_width
from clusterml.spectrum.peaks import Peak, find_bands
from clusterml.spectrum.significance import SURE, has_no_cd, judge_sign
from clusterml.spectrum.spectrum import Spectrum
from clusterml.structure.anatomy.superatom import superatom_electrons
from clusterml.structure.elements import is_metal
from clusterml.typing import FloatArray
from clusterml.units import FWHM_PER_SIGMA, ev_to_nm

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.protocol import Protocol

Kind = Literal["superatom", "silver(I) complex"]
"""Silver clusters with and without free electrons."""

LOCAL_FWHM_EV = 1.0
"""Width of the Gaussian that a local scale is averaged with."""
SMALLEST_SCALE = 0.15
"""A local scale is at least this share of the largest one of the spectrum: where there is no CD an error remains."""
SMALLEST_BAND = 0.05
"""A CD band counts from this share of the highest."""
LARGER = 1.25
"""A cluster of more than this many times the metals of the largest that was measured is of another kind."""
_SCALE_STEP_EV = 0.02
_SILVER = 47
_KOHN_SHAM = ("dft", "cp2k")
_SAME_EV = 1e-9
_CLEARLY = 0.15
"""By how much a cosine must be larger to be worth a word."""


class Measured(Strict):
    """What was measured of one protocol on the clusters of one kind.

    Lists go over the widths of the table, ``error`` (widths, energies) over its energies too.  ``clusters`` of which
    ``geometries`` were compared; ``absorption``, ``cosine``: means over clusters of the cosines with the reference,
    ``shifted``: that of the CD with all energies moved by ``shift_ev``; ``sign_slope``: a of the sign's probability.
    """

    clusters: int
    geometries: int
    shift_ev: float
    absorption: tuple[float, ...]
    cosine: tuple[float, ...]
    shifted: tuple[float, ...]
    error: tuple[tuple[float, ...], ...]
    sign_slope: tuple[float, ...]


class ErrorTable(Strict):
    """All that was measured: ``records`` of ``dataset`` (name -> hash of geometry and spectrum) by ``method``, with at
    most ``metals`` metal atoms; the widths and energies that lists go over, in eV; protocol -> kind -> numbers."""

    dataset: str
    method: str
    records: dict[str, str]
    metals: int
    widths_ev: tuple[float, ...]
    energies_ev: tuple[float, ...]
    protocols: dict[str, dict[Kind, Measured]]

    def at_width(self, values: Sequence[float] | Sequence[Sequence[float]], fwhm_ev: float) -> FloatArray:
        """``values`` over the widths, interpolated to ``fwhm_ev``; beyond the largest width they stay the same."""
        table = np.asarray(values, dtype=np.float64)
        columns = table.reshape(len(self.widths_ev), -1).T
        wanted = np.array([np.interp(fwhm_ev, self.widths_ev, column) for column in columns])
        return wanted.reshape(table.shape[1:])


@lru_cache(maxsize=1)
def error_table() -> ErrorTable:
    """The table that travels with the program."""
    return ErrorTable.model_validate(data_tables("label_errors"))


def protocol_key(protocol: Protocol) -> str:
    """The protocol's name in the table: that of its records, and the mode where it is not the usual one."""
    return f"{protocol.name}-reference" if protocol.mode == "reference" else protocol.name


def cluster_kind(atoms: Atoms, charge: int) -> Kind | None:
    """The kind of a cluster whose metals are all silver; None for any other molecule."""
    metals = atoms.numbers[is_metal(atoms.numbers)]
    if not len(metals) or (metals != _SILVER).any():
        return None
    return "superatom" if superatom_electrons(atoms, charge) > 0 else "silver(I) complex"


def local_scale(energy_ev: FloatArray, cd: FloatArray) -> FloatArray:
    """Root mean square of ``cd`` (m,) about each energy, Gaussian weights of 1 eV (fwhm), with a floor of 15 %."""
    low, high = float(energy_ev[0]), float(energy_ev[-1])
    axis = np.linspace(low, high, 2 + round((high - low) / _SCALE_STEP_EV))
    sigma = LOCAL_FWHM_EV / FWHM_PER_SIGMA
    weights = np.exp(-0.5 * ((axis[:, None] - axis[None, :]) / sigma) ** 2)
    scale = np.sqrt(weights @ np.interp(axis, energy_ev, cd**2) / weights.sum(axis=1))
    return np.interp(energy_ev, axis, np.maximum(scale, SMALLEST_SCALE * scale.max()))


def strong_bands(spectrum: Spectrum) -> list[Peak]:
    """The CD bands that are not too small to have a sign worth a word."""
    bands = [] if has_no_cd(spectrum) else find_bands(spectrum, "delta_epsilon", shoulders=False)
    least = SMALLEST_BAND * max((abs(band.height) for band in bands), default=0.0)
    return [band for band in bands if abs(band.height) >= least]


def sign_probability(slope: float, height: float, scale: float) -> float:
    """That the reference has the sign of a band, 0.5 to 1: Phi(slope |height| / scale)."""
    return NormalDist().cdf(max(slope, 0.0) * abs(height) / scale) if scale > 0.0 else 0.5


SUPPORTED = f"signs supported by DFT (to {100.0 * SURE:.0f} %)"
"""Before the number of bands."""


@dataclass(frozen=True)
class BandSign:
    """A CD band: ``energy_ev``, ``height`` and its ``error`` (L mol-1 cm-1); ``probability`` that DFT has its sign.

    Of a prediction both count the error of the network too.  They are None where nothing was measured.
    """

    energy_ev: float
    height: float
    error: float | None
    probability: float | None

    @property
    def supported(self) -> bool | None:
        """Is the sign right with 95 %?  None where that is not known."""
        return None if self.probability is None else self.probability >= SURE

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        at = {"energy_ev": self.energy_ev, "wavelength_nm": ev_to_nm(self.energy_ev), "height": self.height}
        return {**at, "error": self.error, "sign_probability": self.probability, "supported": self.supported}


@dataclass(frozen=True, eq=False)
class Reliability:
    """How far a CD by ``protocol`` is from DFT.

    ``error`` (m,): standard deviation of delta_epsilon in L mol-1 cm-1 on the energies of the spectrum, NaN where it is
    not known.  ``kind``: of the cluster.  ``measured``: the numbers behind it, None where there are none; ``unknown``
    says why.  ``bands``: the CD bands with the probability of their signs.  ``better``: a protocol of the same cost
    that is clearly nearer to DFT for the kind, and its cosine.
    """

    protocol: str
    kind: Kind | None
    error: FloatArray
    bands: tuple[BandSign, ...]
    measured: Measured | None
    cosines: tuple[float, float] | None
    unknown: str = ""
    better: tuple[str, float] | None = None

    @property
    def known(self) -> bool:
        """Was it measured for such a cluster and such a spectrum?"""
        return self.measured is not None

    @property
    def shift_ev(self) -> float | None:
        """What to add to the protocol's energies to be nearest to DFT, None where it is not known."""
        return None if self.measured is None else self.measured.shift_ev

    @property
    def sentence(self) -> str:
        """For people."""
        return f"{self.agreement}; {self._signs}" if self.supported else self.agreement

    @property
    def agreement(self) -> str:
        """What holds of all clusters of the kind, as a sentence."""
        if self.measured is None or self.cosines is None:
            return f"CD: the error of {self.protocol} is not known here: {self.unknown}"
        plain, shifted = self.cosines
        words = f"CD: {self.protocol} agrees with {error_table().method} to a cosine of {plain:.2f} on "
        words += f"{counted(self.measured.clusters, 'cluster')} of its kind ({self.kind})"
        if self.measured.shift_ev:
            words += f", {shifted:.2f} after a shift of {self.measured.shift_ev:+.2f} eV"
        if self.better is not None:
            name, cosine = self.better
            words += f" ({name} agrees better, {cosine:.2f}: label --orbitals {name})"
        return words

    @property
    def headline(self) -> str:
        """In fewer words, for figures."""
        if self.cosines is None:
            return f"the error of a CD by {self.protocol} is not known here"
        words = f"{self.protocol}: CD cosine to {error_table().method} {self.cosines[0]:.2f}"
        return f"{words}; {self._signs}" if self.bands else words

    @property
    def _signs(self) -> str:
        return f"{SUPPORTED}: {self.supported}"

    @property
    def supported(self) -> str:
        """Of how many bands the sign is supported; empty without bands, and where nothing was measured."""
        known = [band for band in self.bands if band.probability is not None]
        supported = sum(band.supported is True for band in known)
        return f"{supported} of {counted(len(self.bands), 'band')}" if self.bands and self.known else ""

    @property
    def doubtful(self) -> list[tuple[float, float]]:
        """Energies and heights of the bands whose sign is not supported, or not known to be; none without a table."""
        return [(band.energy_ev, band.height) for band in self.bands if not band.supported] if self.known else []

    def to_dict(self) -> dict[str, Any]:
        """The JSON object; the error itself is in the block of the spectrum."""
        table, measured = error_table(), self.measured
        version = sha256(json.dumps(table.records, sort_keys=True).encode())
        reference = {"dataset": table.dataset, "method": table.method, "records": len(table.records), "sha256": version}
        plain, shifted = self.cosines or (None, None)
        return {
            "protocol": self.protocol,
            "kind": self.kind,
            "known": self.known,
            "sentence": self.sentence,
            "reference": reference,
            "clusters": None if measured is None else measured.clusters,
            "geometries": None if measured is None else measured.geometries,
            "cd_cosine": plain,
            "shift_ev": self.shift_ev,
            "cd_cosine_shifted": shifted,
            "bands": [band.to_dict() for band in self.bands],
        }


def reliability(
    spectrum: Spectrum, atoms: Atoms, charge: int, protocol: str, std: FloatArray | None = None
) -> Reliability:
    """What is known of the error of ``spectrum``, a CD of ``atoms`` by the protocol of that :func:`protocol_key`.

    ``std`` (m,): of a prediction, the standard deviation of delta_epsilon from the protocol's own, NaN where it is not
    known; errors and signs of its bands count it.
    """
    kind, table = cluster_kind(atoms, charge), error_table()
    unknown = _why_unknown(spectrum, atoms, kind, protocol)
    bands = strong_bands(spectrum)
    if unknown or kind is None:
        silent = tuple(BandSign(band.energy_ev, band.height, None, None) for band in bands)
        return Reliability(protocol, kind, np.full(len(spectrum), np.nan), silent, None, None, unknown)
    measured = table.protocols[protocol][kind]
    fwhm = stated_width(spectrum) or table.widths_ev[0]
    scale = local_scale(spectrum.energy_ev, spectrum.delta_epsilon)
    error = scale * relative_error(table, measured, spectrum.energy_ev, fwhm)
    slope = float(table.at_width(measured.sign_slope, fwhm))
    more = np.zeros(len(spectrum)) if std is None else std

    def judged(band: Peak) -> BandSign:
        of_scale, of_label, of_network = (
            float(np.interp(band.energy_ev, spectrum.energy_ev, values)) for values in (scale, error, more)
        )
        total = math.hypot(of_label, of_network)
        if not math.isfinite(total):
            return BandSign(band.energy_ev, band.height, None, None)
        of_protocol = sign_probability(slope, band.height, of_scale)
        _, same = judge_sign(band.height, of_network)
        both = of_protocol if same is None else of_protocol * same + (1.0 - of_protocol) * (1.0 - same)
        return BandSign(band.energy_ev, band.height, total, both)

    plain, shifted = (float(table.at_width(values, fwhm)) for values in (measured.cosine, measured.shifted))
    better = _better(table, kind, protocol, fwhm)
    return Reliability(protocol, kind, error, tuple(map(judged, bands)), measured, (plain, shifted), better=better)


def _better(table: ErrorTable, kind: Kind, protocol: str, fwhm_ev: float) -> tuple[str, float] | None:
    """Other orbitals of GFN1's ground state, with their cosine, where they are clearly nearer to DFT for ``kind``."""

    def cosine(name: str) -> float:
        return float(table.at_width(table.protocols[name][kind].cosine, fwhm_ev))

    if protocol != PUBLISHED or kind not in table.protocols.get(REFITTED, {}):
        return None
    of_refit = cosine(REFITTED)
    return (REFITTED, of_refit) if of_refit >= cosine(protocol) + _CLEARLY else None


def relative_error(table: ErrorTable, measured: Measured, energy_ev: FloatArray, fwhm_ev: float) -> FloatArray:
    """The error in units of the local scale at ``energy_ev`` (m,); NaN beyond the energies of the table."""
    nodes = np.asarray(table.energies_ev)
    known = (energy_ev >= nodes[0] - _SAME_EV) & (energy_ev <= nodes[-1] + _SAME_EV)
    values = np.interp(energy_ev, nodes, table.at_width(measured.error, fwhm_ev))
    return np.where(known, values, np.nan)


def _why_unknown(spectrum: Spectrum, atoms: Atoms, kind: Kind | None, protocol: str) -> str:
    """Why nothing was measured for such a spectrum; empty where something was."""
    table = error_table()
    if kind is None:
        return "the reference set holds clusters of silver only"
    if kind not in table.protocols.get(protocol, {}):
        if protocol.startswith(_KOHN_SHAM):
            return f"it is DFT itself, and what another functional than {table.method} changes was not measured"
        names = ", ".join(table.protocols)
        return f"measured are {names}" if protocol not in table.protocols else f"no {kind} was measured"
    metals = int(is_metal(atoms.numbers).sum())
    if metals > LARGER * table.metals:
        return f"the largest cluster that was measured has {counted(table.metals, 'metal')}, this one {metals}"
    if spectrum.meta.get("gauge") == "length":
        return "the velocity gauge was measured"
    fwhm = stated_width(spectrum)
    if fwhm is None or fwhm < table.widths_ev[0] - 1e-6:
        return f"bands were compared from a width of {table.widths_ev[0]:g} eV"
    return ""


def with_reliability(spectrum: Spectrum, trust: Reliability) -> Spectrum:
    """``spectrum`` with its ``label_error``, and the shift that comparisons start from (:data:`START`)."""
    start = {START: trust.shift_ev} if trust.shift_ev else {}
    return replace(spectrum, label_error=trust.error, meta={**spectrum.meta, **start})

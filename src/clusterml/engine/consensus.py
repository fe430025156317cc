"""How far protocols agree about a spectrum: each aligned with the first by one shift, their mean, and a verdict a band.

Protocols that differ in their Hamiltonian, solvent or functional put the same bands at different energies and, for CD,
often with different signs.  What all of them say after one fitted shift each is worth more than what one says.  The fit
sees the size of the CD cosine but not its sign, so that the hand is a result (:func:`clusterml.spectrum.fit.align`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clusterml.engine.charge import resolve_charge
from clusterml.engine.fragments import extrema
from clusterml.engine.label import Label, label
from clusterml.engine.orbitals.source import SOURCES, find_source, vain_options
from clusterml.engine.output import result_head, write_results
from clusterml.engine.protocol import DEFAULT_COMPUTE, DEFAULT_PROTOCOL, Compute, Protocol
from clusterml.errors import ElectronicStructureError, OptionError, UnsupportedElementError, counted
from clusterml.io.display import wrapped
from clusterml.io.files import make_folder
from clusterml.spectrum.fit import Alignment, align, cosine, fit_alignment, is_silent
from clusterml.spectrum.spectrum import Spectrum, mean_spectrum
from clusterml.structure.charge import SMALL_GAP_EV, ChargeDecision
from clusterml.structure.check import check_structure
from clusterml.structure.elements import figure_title, structure_name
from clusterml.typing import FloatArray
from clusterml.units import ev_to_nm

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.spectrum.view import View

Verdict = Literal["all", "most", "open"]

MAX_SHIFT_EV = 0.6
"""Largest shift of a protocol."""
_SILENT_SHARE = 0.05
"""CD below this share of a protocol's own maximum has no sign, and bands of the mean below it are none."""
_FEWEST = 2


@dataclass(frozen=True)
class ProtocolSpectrum:
    """What one protocol says: its ``label``, the ``shift_ev`` that was added to its energies (0 of the first), and the
    shifted ``spectrum`` on the common axis."""

    protocol: Protocol
    label: Label
    shift_ev: float
    spectrum: Spectrum

    @property
    def name(self) -> str:
        """As records and ``--consensus`` call it."""
        return self.protocol.name


@dataclass(frozen=True)
class AgreedBand:
    """A CD band of the mean spectrum: ``energy_ev``, mean ``height`` and its ``spread`` over protocols (L mol-1 cm-1).

    ``signs``: protocol -> 1, -1, or 0 where it has no CD to speak of.  ``verdict`` on the sign: agreed by ``all``; by
    ``most``, two thirds or more; else ``open``.
    """

    energy_ev: float
    height: float
    spread: float
    signs: Mapping[str, int]

    @property
    def verdict(self) -> Verdict:
        """All, most or open."""
        votes = list(self.signs.values())
        same = max(votes.count(1), votes.count(-1))
        if same == len(votes):
            return "all"
        return "most" if 3 * same >= 2 * len(votes) else "open"


@dataclass(frozen=True, repr=False)
class Consensus:
    """The spectra of several protocols for one geometry, and how far they agree.

    ``protocols``: those that have a gap, the first of them not shifted; ``left_out``: protocol -> why it is not among
    them; ``spectrum``: their mean with the standard deviation over protocols; ``bands``: of the mean CD.
    """

    atoms: Atoms
    decision: ChargeDecision
    protocols: tuple[ProtocolSpectrum, ...]
    left_out: Mapping[str, str]
    spectrum: Spectrum
    bands: tuple[AgreedBand, ...]

    def __repr__(self) -> str:
        """Protocols, and the counts of verdicts."""
        names = ", ".join(part.name for part in self.protocols)
        return wrapped(f"Consensus({structure_name(self.atoms)}; {names}; {self.summary})")

    @property
    def summary(self) -> str:
        """``signs of 7 CD bands: 3 agreed by all, 2 by most, 2 open``."""
        if not self.bands:
            return "no CD"
        verdicts = [band.verdict for band in self.bands]
        parts = (
            f"{verdicts.count('all')} agreed by all, {verdicts.count('most')} by most, {verdicts.count('open')} open"
        )
        return f"signs of {counted(len(verdicts), 'CD band')}: {parts}"

    @property
    def strongest(self) -> AgreedBand | None:
        """The highest band of the mean CD; None without CD."""
        return max(self.bands, key=lambda band: abs(band.height), default=None)

    @property
    def chance(self) -> float:
        """How often random signs would all agree in a band."""
        return float(0.5 ** (len(self.protocols) - 1))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out, shifts at their bound, and what the labels say, each once."""
        missing = [f"{name} has no part in the consensus: {reason}" for name, reason in self.left_out.items()]
        bound = [
            f"{part.name} fits the first protocol best at the largest shift allowed, {part.shift_ev:+.2f} eV"
            for part in self.protocols
            if abs(part.shift_ev) > MAX_SHIFT_EV - 0.005
        ]
        said = dict.fromkeys(warning for part in self.protocols for warning in part.label.warnings)
        return (*missing, *bound, *dict.fromkeys((*self.decision.notes, *said)))

    @property
    def table(self) -> str:
        """The bands as text: energy, wavelength, height, and the sign by each protocol."""
        names = [part.name for part in self.protocols]
        heading = ["eV", "nm", "Δε", "±", *names, "sign agreed by"]
        rows = [
            [
                f"{band.energy_ev:.2f}",
                f"{ev_to_nm(band.energy_ev):.0f}",
                f"{band.height:+.3g}",
                f"{band.spread:.2g}",
                *("+" if band.signs[name] > 0 else "-" if band.signs[name] < 0 else "0" for name in names),
                band.verdict,
            ]
            for band in self.bands
        ]
        widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in (heading, *rows)]
        shifts = ", ".join(f"{part.name} {part.shift_ev:+.2f}" for part in self.protocols[1:])
        chance = f"random signs would all agree in {self.chance:.0%} of bands"
        return "\n".join([f"{self.summary} ({chance})", f"shifts in eV: {shifts}", *lines])

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: head and spectrum as of a label, then ``consensus``."""
        method = "consensus of " + ", ".join(part.name for part in self.protocols)
        mean = self.spectrum.delta_epsilon
        return {
            **result_head(self.atoms, self.decision, method, self.spectrum),
            "consensus": {
                "protocols": [
                    {
                        "name": part.name,
                        "method": part.label.orbitals.method,
                        "gap_ev": float(part.label.orbitals.raw_gap_ev),
                        "shift_ev": part.shift_ev,
                        "cd_cosine_to_mean": _or_none(cosine(part.spectrum.delta_epsilon, mean)),
                        "absorption_cosine_to_mean": _or_none(cosine(part.spectrum.epsilon, self.spectrum.epsilon)),
                        "epsilon": part.spectrum.epsilon.tolist(),
                        "delta_epsilon": part.spectrum.delta_epsilon.tolist(),
                        "seconds": round(part.label.timings_s["total"], 2),
                    }
                    for part in self.protocols
                ],
                "left_out": dict(self.left_out),
                "chance_of_all": self.chance,
                "cd_bands": [
                    {
                        "energy_ev": band.energy_ev,
                        "wavelength_nm": ev_to_nm(band.energy_ev),
                        "height": band.height,
                        "spread": band.spread,
                        "signs": dict(band.signs),
                        "verdict": band.verdict,
                    }
                    for band in self.bands
                ],
            },
            "warnings": list(self.warnings),
        }


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def parse_protocols(text: str, base: Protocol = DEFAULT_PROTOCOL) -> tuple[Protocol, ...]:
    """The protocols of ``gfn1,gfn1:methanol,stda-xtb``: sources of orbitals, each with a solvent behind a colon.

    Range, width, precision and ensemble are those of ``base``, and what else of it a source knows.
    Raises OptionError for fewer than two, one twice, or one that there is not.
    """
    protocols = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        orbitals, _, solvent = word.partition(":")
        source = SOURCES.named(orbitals.strip(), "consensus")
        protocol = base.but(**dict.fromkeys(vain_options(source))).but(
            orbitals=source.name, solvent=solvent.strip() or None
        )
        find_source(protocol)
        protocols.append(protocol)
    names = [protocol.name for protocol in protocols]
    if len(names) < _FEWEST:
        raise OptionError(f"consensus is {text!r}", "give two or more protocols, such as gfn1,gfn1:methanol,stda-xtb")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError(f"consensus names {twice} twice", "give each protocol once")
    return tuple(protocols)


def find_consensus(
    atoms: Atoms,
    charge: int | None = None,
    protocols: Sequence[Protocol] | str = "gfn1,gfn1:methanol,stda-xtb",
    compute: Compute = DEFAULT_COMPUTE,
    *,
    allow_several: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Consensus:
    """The spectra of ``atoms`` by several protocols, aligned, and how far they agree.

    ``protocols``: those of :func:`parse_protocols`, or its text.  A protocol without a ground state, or with a gap
    below 0.2 eV, is left out.  ``progress``: told in words.  Raises what :func:`~clusterml.engine.label.label` raises,
    and ElectronicStructureError where fewer than two protocols are left.

    Examples:
        >>> import clusterml as cm
        >>> agreed = cm.find_consensus(cm.build("ag3", thiolate="SH"), protocols="gfn1,gfn1:methanol")
        >>> [part.name for part in agreed.protocols]
        ['gfn1', 'gfn1-in-methanol']
    """
    check_structure(atoms)
    wanted = parse_protocols(protocols) if isinstance(protocols, str) else tuple(protocols)
    decision = resolve_charge(atoms, charge)
    labels: list[tuple[Protocol, Label]] = []
    left_out: dict[str, str] = {}
    for protocol in wanted:
        name = protocol.name
        say = None if progress is None else (lambda words, name=name: progress(f"{name}: {words}"))
        try:
            result = label(
                atoms, decision.charge, protocol, compute, groups={}, allow_several=allow_several, progress=say
            )
        except (ElectronicStructureError, UnsupportedElementError) as error:
            left_out[name] = error.problem
            continue
        gap = result.orbitals.raw_gap_ev
        if gap < SMALL_GAP_EV:
            left_out[name] = f"its gap is {gap:.2f} eV, less than {SMALL_GAP_EV:g}"
        else:
            labels.append((protocol, result))
    if len(labels) < _FEWEST:
        problem = f"{counted(len(labels), 'protocol')} of {len(wanted)} can say something"
        raise ElectronicStructureError(problem, "; ".join(f"{name}: {why}" for name, why in left_out.items()))
    parts = _aligned(labels)
    mean = mean_spectrum([part.spectrum for part in parts], {"protocols": [part.name for part in parts]})
    return Consensus(atoms, decision, parts, left_out, mean, _agreed_bands(mean, parts))


def _aligned(labels: Sequence[tuple[Protocol, Label]]) -> tuple[ProtocolSpectrum, ...]:
    """All on the energies that they share once each is shifted on the first."""
    first = labels[0][1].spectrum
    shifts = [0.0]
    for _, other in labels[1:]:
        shifts.append(fit_alignment(other.spectrum, first, shift=True, width=False, max_shift_ev=MAX_SHIFT_EV).shift_ev)
    moved = [align(result.spectrum, Alignment(shift)) for (_, result), shift in zip(labels, shifts, strict=True)]
    low, high = max(s.energy_ev[0] for s in moved), min(s.energy_ev[-1] for s in moved)
    axis = first.energy_ev[(first.energy_ev >= low - 1e-9) & (first.energy_ev <= high + 1e-9)]
    return tuple(
        ProtocolSpectrum(protocol, result, float(shift), _on(axis, spectrum))
        for (protocol, result), shift, spectrum in zip(labels, shifts, moved, strict=True)
    )


def _on(axis: FloatArray, spectrum: Spectrum) -> Spectrum:
    """``spectrum`` on ``axis`` (m,), without its own standard deviation."""
    epsilon, cd = (np.interp(axis, spectrum.energy_ev, y) for y in (spectrum.epsilon, spectrum.delta_epsilon))
    return Spectrum(axis, epsilon, cd, meta=spectrum.meta)


def _agreed_bands(mean: Spectrum, parts: Sequence[ProtocolSpectrum]) -> tuple[AgreedBand, ...]:
    if all(is_silent(part.spectrum, "delta_epsilon") for part in parts):
        return ()
    spread = mean.delta_epsilon_std if mean.delta_epsilon_std is not None else np.zeros(len(mean))
    largest = {part.name: float(np.abs(part.spectrum.delta_epsilon).max()) for part in parts}
    bands = []
    for place in extrema(mean.delta_epsilon, _SILENT_SHARE):
        signs = {}
        for part in parts:
            value = float(part.spectrum.delta_epsilon[place])
            signs[part.name] = int(np.sign(value)) if abs(value) > _SILENT_SHARE * largest[part.name] else 0
        height = float(mean.delta_epsilon[place])
        bands.append(AgreedBand(float(mean.energy_ev[place]), height, float(spread[place]), signs))
    return tuple(bands)


def write_consensus(
    consensus: Consensus, folder: str | Path, name: str, *, jcamp: bool = False, view: View | None = None
) -> list[Path]:
    """Write NAME.csv (mean and spread), NAME.png (mean, spread and every protocol) and NAME.json into ``folder``.

    Dotted lines in the picture: bands whose sign all protocols agree on.  Raises OutputError naming the path.
    """
    agreed = [band.energy_ev for band in consensus.bands if band.verdict == "all"]
    title = figure_title(consensus.atoms, consensus.decision.charge, f"{len(consensus.protocols)} protocols")
    note = "dotted: all agree on the sign" if agreed else "no CD band whose sign all agree on"
    return write_results(
        consensus.spectrum,
        consensus.to_dict(),
        make_folder(folder) / name,
        f"{title}\n{note}",
        jcamp=jcamp,
        view=view,
        beside={f"{part.name} {part.shift_ev:+.2f} eV": part.spectrum for part in consensus.protocols},
        marks={"delta_epsilon": agreed},
    )

"""How similar two spectra are: similarity measures, bands side by side, signs of the CD; both at the same width."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.errors import SpectrumError, check_kind
from clusterml.io.display import WithWarnings, card, small_table, wrapped
from clusterml.io.json import plain
from clusterml.spectrum.fit import (
    FIELDS,
    Alignment,
    align,
    broaden_curve,
    broaden_std,
    cosine,
    fit_alignment,
    is_silent,
    overlap_range,
)
from clusterml.spectrum.peaks import Peak, find_bands, match, resample, uniform_grid
from clusterml.spectrum.picture import spectra_picture
from clusterml.spectrum.significance import (
    FARTHEST_EV,
    RANDOM_SPECTRA,
    SIGNIFICANT,
    MatchChance,
    MatchQuality,
    chance_of,
)
from clusterml.spectrum.spectrum import Spectrum
from clusterml.typing import FloatArray

if TYPE_CHECKING:
    from clusterml.spectrum.view import View


_MOST_ROWS = 8  # of bands of a quantity in a notebook
START = "protocol_shift_ev"
"""Key of a spectrum's ``meta``: the measured shift of its protocol (eV), which the fit of a shift starts from."""
LARGEST_START_EV = 1.0
SAME_EV = 1e-6
"""Widths that differ by less than this are the same."""


def stated_width(spectrum: Spectrum) -> float | None:
    """The full width at half maximum (eV) of the bands that ``spectrum`` was broadened with; None if it states none."""
    fwhm = spectrum.meta.get("fwhm_ev")
    valid = isinstance(fwhm, int | float) and not isinstance(fwhm, bool) and math.isfinite(fwhm) and fwhm > 0.0
    return float(fwhm) if valid and fwhm is not None else None


def broaden_to(spectrum: Spectrum, fwhm_ev: float) -> Spectrum:
    """``spectrum`` with Gaussian bands of ``fwhm_ev`` (eV), on its own energies.

    A Gaussian of width sqrt(W^2 - w^2) turns bands of width w into bands of width W, so its present width must be known
    (``meta["fwhm_ev"]``), the bands must be Gaussian, and w must not exceed W.  Within about W of the ends the result
    depends on what lies beyond them, where the end value is taken to go on.  Standard deviations become upper bounds,
    see :func:`clusterml.spectrum.fit.broaden_std`; the label error, known for the width alone, is left out.  Raises
    :class:`SpectrumError`.
    """
    width = stated_width(spectrum)
    if width is None:
        raise SpectrumError("the spectrum does not state the width of its bands", "state fwhm_ev (eV) with it")
    shape = spectrum.meta.get("shape", "gaussian")
    if not (math.isfinite(fwhm_ev) and fwhm_ev >= width - SAME_EV):
        raise SpectrumError(
            f"the bands of the spectrum are {width:g} eV wide and cannot become {fwhm_ev:g} eV wide",
            f"ask for {width:g} eV or more",
        )
    if fwhm_ev <= width + SAME_EV:
        return spectrum
    if shape != "gaussian":
        raise SpectrumError(f"the bands of the spectrum are {shape} and cannot be broadened", "use Gaussian bands")
    extra = math.sqrt(fwhm_ev**2 - width**2)
    energy = spectrum.energy_ev
    grid = uniform_grid(float(energy[0]), float(energy[-1]))
    changed: dict[str, FloatArray] = {}
    for key in FIELDS:
        values, std = getattr(spectrum, key), getattr(spectrum, f"{key}_std")
        if not np.isnan(values[0]):
            changed[key] = resample(grid, broaden_curve(grid, resample(energy, values, grid), extra), energy)
        if std is not None:
            wide = broaden_std(grid, np.interp(grid, energy, std), extra)
            changed[f"{key}_std"] = np.where(np.isnan(std), np.nan, np.interp(energy, grid, wide))
    return replace(spectrum, **changed, label_error=None, meta={**spectrum.meta, "fwhm_ev": float(fwhm_ev)})


CLEAR_COSINE = 0.5
"""A significant CD cosine beyond this, of either sign, decides the hand."""


@dataclass(frozen=True)
class Similarity:
    """Similarity of a quantity f (of A, aligned) and g (of B) over the shared range.

    ``cosine`` f.g / |f||g|; ``overlap`` f.g / (f.f + g.g - |f.g|), which also judges the magnitude (the SimVCD measure
    of Shen, Zhu, Reiling, Vaz, Spectrochim. Acta A 76 (2010) 418); both are 1 for equal spectra and, for CD, -1 for
    mirror images.  ``scale`` >= 0 is the factor on A that fits B best, ``rmsd`` what remains (L mol-1 cm-1), and
    ``relative_rmsd`` the same divided by the rms of B.
    """

    cosine: float
    overlap: float
    scale: float
    rmsd: float
    relative_rmsd: float


@dataclass(frozen=True)
class BandPair:
    """A band of A (where A has it, not shifted) beside the band of B that it matches; either may be missing.

    ``residual_ev``: aligned position in A minus position in B.  ``same_sign``: do the two have the same sign?
    """

    a: Peak | None
    b: Peak | None
    residual_ev: float | None
    same_sign: bool | None


@dataclass(frozen=True, repr=False)
class Comparison(WithWarnings):
    """Result of :func:`compare`: A was moved by ``shift_ev`` and broadened by ``extra_fwhm_ev``, then compared with B.

    ``start_ev``: the part of the shift that is that of A's protocol, as measured, and not fitted.

    ``range_ev``: shared energies.  ``fwhm_ev``: the widths (eV) that A and B state, brought to one where both do.
    ``absorption``, ``cd``: None where one of the two does not show it.  ``sign_agreement``: share of matched CD bands
    with the same sign, or None.  ``hand``: ``same`` or ``opposite`` (mirror images), from the CD cosine beyond 0.5;
    ``undecided`` within; ``not significant`` where at least 5 % of random spectra reach such a cosine; None without CD.
    ``chance``: how often random spectra match as well.  ``spectra``: A and B, at one width where they state theirs.
    """

    range_ev: tuple[float, float]
    start_ev: float
    shift_ev: float
    extra_fwhm_ev: float
    fitted: tuple[str, ...]
    fwhm_ev: tuple[float | None, float | None]
    absorption: Similarity | None
    cd: Similarity | None
    absorption_bands: tuple[BandPair, ...]
    cd_bands: tuple[BandPair, ...]
    sign_agreement: float | None
    hand: str | None
    chance: MatchChance
    warnings: tuple[str, ...]
    spectra: tuple[Spectrum, Spectrum] = field(compare=False)

    def __repr__(self) -> str:
        """Range, shift and likeness."""
        low, high = self.range_ev
        words = f"{low:.2f} to {high:.2f} eV, shift {self.shift_ev:+.3f} eV; {self.summary}"
        return wrapped(f"Comparison({'; '.join(words.splitlines())})")

    def _repr_html_(self) -> str:
        """Both spectra and their bands, for notebooks."""
        a, b = self.spectra
        bands = (("absorption", self.absorption_bands), ("CD", self.cd_bands))
        pairs = [(name, pair) for name, of_quantity in bands for pair in of_quantity[:_MOST_ROWS]]
        rows = [(name, _position(pair.a), _position(pair.b), _sign(pair)) for name, pair in pairs]
        picture = spectra_picture([align(a, Alignment(self.shift_ev, self.extra_fwhm_ev)), b], ("A, moved", "B"))
        return card(repr(self), [picture, small_table(rows, ("", "A / eV", "B / eV", "sign"))], self.warnings)

    def draw(
        self, a: Spectrum, b: Spectrum, labels: tuple[str, str], path: str | Path, view: View | None = None
    ) -> None:
        """Draw the two spectra over each other, A aligned; ``labels`` name them."""
        from clusterml.spectrum.plot import draw

        moves = [f"{self.shift_ev:+.3f} eV"] if self.shift_ev else []
        moves += [f"broadened by {self.extra_fwhm_ev:.2f} eV"] if self.extra_fwhm_ev else []
        name = f"{labels[0]} ({', '.join(moves)})" if moves else labels[0]
        first, second = (_at_width(s, fwhm) for s, fwhm in zip((a, b), self.fwhm_ev, strict=True))
        aligned = align(first, Alignment(self.shift_ev, self.extra_fwhm_ev))
        draw([aligned, second], path=path, labels=(name, labels[1]), title=self.summary, view=view)

    @property
    def summary(self) -> str:
        """One line with the similarities and their chances, and one with the hand."""
        parts = [
            f"{name} cosine {part.cosine:.3f} (chance {percent(chance)})"
            for name, part, chance in (
                ("absorption", self.absorption, self.chance.absorption),
                ("CD", self.cd, self.chance.cd),
            )
            if part is not None and chance is not None
        ]
        return "\n".join([", ".join(parts), *([f"hand: {self.hand}"] if self.hand else [])])

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        values = asdict(self)
        del values["spectra"]
        result: dict[str, Any] = plain(values)
        return result


def _position(band: Peak | None) -> str:
    return "-" if band is None else f"{band.energy_ev:.2f}"


def _sign(pair: BandPair) -> str:
    return {None: "", True: "same", False: "opposite"}[pair.same_sign]


def compare(
    a: Spectrum,
    b: Spectrum,
    fit_shift: bool = True,
    fit_width: bool = False,
    max_shift_ev: float = 0.5,
    fwhm_ev: float | None = None,
    random_spectra: int = RANDOM_SPECTRA,
) -> Comparison:
    """Compare ``a`` (computed) with ``b`` (the reference, for example measured) over the energies both cover.

    ``fit_shift`` moves all energies of ``a`` by one number of eV, at most ``max_shift_ev`` from the measured shift of
    its protocol, where that is known (``meta["protocol_shift_ev"]``), else from none; ``fit_width`` broadens
    ``a`` further; see :func:`clusterml.spectrum.fit.fit_alignment`.  Spectra that state different widths are first
    broadened to the larger, and those that state any to ``fwhm_ev`` if it is given.  ``random_spectra``: number of
    random spectra that give the chances; with 0 there are no chances, and no hand.

    Raises :class:`SpectrumError` if the ranges do not overlap, no quantity is known in both, or a width would have to
    become smaller, and :class:`OptionError` for what is no spectrum.

    Examples:
        >>> import clusterml as cm
        >>> jasco = "shipped:datasets/examples/ag29_invented_jasco.txt"
        >>> spectrum = cm.read_spectrum(jasco, concentration=1e-5, path_cm=0.5)
        >>> comparison = cm.compare(spectrum, spectrum.mirrored(), random_spectra=100)
        >>> f"{comparison.cd.cosine:.2f}", comparison.hand
        ('-1.00', 'opposite')
    """
    for each in (a, b):
        check_kind(each, Spectrum, "a spectrum", "give read_spectrum(FILE), or the .spectrum of a result")
    if not ((a.has_absorption and b.has_absorption) or (a.has_cd and b.has_cd)):
        raise SpectrumError("one spectrum has only absorption, the other only CD", "compare spectra of the same kind")
    a, b, notes = _at_one_width(a, b, fwhm_ev)
    start, original = _start(a) if fit_shift else 0.0, a
    a = align(a, Alignment(start))
    alignment = fit_alignment(a, b, fit_shift, fit_width, max_shift_ev)
    aligned, shift = align(a, alignment), start + alignment.shift_ev
    low, high = overlap_range(aligned, b)
    absorption, cd = (_similarity(aligned, b, key, low, high) for key in ("epsilon", "delta_epsilon"))
    pairs = {key: _pairs(aligned, b, key, (low, high), shift) for key in ("epsilon", "delta_epsilon")}
    signs = [pair.same_sign for pair in pairs["delta_epsilon"] if pair.same_sign is not None]
    reached = MatchQuality(absorption.cosine if absorption else None, cd.cosine if cd else None, signs)
    chance = chance_of(reached, a, b, fit_shift, fit_width, max_shift_ev, random_spectra)
    return Comparison(
        range_ev=(low, high),
        start_ev=start,
        shift_ev=shift,
        extra_fwhm_ev=alignment.extra_fwhm_ev,
        fitted=tuple(name for name, on in (("shift", fit_shift), ("width", fit_width)) if on),
        absorption=absorption,
        cd=cd,
        absorption_bands=pairs["epsilon"],
        cd_bands=pairs["delta_epsilon"],
        sign_agreement=sum(signs) / len(signs) if signs else None,
        hand=_hand(cd, chance),
        chance=chance,
        fwhm_ev=(stated_width(a), stated_width(b)),
        warnings=(*notes, *_warnings(a, b, alignment)),
        spectra=(original, b),
    )


def _start(spectrum: Spectrum) -> float:
    """The measured shift of the protocol of ``spectrum``, 0 where it states none that makes sense."""
    start = spectrum.meta.get(START)
    valid = isinstance(start, int | float) and not isinstance(start, bool) and abs(start) <= LARGEST_START_EV
    return float(start) if valid and start is not None else 0.0


def percent(share: float) -> str:
    """A chance in per cent for people: two digits, never zero."""
    return f"{100.0 * share:.2g} %"


def _at_one_width(a: Spectrum, b: Spectrum, fwhm_ev: float | None) -> tuple[Spectrum, Spectrum, list[str]]:
    """``a`` and ``b`` at the requested width, or at the larger of their own, and notes on what was broadened."""
    stated = {"A": stated_width(a), "B": stated_width(b)}
    widths = [width for width in stated.values() if width is not None]
    if fwhm_ev is not None and not widths:
        raise SpectrumError("neither spectrum states the width of its bands", "give A as a JSON result, or no width")
    if len(widths) < 2 and fwhm_ev is None:
        return a, b, []
    goal = max(widths) if fwhm_ev is None else fwhm_ev
    wide = {name: _at_width(s, goal if stated[name] is not None else None) for name, s in (("A", a), ("B", b))}
    notes = [
        f"{name} was broadened from {width:.3g} to {goal:.3g} eV"
        for name, width in stated.items()
        if width is not None and goal > width + SAME_EV
    ]
    notes += [f"{name} states no width and is unchanged" for name, width in stated.items() if width is None]
    return wide["A"], wide["B"], notes


def _at_width(spectrum: Spectrum, fwhm_ev: float | None) -> Spectrum:
    return spectrum if fwhm_ev is None else broaden_to(spectrum, fwhm_ev)


def _similarity(a: Spectrum, b: Spectrum, key: str, low: float, high: float) -> Similarity | None:
    if is_silent(a, key) or is_silent(b, key):
        return None
    grid = uniform_grid(low, high)
    f, g = (resample(s.energy_ev, getattr(s, key), grid) for s in (a, b))
    return _measures(f, g)


def _measures(f: FloatArray, g: FloatArray) -> Similarity | None:
    ff, gg, fg = float(f @ f), float(g @ g), float(f @ g)
    if not (ff > 0.0 and gg > 0.0):
        return None
    scale = max(fg / ff, 0.0)
    rmsd = math.sqrt(float(np.mean((scale * f - g) ** 2)))
    return Similarity(cosine(f, g), fg / (ff + gg - abs(fg)), scale, rmsd, rmsd / math.sqrt(gg / len(g)))


def _pairs(a: Spectrum, b: Spectrum, key: str, range_ev: tuple[float, float], shift: float) -> tuple[BandPair, ...]:
    """Bands of both within the shared range, matched, ascending in energy after the shift of A.

    Nothing unless both show the quantity.
    """
    if is_silent(a, key) or is_silent(b, key):
        return ()
    of_a, of_b = ([band for band in find_bands(s, key) if range_ev[0] <= band.energy_ev <= range_ev[1]] for s in (a, b))
    matched = match([band.energy_ev for band in of_a], [band.energy_ev for band in of_b], FARTHEST_EV)
    pairs = [_pair(of_a[i], of_b[j], shift) for i, j in matched]
    pairs += [_pair(band, None, shift) for i, band in enumerate(of_a) if i not in {m[0] for m in matched}]
    pairs += [_pair(None, band, shift) for j, band in enumerate(of_b) if j not in {m[1] for m in matched}]

    def place(pair: BandPair) -> float:
        return pair.b.energy_ev if pair.b else (pair.a.energy_ev + shift if pair.a else 0.0)

    return tuple(sorted(pairs, key=place))


def _pair(a: Peak | None, b: Peak | None, shift: float) -> BandPair:
    back = None
    if a is not None:
        energy = a.energy_ev - shift
        back = Peak(energy, a.wavelength_nm * a.energy_ev / energy, a.height, a.sign, a.kind)
    if a is None or b is None:
        return BandPair(back, b, None, None)
    return BandPair(back, b, a.energy_ev - b.energy_ev, a.sign == b.sign)


def _hand(cd: Similarity | None, chance: MatchChance) -> str | None:
    if cd is None or chance.cd is None:
        return None
    if chance.cd >= SIGNIFICANT:
        return "not significant"
    if abs(cd.cosine) < CLEAR_COSINE:
        return "undecided"
    return "same" if cd.cosine > 0 else "opposite"


def _warnings(a: Spectrum, b: Spectrum, alignment: Alignment) -> tuple[str, ...]:
    notes = [f"{label}: {note}" for label, s in (("A", a), ("B", b)) for note in s.meta.get("warnings", ())]
    notes += [f"the fitted {name} is at the end of its allowed range" for name in alignment.at_bound]
    for key, name in (("epsilon", "absorption"), ("delta_epsilon", "CD")):
        for label, spectrum in (("A", a), ("B", b)):
            if np.isnan(getattr(spectrum, key)[0]):
                notes.append(f"{label} has no {name}")
            elif is_silent(spectrum, key):
                notes.append(f"the {name} of {label} is zero")
    return tuple(notes)

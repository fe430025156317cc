"""``clusterml compare A B``: similarity of two spectra, or of a spectrum and a list of measured bands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clusterml.cli.options import PictureAxis, PictureRange, picture_view, refuse_vain
from clusterml.errors import InputFileError, OptionError
from clusterml.spectrum.formats.settings import UNITS

if TYPE_CHECKING:
    from rich.table import Table

    from clusterml.spectrum.bands import BandComparison
    from clusterml.spectrum.compare import BandPair, Comparison
    from clusterml.spectrum.peaks import Peak
    from clusterml.spectrum.spectrum import Spectrum

BANDS = "bands:"
"""What B begins with to name a list of measured bands."""


def compare(
    a: Annotated[
        str, typer.Argument(metavar="A", help="Spectrum to judge: JSON of label or predict, CSV, output of TDDFT.")
    ],
    b: Annotated[str, typer.Argument(metavar="B", help="Reference: the same, or bands:SYSTEM, e.g. bands:Ag29-BDT.")],
    fit_shift: Annotated[bool, typer.Option(help="Shift all energies of A by one number of eV to match B.")] = True,
    fit_width: Annotated[bool, typer.Option("--fit-width", help="Broaden A further to match B.")] = False,
    max_shift: Annotated[
        float | None,
        typer.Option(metavar="EV", help="Largest shift to fit, from that of A's protocol on [default: 0.5]."),
    ] = None,
    concentration_a: Annotated[float | None, typer.Option(metavar="MOL_L", help="For A in absorbance, mdeg.")] = None,
    concentration_b: Annotated[float | None, typer.Option(metavar="MOL_L", help="For B in absorbance, mdeg.")] = None,
    path_a: Annotated[float | None, typer.Option(metavar="CM", help="Path length of the cell for A.")] = None,
    path_b: Annotated[float | None, typer.Option(metavar="CM", help="Path length of the cell for B.")] = None,
    columns_a: Annotated[
        str | None, typer.Option(metavar="LIST", help="What the columns of A are, e.g. wavelength,cd,skip.")
    ] = None,
    columns_b: Annotated[str | None, typer.Option(metavar="LIST", help="What the columns of B are.")] = None,
    unit_a: Annotated[str | None, typer.Option(metavar="UNIT", help=f"Unit of A: {', '.join(UNITS)}.")] = None,
    unit_b: Annotated[str | None, typer.Option(metavar="UNIT", help="Unit of B.")] = None,
    block_a: Annotated[
        str | None, typer.Option(metavar="K|TITLE", help="Which spectrum of A, if the file holds several.")
    ] = None,
    block_b: Annotated[str | None, typer.Option(metavar="K|TITLE", help="Which spectrum of B.")] = None,
    fwhm: Annotated[
        float | None, typer.Option(metavar="EV", help="Broaden what states its width to this full width first.")
    ] = None,
    axis: PictureAxis = "ev",
    shown: PictureRange = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write compare.json and compare.png here.")
    ] = None,
) -> None:
    """Similarity of two spectra, computed or measured (JSON, tables, JCAMP-DX, JASCO, Chirascan, Aviv, ORCA ..).

    A is shifted (and with --fit-width broadened) on the energy axis to match B, from the measured shift of its label
    protocol on, where its JSON states one; the CD is compared with its sign, so
    mirror images get a CD cosine of -1.  Measured absorbance and mdeg need --concentration-a/-b and --path-a/-b; a
    table without a heading --columns-a/-b and --unit-a/-b.  "-" is standard input.
    """
    from clusterml.io.files import make_folder
    from clusterml.spectrum.compare import broaden_to

    if not fit_shift:
        refuse_vain("--no-fit-shift", {"--max-shift": max_shift})
    if a == b == "-":
        raise OptionError("A and B are both standard input", "give the path of one of them")
    first = _read(a, concentration_a, path_a, "-a", columns=columns_a, unit=unit_a, block=block_a)
    view = picture_view(axis, shown, output)
    if output is not None:
        make_folder(output)
    if b.lower().startswith(BANDS):
        from clusterml.spectrum.bands import compare_bands

        of_b = {"--concentration-b": concentration_b, "--path-b": path_b, "--columns-b": columns_b, "--unit-b": unit_b}
        refuse_vain(b, {**of_b, "--block-b": block_b, "--fit-width": fit_width or None, "--max-shift": max_shift})
        first = first if fwhm is None else broaden_to(first, fwhm)
        listed = compare_bands(first, b[len(BANDS) :], common_shift=fit_shift)
        if output is not None:
            listed.draw(first, output / "compare.png", view)
        _report({"a": a, "b": b, **listed.to_dict()}, _band_tables(listed), as_json, output)
        return
    from clusterml.spectrum.compare import compare as compare_spectra

    second = _read(b, concentration_b, path_b, "-b", columns=columns_b, unit=unit_b, block=block_b)
    result = compare_spectra(first, second, fit_shift, fit_width, 0.5 if max_shift is None else max_shift, fwhm)
    if output is not None:
        result.draw(first, second, _labels(a, b), output / "compare.png", view)
    _report({"a": a, "b": b, **result.to_dict()}, _tables(result), as_json, output)


def _read(name: str, *given: Any, **choices: Any) -> Spectrum:
    """The spectrum in a file, or in standard input for ``-``; raises :class:`InputFileError`, also for a structure."""
    from clusterml.spectrum.measured import read_spectrum

    try:
        return read_spectrum(sys.stdin.buffer if name == "-" else name, *given, **choices)
    except InputFileError as error:
        from clusterml.structure.formats.format import format_of_name

        path = Path(name)
        if not path.is_file() or format_of_name(path.name) is None:
            raise
        advice = f"clusterml predict {name} -o results, and compare the JSON that it writes"
        raise InputFileError(f"{name} is a structure, to go by its name, and holds no spectrum", advice) from error


def _labels(a: str, b: str) -> tuple[str, str]:
    """Names for a legend: those of the files, with as many of their folders as tell them apart."""
    parts = [Path(name).parts[::-1] for name in (a, b)]
    count = 1
    while parts[0][:count] == parts[1][:count] and count < max(map(len, parts)):
        count += 1
    names = ["/".join(part[:count][::-1]) or "standard input" for part in parts]
    return f"A: {names[0]}", f"B: {names[1]}"


def _report(result: dict[str, Any], shown: list[Table | str], as_json: bool, output: Path | None) -> None:
    """Write compare.json, and print the tables or the JSON."""
    from clusterml.io.json import json_text, write_json
    from clusterml.spectrum.export import SCHEMA_VERSION

    result = {"schema_version": SCHEMA_VERSION, **result}
    if output is not None:
        write_json(result, output / "compare.json", indent=1)
    if as_json:
        typer.echo(json_text(result, indent=1), nl=False)
        return
    from clusterml.cli.console import table_console

    console = table_console()
    for item in [*shown, *([f"results in {output}: compare.png, compare.json"] if output is not None else [])]:
        console.print(item, markup=False, highlight=False)


def _tables(result: Comparison) -> list[Table | str]:
    from rich.table import Table

    from clusterml.spectrum.compare import percent

    low, high = result.range_ev
    moved = f"A moved by {result.shift_ev:+.3f} eV"
    moved += f" ({result.start_ev:+.2f} eV of it as measured for its protocol)" if result.start_ev else ""
    moved += f" and broadened by {result.extra_fwhm_ev:.3f} eV" if "width" in result.fitted else ""
    numbers = Table(title=f"Similarity from {low:.2f} to {high:.2f} eV; {moved}")
    headings = ("", "cosine", "random spectra as good", "overlap", "scale of A", "RMSD / L mol-1 cm-1", "relative RMSD")
    for heading in headings:
        numbers.add_column(heading, justify="right" if heading else "left")
    for name, part, chance in (
        ("absorption", result.absorption, result.chance.absorption),
        ("CD", result.cd, result.chance.cd),
    ):
        values = ["-"] * (len(headings) - 1)
        if part is not None:
            values = [f"{part.cosine:.3f}", "-" if chance is None else percent(chance), f"{part.overlap:.3f}"]
            values += [f"{part.scale:.3g}", f"{part.rmsd:.4g}", f"{part.relative_rmsd:.3f}"]
        numbers.add_row(name, *values)
    shown: list[Table | str] = [numbers]
    shown += [_pair_table("Absorption bands", result.absorption_bands, signed=False)] if result.absorption_bands else []
    shown += [_pair_table("CD bands", result.cd_bands, signed=True)] if result.cd_bands else []
    if result.hand is not None:
        shown.append(_hand(result))
    return shown + [f"note: {note}" for note in result.warnings]


def _hand(result: Comparison) -> str:
    """The hand, and what it is worth."""
    from clusterml.spectrum.compare import percent

    words = f"hand: {result.hand}"
    if result.chance.cd is not None:
        words += f" (a random CD matches as well, in either hand, in {percent(result.chance.cd)} of the cases)"
    if result.sign_agreement is None:
        return f"{words}; no CD band matched"
    count = sum(pair.same_sign is not None for pair in result.cd_bands)
    words += f"; {100 * result.sign_agreement:.0f} % of the {count} matched CD bands have the same sign"
    if result.chance.sign_agreement is not None:
        words += f" (as one-sided in {percent(result.chance.sign_agreement)} of the cases)"
    return words


def _pair_table(title: str, pairs: tuple[BandPair, ...], signed: bool) -> Table:
    """Bands of A beside those of B; ``signed``: heights have a sign, which is compared."""
    from rich.table import Table

    table = Table(title=title)
    headings = ["A / eV", "A / nm", "A height", "B / eV", "B / nm", "B height", "A moved - B / eV"]
    for heading in headings + ["sign"] * signed:
        table.add_column(heading, justify="right")
    for pair in pairs:
        residual = "-" if pair.residual_ev is None else f"{pair.residual_ev:+.3f}"
        sign = {True: "same", False: "opposite", None: "-"}[pair.same_sign]
        table.add_row(*_peak(pair.a, signed), *_peak(pair.b, signed), residual, *[sign] * signed)
    return table


def _band_tables(result: BandComparison) -> list[Table | str]:
    from rich.table import Table

    table = Table(title=f"Measured bands of {result.system}; computed energies moved by {result.shift_ev:+.3f} eV")
    for heading in (
        "quantity",
        "state",
        "kind",
        "measured / nm",
        "computed / eV",
        "computed / nm",
        "height",
        "deviation",
    ):
        table.add_column(heading, justify="left" if heading in ("quantity", "state", "kind") else "right")
    for entry in result.matches:
        deviation = "-" if entry.deviation_ev is None else f"{entry.deviation_ev:+.3f} eV"
        band = entry.measured
        computed = _peak(entry.computed, signed=band.quantity == "cd")
        table.add_row(band.quantity, band.state or "-", band.kind, f"{band.nm:.0f}", *computed, deviation)
    mean = "none" if result.mean_deviation_ev is None else f"mean deviation {result.mean_deviation_ev:.3f} eV"
    summary = f"{result.n_matched} of {len(result.matches)} bands matched; {mean}"
    worth = f"a random list of bands matches as well in {100 * result.chance:.0f} % of the cases"
    return [table, summary, worth, *(f"note: {note}" for note in result.warnings)]


def _peak(peak: Peak | None, signed: bool) -> tuple[str, str, str]:
    """Energy, wavelength and height (``signed``: with its plus); ``sh`` marks a shoulder."""
    if peak is None:
        return "-", "-", "-"
    mark = " sh" if peak.kind == "shoulder" else ""
    return f"{peak.energy_ev:.3f}{mark}", f"{peak.wavelength_nm:.0f}", format(peak.height, "+.3g" if signed else ".3g")

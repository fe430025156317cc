"""``clusterml compare A B``: similarity of two spectra, or of a spectrum and a list of measured bands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from clusterml.spectrum.bands import BandComparison
    from clusterml.spectrum.compare import BandPair, Comparison
    from clusterml.spectrum.peaks import Peak
    from clusterml.spectrum.spectrum import Spectrum

BANDS = "bands:"
"""What B begins with to name a list of measured bands."""


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="Spectrum to judge: JSON of label or predict, CSV, JCAMP-DX.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Reference: the same, or bands:SYSTEM, e.g. bands:Ag29-BDT.")],
    fit_shift: Annotated[bool, typer.Option(help="Shift all energies of A by one number of eV to match B.")] = True,
    fit_width: Annotated[bool, typer.Option("--fit-width", help="Broaden A further to match B.")] = False,
    max_shift: Annotated[float, typer.Option(metavar="EV", help="Largest shift that may be fitted.")] = 0.5,
    concentration_a: Annotated[float | None, typer.Option(metavar="MOL_L", help="For A in absorbance, mdeg.")] = None,
    concentration_b: Annotated[float | None, typer.Option(metavar="MOL_L", help="For B in absorbance, mdeg.")] = None,
    path_a: Annotated[float | None, typer.Option(metavar="CM", help="Path length of the cell for A.")] = None,
    path_b: Annotated[float | None, typer.Option(metavar="CM", help="Path length of the cell for B.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write compare.json and compare.png here.")
    ] = None,
) -> None:
    """Similarity of two spectra: computed, predicted or measured, in JSON, CSV, text or JCAMP-DX.

    A is shifted (and with --fit-width broadened) on the energy axis to match B; the CD is compared with its sign, so
    mirror images get a CD cosine of -1.  Measured absorbance and mdeg need --concentration-a/-b and --path-a/-b.
    """
    from clusterml.spectrum.measured import read_spectrum

    first = read_spectrum(a, concentration_a, path_a, "-a")
    if b.lower().startswith(BANDS):
        from clusterml.spectrum.bands import compare_bands

        listed = compare_bands(first, b[len(BANDS) :], common_shift=fit_shift)
        _report({"a": a, "b": b, **listed.to_dict()}, _band_tables(listed), as_json, output)
        if output is not None:
            first.plot(output / "compare.png", title=f"{Path(a).name} and measured bands of {listed.system}")
        return
    from clusterml.spectrum.compare import compare as compare_spectra

    second = read_spectrum(b, concentration_b, path_b, "-b")
    result = compare_spectra(first, second, fit_shift, fit_width, max_shift)
    _report({"a": a, "b": b, **result.to_dict()}, _tables(result), as_json, output)
    if output is not None:
        _overlay(first, second, result, (Path(a).name, Path(b).name), output / "compare.png")

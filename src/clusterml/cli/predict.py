"""``clusterml predict FILE ..``: absorption and CD spectra of structures with the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import (
    BandWidth,
    LibraryFile,
    PictureAxis,
    PictureRange,
    StructureFiles,
    picture_view,
    reads_structures,
)
from clusterml.inference.predict import DEFAULT_MINUTES, EngineUse
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.run.threads import choose_threads, use_threads
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from clusterml.batch.structures import Failure, Outcome
    from clusterml.inference.predictor import Predictor
    from clusterml.run.progress import Reporter

_NOTE = "the CD is that of GFN1-xTB; other methods may give another (see clusterml predict --help)"


@reads_structures
def predict(
    context: typer.Context,
    files: StructureFiles,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="A checkpoint, see clusterml models, or the folder of one.")
    ] = DEFAULT_MODEL,
    charge: Annotated[int | None, typer.Option(help="Total charge; else the file's, else proposed.")] = None,
    ensemble: Annotated[
        int | None, typer.Option(metavar="N", help="Mean spectrum of N thermal snapshots of the geometry.")
    ] = None,
    temperature: Annotated[float, typer.Option(metavar="K", help="Temperature of --ensemble.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Of the snapshots of --ensemble.")] = 0,
    engine: Annotated[
        EngineUse,
        typer.Option(
            help="When the physics engine computes: out of the network's domain or where the network's CD is not "
            "significant (auto), never, or always."
        ),
    ] = "auto",
    engine_limit: Annotated[
        float, typer.Option(metavar="MINUTES", help="Time that the engine may take for all structures together.")
    ] = DEFAULT_MINUTES,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    reading: ReadOptions = DEFAULT_READING,
    library: LibraryFile = None,
    fwhm: BandWidth = None,
    axis: PictureAxis = "ev",
    shown: PictureRange = None,
    jcamp: Annotated[bool, typer.Option("--jcamp", help="Write JCAMP-DX too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else; files are written only with --output.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results [default: results].")
    ] = None,
) -> None:
    """Absorption and CD by the network, with its uncertainty, or by the engine where the network is not sure.

    Each structure gives JSON, CSV and PNG in the folder --output, and a line of the summary, which say who computed the
    spectrum and why. A file that fails is reported on stderr and does not stop the others; the exit code is then 1.

    What a CD is worth: network and engine give that of GFN1-xTB orbitals in vacuum with linear response. Other methods
    agree about the absorption of silver clusters and not about their CD: for three clusters, cosines of the CD with
    GFN2-xTB, sTDA-xTB and PBE are -0.6 to 0.4. A significant sign is that of the method. Compare with a measured
    spectrum (clusterml compare) before a hand is assigned.
    """
    use_threads(choose_threads(threads))  # before anything imports numpy

    from clusterml.batch.predict import FileOptions, predict_files
    from clusterml.cli.report import report
    from clusterml.engine.protocol import ThermalEnsemble
    from clusterml.inference.predict import EngineOptions

    thermal = None if ensemble is None else ThermalEnsemble(ensemble, temperature, seed)
    folder = output if output is not None or as_json else Path("results")
    options = FileOptions(
        charge=charge,
        thermal=thermal,
        reading=reading,
        output=folder,
        view=picture_view(axis, shown, folder),
        jcamp=jcamp,
        keep_json=as_json,
        engine=EngineOptions(engine, engine_limit, thermal, reading.allow_several),
    )

    def results(reporter: Reporter) -> Iterator[Outcome | Failure]:
        return predict_files(files, lambda: _load(model, device, fwhm), options, reporter)

    debug = context.obj.debug
    if not report(results, as_json=as_json, output=options.output, doing="predict", debug=debug, note=_NOTE):
        raise typer.Exit(1)


def _load(model: str, device: str, fwhm_ev: float | None) -> Predictor:
    from clusterml.run.memory import collection_paused

    with collection_paused():
        from clusterml.inference.predictor import Predictor

        return Predictor.load(model, device).at_width(fwhm_ev)

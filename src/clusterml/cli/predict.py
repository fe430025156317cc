"""``clusterml predict FILE ..``: absorption and CD spectra of structures with the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import (
    BandWidth,
    Charge,
    LibraryFile,
    ModelName,
    NetworkDevice,
    PictureOptions,
    ResultOptions,
    Resume,
    Snapshots,
    StructureFiles,
    Threads,
    with_groups,
)
from clusterml.inference.predict import DEFAULT_MINUTES, EngineUse
from clusterml.io.shipped import DEFAULT_MODEL
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from clusterml.batch.structures import Result
    from clusterml.inference.predictor import Predictor
    from clusterml.run.progress import Reporter

_NOTE = "what a CD is worth: clusterml predict --help"


@with_groups
def predict(
    context: typer.Context,
    files: StructureFiles,
    *,
    model: ModelName = DEFAULT_MODEL,
    charge: Charge = None,
    snapshots: Snapshots,
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
    device: NetworkDevice = "auto",
    threads: Threads = None,
    reading: ReadOptions,
    library: LibraryFile = None,
    fwhm: BandWidth = None,
    picture: PictureOptions,
    results: ResultOptions,
    resume: Resume = False,
) -> None:
    """Absorption and CD by the network, with its uncertainty, or by the engine where the network is not sure.

    Each structure gives JSON, CSV and PNG in the folder --output, and a line of the summary, which say who computed the
    spectrum and why. A file that fails is reported on stderr and does not stop the others; the exit code is then 1.

    What a CD is worth: network and engine give that of gfn1-pbe orbitals in vacuum with linear response (GFN1-xTB with
    a Hamiltonian refitted to PBE). Other methods agree about the absorption of silver clusters and not about their CD.
    How far it is from PBE was measured, and every result says it: label_error beside the CD, and how many signs DFT
    supports. The column "CD sign" says how sure network and engine agree, which is another question. Compare with a
    measured spectrum (clusterml compare) before a hand is assigned.
    """
    use_threads(choose_threads(threads))  # before anything imports numpy

    from clusterml.batch.predict import FileOptions, predict_files
    from clusterml.cli.report import report
    from clusterml.inference.predict import EngineOptions

    thermal = snapshots.thermal()
    options = FileOptions(
        charge=charge,
        thermal=thermal,
        reading=reading,
        output=results.folder,
        view=picture.view(results.folder),
        jcamp=picture.jcamp,
        keep_json=results.as_json,
        resume=resume,
        engine=EngineOptions(engine, engine_limit, thermal, reading.allow_several),
    )

    def predict_all(reporter: Reporter) -> Iterator[Result]:
        return predict_files(files, lambda: _load(model, device, fwhm), options, reporter)

    debug, as_json = context.obj.debug, results.as_json
    if not report(predict_all, as_json=as_json, output=results.folder, doing="predict", debug=debug, note=_NOTE):
        raise typer.Exit(1)


def _load(model: str, device: str, fwhm_ev: float | None) -> Predictor:
    from clusterml.run.resources import collection_paused

    with collection_paused():
        from clusterml.inference.predictor import Predictor

        return Predictor.load(model, device).at_width(fwhm_ev)

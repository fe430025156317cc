"""``clusterml predict FILE ..``: absorption and CD spectra of structures with the network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import LibraryFile, StructureFiles, reads_structures
from clusterml.shipped import DEFAULT_MODEL
from clusterml.stda.threads import choose_threads, use_threads
from clusterml.structure.options import DEFAULT_READING, ReadOptions

if TYPE_CHECKING:
    from clusterml.stda.structures import Failure, Outcome, Watch


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
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default OMP_NUM_THREADS or all cores.")] = None,
    reading: ReadOptions = DEFAULT_READING,
    library: LibraryFile = None,
    jcamp: Annotated[bool, typer.Option("--jcamp", help="Write JCAMP-DX too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else; files are written only with --output.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results [default: results].")
    ] = None,
) -> None:
    """Absorption and CD by the network, with its uncertainty.

    Each structure gives JSON, CSV and PNG in the folder --output, and a line of the summary. A structure unlike the
    training data gets a warning, and in_domain false in its JSON. A file that fails is reported on stderr and does not
    stop the others; the exit code is then 1.
    """
    use_threads(choose_threads(threads))  # before anything imports numpy

    from clusterml.cli.report import report
    from clusterml.inference.files import FileOptions, predict_files
    from clusterml.inference.predictor import Predictor
    from clusterml.inference.thermal import Thermal

    options = FileOptions(
        charge=charge,
        thermal=None if ensemble is None else Thermal(ensemble, temperature, seed),
        reading=reading,
        output=output if output is not None or as_json else Path("results"),
        jcamp=jcamp,
        keep_json=as_json,
    )
    predictor = Predictor.load(model, device)

    def results(watch: Watch) -> Iterator[Outcome | Failure]:
        return predict_files(files, predictor, options, watch)

    if not report(results, as_json=as_json, output=options.output, doing="predict", debug=context.obj.debug):
        raise typer.Exit(1)

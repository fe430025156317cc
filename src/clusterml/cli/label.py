"""``clusterml label FILE ..``: absorption and CD spectra of structures with the physics engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import LibraryFile, PictureAxis, PictureRange, StructureFiles, picture_view, reads_structures
from clusterml.engine.choices import Dtype, Gauge, Mode
from clusterml.run.threads import choose_threads, use_threads
from clusterml.structure.options import DEFAULT_READING, ReadOptions
from clusterml.structure.solvents import SolventModel

if TYPE_CHECKING:
    from clusterml.batch.structures import Failure, Outcome
    from clusterml.run.progress import Reporter


@reads_structures
def label(
    context: typer.Context,
    files: StructureFiles,
    charge: Annotated[int | None, typer.Option(help="Total charge; else the file's, else proposed.")] = None,
    emax: Annotated[float, typer.Option(metavar="EV", help="Highest excitation energy.")] = 6.0,
    fwhm: Annotated[float, typer.Option(metavar="EV", help="Full width of the bands at half maximum.")] = 0.2,
    mode: Annotated[Mode, typer.Option(help="For stda-xtb: smooth (continuous) or reference (as std2).")] = "smooth",
    states: Annotated[bool, typer.Option("--states", help="Compute and store every excitation up to --emax.")] = False,
    gauge: Annotated[Gauge, typer.Option(help="Gauge of the CD; length depends on the origin.")] = "velocity",
    orbitals: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Source of the orbitals: gfn1, gfn2, stda-xtb, molden, .. [default: gfn1; of a Molden file its own; "
            "stda-xtb with --mode reference].",
        ),
    ] = None,
    ax: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Fock exchange in the functional of a Molden file's orbitals [default: 0]."),
    ] = None,
    solvent: Annotated[str | None, typer.Option(help="Implicit solvent for gfn1 and gfn2, e.g. methanol.")] = None,
    solvation: Annotated[SolventModel, typer.Option(help="Model of --solvent.")] = "gbsa",
    electronic_temperature: Annotated[
        float | None,
        typer.Option(metavar="K", help="Of gfn1, gfn2 and dft; higher converges more easily [default: 300]."),
    ] = None,
    xc: Annotated[
        str | None, typer.Option(metavar="NAME", help="For dft: a density functional, e.g. pbe0 [default: pbe].")
    ] = None,
    basis: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For dft: a basis set, e.g. def2-svp,Ag=lanl2dz [default: def2-svp]."),
    ] = None,
    density_fit: Annotated[
        bool | None,
        typer.Option(
            "--density-fit/--no-density-fit", help="For dft: Coulomb part in an auxiliary basis [default: yes]."
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="For dft: folder of the last cycles, to go on from [default: checkpoints in --output]."
        ),
    ] = None,
    ensemble: Annotated[
        int | None, typer.Option(metavar="N", help="Mean spectrum of N thermal snapshots, with its spread.")
    ] = None,
    temperature: Annotated[float, typer.Option(metavar="K", help="Temperature of --ensemble.")] = 300.0,
    seed: Annotated[int, typer.Option(help="Of the snapshots of --ensemble.")] = 0,
    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where the linear algebra runs.")] = "cpu",
    dtype: Annotated[Dtype, typer.Option(help="Precision of the excited states.")] = "float64",
    memory_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Memory of all solvers together; default 70 % of what is free.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of all jobs together; default OMP_NUM_THREADS or all cores.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Structures computed at a time, each in a process of its own.")] = 1,
    groups: Annotated[
        Path | None, typer.Option(metavar="JSON", help='Atom groups for the bands: {"NAME": [atom numbers from 1]}.')
    ] = None,
    molden: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the orbitals as a Molden file.")] = None,
    reading: ReadOptions = DEFAULT_READING,
    library: LibraryFile = None,
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
    """Absorption and CD spectra by the physics engine.

    Structures, or Molden files with the orbitals of a finished calculation (ORCA, CP2K, Turbomole, ..).
    Each gives JSON, CSV and PNG in the folder --output, and a line of the summary. A file that fails is
    reported on stderr and does not stop the others; the exit code is then 1.
    """
    use_threads(threads := choose_threads(threads))  # before anything imports numpy

    from clusterml.batch.label import BatchOptions, run
    from clusterml.cli.report import report
    from clusterml.engine.protocol import Compute, ThermalEnsemble, make_protocol

    folder = output if output is not None or as_json else Path("results")
    protocol = make_protocol(
        orbitals=orbitals,
        emax_ev=emax,
        fwhm_ev=fwhm,
        mode=mode,
        solver="states" if states else "spectrum",
        dtype=dtype,
        gauge=gauge,
        solvation=solvation,
        solvent=solvent,
        electronic_temperature_k=electronic_temperature,
        ax=ax,
        xc=xc,
        basis=basis,
        density_fit=density_fit,
        ensemble=None if ensemble is None else ThermalEnsemble(ensemble, temperature, seed),
    )
    if protocol.orbitals == "dft" and checkpoint is None and folder is not None:
        checkpoint = folder / "checkpoints"
    options = BatchOptions(
        charge=charge,
        protocol=protocol,
        compute=Compute(device, threads, memory_gb, None if checkpoint is None else str(checkpoint)),
        own_orbitals=orbitals is None and mode == "smooth",
        groups=groups,
        reading=reading,
        output=folder,
        view=picture_view(axis, shown, folder),
        molden=molden,
        states=states,
        jcamp=jcamp,
        keep_json=as_json,
    )

    def results(reporter: Reporter) -> Iterator[Outcome | Failure]:
        return run(files, options, jobs=jobs, threads=threads, reporter=reporter)

    if not report(results, as_json=as_json, output=options.output, doing="label", debug=context.obj.debug):
        raise typer.Exit(1)

"""``clusterml label FILE ..``: absorption and CD spectra of structures with the physics engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clusterml.cli.options import (
    Charge,
    LibraryFile,
    PictureOptions,
    ResultOptions,
    Resume,
    Snapshots,
    StructureFiles,
    with_groups,
)
from clusterml.engine.choices import Dtype, Gauge, Mode
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.options import ReadOptions
from clusterml.structure.solvents import SolventModel

if TYPE_CHECKING:
    from clusterml.batch.structures import Result
    from clusterml.engine.protocol import Compute, Protocol
    from clusterml.run.progress import Reporter


@dataclass(frozen=True)
class MethodOptions:
    """Options of how spectra are computed."""

    emax: Annotated[float, typer.Option(metavar="EV", help="Highest excitation energy.")] = 6.0
    fwhm: Annotated[float, typer.Option(metavar="EV", help="Full width of the bands at half maximum.")] = 0.2
    mode: Annotated[Mode, typer.Option(help="For stda-xtb: smooth (continuous) or reference (as std2).")] = "smooth"
    states: Annotated[bool, typer.Option("--states", help="Compute and store every excitation up to --emax.")] = False
    gauge: Annotated[Gauge, typer.Option(help="Gauge of the CD; length depends on the origin.")] = "velocity"
    orbitals: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Source of the orbitals: gfn1-pbe, gfn1, gfn2, stda-xtb, dft, molden, .. [default: gfn1-pbe; of a "
            "Molden file its own; stda-xtb with --mode reference].",
        ),
    ] = None
    solvent: Annotated[str | None, typer.Option(help="Implicit solvent for gfn1 and gfn2, e.g. methanol.")] = None
    solvation: Annotated[SolventModel, typer.Option(help="Model of --solvent.")] = "alpb"
    electronic_temperature: Annotated[
        float | None,
        typer.Option(metavar="K", help="Of gfn1, gfn2 and dft; higher converges more easily [default: 300]."),
    ] = None
    charge_tolerance: Annotated[
        float | None,
        typer.Option(metavar="E", help="Of gfn1 and gfn2: residual of shell charges to end at [default: 2e-5]."),
    ] = None
    xc: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="For dft: a density functional, e.g. pbe0 [default: pbe]; for molden: which it was."
        ),
    ] = None
    ax: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="For molden, instead of --xc: Fock exchange of the functional [default: 0]."
        ),
    ] = None
    basis: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For dft: a basis set, e.g. def2-svp,Ag=lanl2dz [default: def2-svp]."),
    ] = None
    density_fit: Annotated[
        bool | None,
        typer.Option(
            "--density-fit/--no-density-fit", help="For dft: Coulomb part in an auxiliary basis [default: yes]."
        ),
    ] = None
    dtype: Annotated[Dtype, typer.Option(help="Precision of the excited states.")] = "float64"

    def protocol(self, snapshots: Snapshots = Snapshots()) -> Protocol:
        """What they say together; raises OptionError."""
        from clusterml.engine.protocol import make_protocol

        return make_protocol(
            orbitals=self.orbitals,
            emax_ev=self.emax,
            fwhm_ev=self.fwhm,
            mode=self.mode,
            solver="states" if self.states else "spectrum",
            dtype=self.dtype,
            gauge=self.gauge,
            solvent=self.solvent,
            solvation=self.solvation,
            electronic_temperature_k=self.electronic_temperature,
            charge_tolerance=self.charge_tolerance,
            ax=self.ax,
            xc=self.xc,
            basis=self.basis,
            density_fit=self.density_fit,
            ensemble=snapshots.thermal(),
        )


@dataclass(frozen=True)
class MachineOptions:
    """Options of what is computed with."""

    device: Annotated[str, typer.Option(metavar="cpu|cuda", help="Where the linear algebra runs.")] = "cpu"
    memory_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Memory of all solvers together; default 70 % of what is free.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of all jobs together; default OMP_NUM_THREADS or all cores.")
    ] = None
    jobs: Annotated[int, typer.Option(help="Structures computed at a time, each in a process of its own.")] = 1
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For dft and cp2k: where last cycles are kept, to go on [default: OUTPUT/checkpoints].",
        ),
    ] = None

    def compute(self, threads: int, protocols: Sequence[Protocol], folder: Path | None) -> Compute:
        """What they say together; ``folder``: of the results.  Raises OptionError."""
        from clusterml.engine.orbitals.source import SOURCES
        from clusterml.engine.protocol import Compute

        place = self.checkpoint
        if place is None and folder is not None and any(SOURCES.named(p.orbitals, "orbitals").cost for p in protocols):
            place = folder / "checkpoints"
        return Compute(self.device, threads, self.memory_gb, None if place is None else str(place))


@with_groups
def label(
    context: typer.Context,
    files: StructureFiles,
    *,
    charge: Charge = None,
    method: MethodOptions,
    consensus: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="How far protocols agree: sources of orbitals, each with :SOLVENT if wanted, such as "
            "gfn1,gfn1:methanol,stda-xtb.",
        ),
    ] = None,
    snapshots: Snapshots,
    machine: MachineOptions,
    groups: Annotated[
        Path | None, typer.Option(metavar="JSON", help='Atom groups for the bands: {"NAME": [atom numbers from 1]}.')
    ] = None,
    molden: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the orbitals as a Molden file.")] = None,
    reading: ReadOptions,
    library: LibraryFile = None,
    picture: PictureOptions,
    results: ResultOptions,
    resume: Resume = False,
) -> None:
    """Absorption and CD spectra by the physics engine.

    Structures, or Molden files with the orbitals of a finished calculation (ORCA, CP2K, Turbomole, ..).
    Each gives JSON, CSV and PNG in the folder --output, and a line of the summary. A file that fails is
    reported on stderr and does not stop the others; the exit code is then 1.
    """
    use_threads(threads := choose_threads(machine.threads))  # before anything imports numpy

    from clusterml.batch.label import BatchOptions, run
    from clusterml.cli.report import report

    protocol = method.protocol(snapshots)
    several = () if consensus is None else _protocols(consensus, protocol)
    options = BatchOptions(
        charge=charge,
        protocol=protocol,
        consensus=several,
        compute=machine.compute(threads, several or (protocol,), results.folder),
        own_orbitals=method.orbitals is None and method.mode == "smooth",
        groups=groups,
        reading=reading,
        output=results.folder,
        view=picture.view(results.folder),
        molden=molden,
        states=method.states,
        jcamp=picture.jcamp,
        keep_json=results.as_json,
        resume=resume,
    )

    def label_all(reporter: Reporter) -> Iterator[Result]:
        return run(files, options, jobs=machine.jobs, threads=threads, reporter=reporter)

    debug = context.obj.debug
    if not report(label_all, as_json=results.as_json, output=results.folder, doing="label", debug=debug):
        raise typer.Exit(1)


def _protocols(names: str, base: Protocol) -> tuple[Protocol, ...]:
    """Those of ``--consensus``; raises OptionError."""
    from clusterml.engine.consensus import parse_protocols

    return parse_protocols(names, base)

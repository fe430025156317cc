"""Options that several verbs share: written once, with one type, default and explanation each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from clusterml.errors import OptionError
from clusterml.run.resources import choose_threads, use_threads
from clusterml.structure.crystal import Disorder
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
    from clusterml.engine.protocol import ThermalEnsemble
    from clusterml.run.launcher import Launcher
    from clusterml.spectrum.view import View

StructureFiles = Annotated[list[Path], typer.Argument(metavar="FILE", help="Structure files, or folders of them.")]
"""The argument of verbs that read any number of structures."""
StructureFile = Annotated[Path, typer.Argument(metavar="FILE", help="A structure file: xyz, cif, ..")]
"""The argument of verbs that read one structure."""


def _use_library(context: typer.Context, path: Path | None) -> Path | None:
    """Ligands are named in the file's library, too, until the verb ends."""
    if path is not None and not context.resilient_parsing:
        from clusterml.structure.anatomy.library import load_library, using_library

        context.with_resource(using_library(load_library(path)))
    return path


LibraryFile = Annotated[
    Path | None,
    typer.Option("--library", metavar="YAML", help="More ligands, in a file of yours.", callback=_use_library),
]
"""The option ``--library``: it takes effect where it is declared, the verb has nothing to do with its value."""
PictureAxis = Annotated[
    Literal["ev", "nm"], typer.Option("--axis", help="Axis of the picture: photon energy or wavelength.")
]
"""The option of verbs that draw spectra."""
PictureRange = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW:HIGH", help="Part in the picture, in the unit of --axis, e.g. 250:900."),
]
"""The option of verbs that draw spectra; see :func:`clusterml.spectrum.view.parse_view`."""
Charge = Annotated[int | None, typer.Option("--charge", help="Total charge; else the file's, else proposed.")]
ModelName = Annotated[
    str, typer.Option("--model", metavar="NAME", help="A checkpoint, see clusterml models, or the folder of one.")
]
"""The option of verbs that predict."""
OtherModel = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="Another checkpoint than CONFIG's or the default one, see clusterml models."
    ),
]
"""The option of verbs whose configuration names a checkpoint."""
OtherLibrary = Annotated[
    Path | None,
    typer.Option("--library", metavar="YAML", help="More ligands, in a file of yours; as library= in CONFIG."),
]
"""The option of verbs whose configuration may name a library."""
NetworkDevice = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where the network runs.")]
Threads = Annotated[int | None, typer.Option("--threads", help="CPU threads; default OMP_NUM_THREADS or all cores.")]
BandWidth = Annotated[
    float | None, typer.Option(metavar="EV", help="Full width of the bands at half maximum [default: the network's].")
]
"""The option of verbs whose spectra have a smallest width."""
_READING: dict[str, Any] = {
    "cluster": Annotated[int, typer.Option(metavar="K", help="Which cluster of a crystal, from 1.")],
    "disorder": Annotated[
        Disorder,
        typer.Option(
            help="Disordered crystals: keep the most occupied part, the first (A), the second (B), or refuse."
        ),
    ],
    "hydrogens": Annotated[
        bool | None,
        typer.Option("--hydrogens/--no-hydrogens", help="Add hydrogens that carbons lack [default: for crystals]."),
    ],
    "allow_several": Annotated[
        bool, typer.Option("--allow-several", help="Accept separate molecules in a file without a lattice.")
    ],
    "frame": Annotated[
        int | None, typer.Option(metavar="N", help="Which structure of a file that holds several, from 1.")
    ],
    "format": Annotated[
        str | None, typer.Option(metavar="NAME", help="Format of the files [default: what their names say].")
    ],
}


def refuse_vain(what: str, options: dict[str, Any]) -> None:
    """Raise :class:`OptionError` for options that are given (not None) and that ``what`` makes pointless."""
    if vain := [name for name, value in options.items() if value is not None]:
        raise OptionError(f"with {what} {' and '.join(vain)} would change nothing", "leave it out")


def picture_view(axis: Literal["ev", "nm"], shown: str | None, output: Path | None) -> View:
    """What pictures show; raises :class:`OptionError` for a bad range, and where no ``output`` is written."""
    from clusterml.spectrum.view import parse_view

    if output is None:
        refuse_vain("no --output", {"--axis": None if axis == "ev" else axis, "--range": shown})
    return parse_view(axis, shown)


@dataclass(frozen=True)
class Snapshots:
    """Options of verbs that average over thermal motion."""

    ensemble: Annotated[
        int | None, typer.Option(metavar="N", help="Mean spectrum of N thermal snapshots, with its spread.")
    ] = None
    temperature: Annotated[float, typer.Option(metavar="K", help="Temperature of --ensemble.")] = 300.0
    seed: Annotated[int, typer.Option(min=0, help="Of the snapshots of --ensemble.")] = 0

    def thermal(self) -> ThermalEnsemble | None:
        """The ensemble that is asked for; raises :class:`OptionError`."""
        from clusterml.engine.protocol import ThermalEnsemble

        return None if self.ensemble is None else ThermalEnsemble(self.ensemble, self.temperature, self.seed)


@dataclass(frozen=True)
class ResultOptions:
    """Options of verbs that print a result for each file, as JSON too, and write files into a folder."""

    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON and nothing else; files are written only with --output.")
    ] = False
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results [default: results].")
    ] = None

    @property
    def folder(self) -> Path | None:
        """Where files are written; None: nowhere."""
        return self.output if self.output is not None or self.as_json else Path("results")


Resume = Annotated[
    bool, typer.Option("--resume", help="Leave out structures whose results, by the same options, are in --output.")
]
"""The option of verbs that compute results of many files."""


@dataclass(frozen=True)
class PictureOptions:
    """Options of verbs that write files of spectra."""

    axis: PictureAxis = "ev"
    shown: PictureRange = None
    jcamp: Annotated[bool, typer.Option("--jcamp", help="Write JCAMP-DX too.")] = False

    def view(self, folder: Path | None) -> View:
        """What pictures show; raises :class:`OptionError` for a bad range, and where no ``folder`` is written."""
        return picture_view(self.axis, self.shown, folder)


@dataclass(frozen=True)
class Workers:
    """Options of verbs that share work among processes or the computers of a cluster."""

    workers: Annotated[int, typer.Option(help="Processes (of a local cluster too) that work at a time.")] = 1
    threads: Annotated[int | None, typer.Option(help="CPU threads of all workers together.")] = None
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Run as Ray tasks: ray://HOST:PORT, auto or local.")
    ] = None

    def limit_threads(self) -> None:
        """This process takes a worker's share of the threads; to be called before anything imports numpy."""
        use_threads(max(1, choose_threads(self.threads) // max(self.workers, 1)))

    def launcher(self, gpus: int) -> Launcher:
        """Where the work is done; ``gpus``: of each task on a cluster.  Raises :class:`OptionError`."""
        from clusterml.run.launcher import launcher

        return launcher(self.workers, choose_threads(self.threads), self.cluster, gpus)


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """The ``verb`` with many options in the place of a parameter that is a dataclass: one for each of its fields.

    It is called with the object that they make, such as a :class:`~clusterml.structure.options.ReadOptions`.  The
    parameters after ``*`` may be groups and options in any order, which is that of the help.
    """
    signature, hints = inspect.signature(verb), get_type_hints(verb, include_extras=True)
    groups = {name: hints[name] for name in signature.parameters if is_dataclass(hints[name])}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        own = [parameter.replace(annotation=hints[parameter.name])]
        parameters += _parameters(groups[parameter.name]) if parameter.name in groups else own

    @functools.wraps(verb)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        verb(**values)

    del run.__wrapped__  # the command line is that of `run`
    run.__signature__ = signature.replace(parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _parameters(group: Any) -> list[inspect.Parameter]:
    """An option for each field of a dataclass."""
    hints = _READING if group is ReadOptions else get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, kind, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]

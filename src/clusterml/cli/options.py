"""Options that several verbs share: written once, with one type, default and explanation each."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from clusterml.errors import OptionError
from clusterml.structure.crystal import Disorder
from clusterml.structure.options import ReadOptions

if TYPE_CHECKING:
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


def reads_structures(verb: Callable[..., None]) -> Callable[..., None]:
    """The ``verb`` with the options of reading structures in the place of its parameter ``reading``.

    It is called with the :class:`~clusterml.structure.options.ReadOptions` that they make.
    """
    signature = inspect.signature(verb)
    hints = get_type_hints(verb, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        own = [parameter.replace(annotation=hints[parameter.name])]
        parameters += _parameters() if parameter.name == "reading" else own

    @functools.wraps(verb)
    def run(**values: Any) -> None:
        reading = ReadOptions(**{field.name: values.pop(field.name) for field in fields(ReadOptions)})
        verb(reading=reading, **values)

    del run.__wrapped__  # the command line is that of `run`
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _parameters() -> list[inspect.Parameter]:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(field.name, kind, default=field.default, annotation=_READING[field.name])
        for field in fields(ReadOptions)
    ]

"""The verbs of ``clusterml``, imported when they are called; options that would be ignored are refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from clusterml.batch.needs import refuse_ignored
from clusterml.errors import OptionError

_READING = ("cluster", "disorder", "hydrogens", "allow_several", "frame", "format")
ENDS: dict[str, dict[str, tuple[str, ...]]] = {
    "build": {"show": ("library",)},
    "distort": {"show": _READING},
    "substitute": {"show": (*_READING, "old", "library")},
    "screen": {"keys": (), "report": ()},
    "train": {"keys": ()},
    "generate": {"keys": ()},
}
"""Verb -> options that print something and end it -> the options that still have an effect then."""


_USAGE: Any = typer.BadParameter.__bases__[0]
"""What is raised for words that cannot be understood; typer has no name for it."""
_ALIKE = 0.7
"""Share of letters that a suggested option has in common with the word that was typed."""


class CarefulCommand(TyperCommand):
    """A verb that refuses options it would ignore."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the verb; what is wrong with one is said without the name of Python's exception.

        Options like an unknown one are suggested only where they are near.
        """
        try:
            return list(super().parse_args(ctx, args))
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise
        except _USAGE as error:
            if unknown := getattr(error, "option_name", ""):
                names = [name for parameter in self.params for name in (*parameter.opts, *parameter.secondary_opts)]
                error.__dict__["possibilities"] = near_options(unknown, names)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the verb.  Raises :class:`~clusterml.errors.OptionError` naming an option without effect."""
        given = {p.name: p.opts[-1] for p in self.params if p.param_type_name == "option" and _typed(ctx, p.name)}
        for end, useful in ENDS.get(self.name or "", {}).items():
            if end in given:
                for name in given.keys() - {end, *useful}:
                    raise OptionError(f"{given[name]} has no effect with {given[end]}", f"leave {given[name]} out")
                return super().invoke(ctx)
        refuse_ignored(self.name or "", given, ctx.params)
        return super().invoke(ctx)


def near_options(name: str, options: Iterable[str]) -> list[str]:
    """Those of ``options`` that ``name`` may have been meant to be: the dashes, which all have, do not count."""
    from difflib import SequenceMatcher

    word = name.strip("-").casefold()
    alike = {
        option: SequenceMatcher(None, word, option.strip("-").casefold()).ratio()
        for option in options
        if option.startswith("--")
    }
    return sorted((option for option in alike if alike[option] >= _ALIKE), key=lambda option: -alike[option])


def _typed(context: Any, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"


VERBS = {
    "inspect": "What is in a file: cluster, charge, symmetry, ligands.",
    "predict": "Absorption and CD by the network, with uncertainty.",
    "label": "Absorption and CD by the physics engine.",
    "explain": "Which atoms and ligands a CD comes from.",
    "compare": "How alike two spectra are, computed or measured.",
    "chirality": "Chirality and symmetry measures, whole and by part.",
    "build": "A model of a cluster from a blueprint and ligands.",
    "complete": "Give a bare core its shell.",
    "relax": "Relax a structure with GFN-xTB.",
    "distort": "Distort a cluster along a named mode.",
    "substitute": "Exchange ligands of a cluster.",
    "screen": "Rank many candidates, and verify the best.",
    "design": "Climb from the best candidates to a better CD.",
    "dataset": "Label campaigns, and the datasets they make.",
    "train": "Train a network, or fine-tune one.",
    "evaluate": "Judge a network on records it has not seen.",
    "models": "The checkpoints there are, or the card of one.",
    "serve": "Spectra over HTTP, and a page for the browser.",
    "init": "Write a commented configuration to start from.",
}
"""What each verb does, in so few words that a line of the help holds them."""


class _Verbs(MutableMapping[str, Any]):
    """Verb -> click command, made on first use of module ``clusterml.cli.VERB``."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            if name not in VERBS:
                raise KeyError(name)
            self._made[name] = _command(name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


def _command(name: str) -> Any:
    module = import_module(f"clusterml.cli.{name}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, cls=CarefulCommand)(getattr(module, name))
    command = typer.main.get_command(app)
    command.name = name
    return command


class LazyGroup(TyperGroup):
    """The group of all verbs, which lists them from :data:`VERBS`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _Verbs()

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the verbs, in the order of the help."""
        return list(VERBS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The list of verbs in the help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

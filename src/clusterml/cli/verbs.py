"""The verbs of ``clusterml``: each is imported when it is called, and not to list it."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from clusterml.cli.ignored import CarefulCommand

VERBS = {
    "inspect": "What is in a file: cluster, charge, symmetry, ligands.",
    "predict": "Absorption and CD by the network, with uncertainty.",
    "label": "Absorption and CD by the physics engine.",
    "explain": "Which atoms and ligands a predicted CD comes from.",
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

"""Options that would be ignored are refused: which need another option, and which options end a verb at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from clusterml.errors import OptionError


@dataclass(frozen=True)
class Needs:
    """Parameters that have an effect only where ``holds`` of all parameters; ``otherwise`` ends "--x has no effect"."""

    parameters: tuple[str, ...]
    holds: Callable[[Mapping[str, Any]], bool]
    otherwise: str
    remedy: str


def _given(name: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: values[name] is not None


def _mode(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda values: values["mode"] in names


_READING = ("cluster", "disorder", "hydrogens", "allow_several", "frame", "format")
_SNAPSHOTS = Needs(("temperature", "seed"), _given("ensemble"), "without --ensemble", "add --ensemble N")
_FILES = Needs(
    ("jcamp",),
    lambda values: values["output"] is not None or not values["as_json"],
    "with --json and without --output",
    "add --output DIR",
)
NEEDS: dict[str, tuple[Needs, ...]] = {
    "label": (
        _SNAPSHOTS,
        _FILES,
        Needs(
            ("mode",),
            lambda values: values["orbitals"] == "stda-xtb" or values["mode"] == "reference",
            "on GFN orbitals",
            "add --orbitals stda-xtb",
        ),
    ),
    "predict": (
        _SNAPSHOTS,
        _FILES,
        Needs(("engine_limit",), lambda values: values["engine"] != "never", "with --engine never", "choose another"),
    ),
    "complete": (
        Needs(("allow_several",), lambda values: False, "on a bare core", "cores in several pieces are taken anyway"),
    ),
    "relax": (Needs(("solvation",), _given("solvent"), "without --solvent", "add --solvent NAME"),),
    "distort": (
        Needs(
            ("axis",),
            _mode("core-shell-twist", "shear", "mixture"),
            "on this mode",
            "core-shell-twist, shear and mixture have an axis",
        ),
        Needs(("index",), _mode("normal-mode"), "on this mode", "it numbers normal modes"),
        Needs(
            ("seed",),
            lambda values: values["temperature"] is not None or _mode("thermal-noise", "mixture")(values),
            "where nothing is random",
            "add --temperature, or take thermal-noise or mixture",
        ),
    ),
    "screen": (
        Needs(("dataset",), _given("label_uncertain"), "without --label-uncertain", "add --label-uncertain N"),
        Needs(("gpus",), _given("cluster"), "without --cluster", "add --cluster ADDRESS"),
    ),
}
"""Verb -> its options that need another."""

ENDS: dict[str, dict[str, tuple[str, ...]]] = {
    "build": {"show": ("library",)},
    "distort": {"show": _READING},
    "substitute": {"show": (*_READING, "old", "library")},
    "screen": {"keys": (), "report": ()},
    "train": {"keys": ()},
    "generate": {"keys": ()},
}
"""Verb -> options that print something and end it -> the options that still have an effect then."""


class CarefulCommand(TyperCommand):
    """A verb that refuses options it would ignore."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the verb; what is wrong with one is said without the name of Python's exception."""
        try:
            return list(super().parse_args(ctx, args))
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the verb.  Raises :class:`~clusterml.errors.OptionError` naming an option without effect."""
        given = {p.name: p.opts[-1] for p in self.params if p.param_type_name == "option" and _typed(ctx, p.name)}
        for end, useful in ENDS.get(self.name or "", {}).items():
            if end in given:
                for name in given.keys() - {end, *useful}:
                    raise OptionError(f"{given[name]} has no effect with {given[end]}", f"leave {given[name]} out")
                return super().invoke(ctx)
        for needs in NEEDS.get(self.name or "", ()):
            for name in needs.parameters:
                if name in given and not needs.holds(ctx.params):
                    remedy = f"{needs.remedy}, or leave {given[name]} out"
                    raise OptionError(f"{given[name]} has no effect {needs.otherwise}", remedy)
        return super().invoke(ctx)


def _typed(context: Any, name: str | None) -> bool:
    source = context.get_parameter_source(name) if name else None
    return source is not None and source.name == "COMMANDLINE"

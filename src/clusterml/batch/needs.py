"""Options that have an effect only together with others: where one would be ignored it is refused, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

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


def _kohn_sham(values: Mapping[str, Any]) -> bool:
    several = values.get("consensus")
    named = [values["orbitals"]] if several is None else several.split(",")
    return any(name not in (None, "molden") and not name.startswith(("gfn", "stda-xtb")) for name in named)


def _molden(values: Mapping[str, Any]) -> bool:
    """May orbitals be those of Molden files?"""
    named = any(path.is_dir() or ".mold" in path.name.lower() for path in values["files"])
    own = values["orbitals"] is None and (named or values["format"] == "molden")
    return own or values["orbitals"] == "molden"


_SNAPSHOTS = Needs(("temperature", "seed"), _given("ensemble"), "without --ensemble", "add --ensemble N")
_SOLVATION = Needs(("solvation",), _given("solvent"), "without --solvent", "add --solvent NAME")
_FILES = Needs(
    ("jcamp", "resume"),
    lambda values: values["output"] is not None or not values["as_json"],
    "with --json and without --output",
    "add --output DIR",
)
_MODE = Needs(
    ("mode",),
    lambda values: values["orbitals"] == "stda-xtb" or values["mode"] == "reference",
    "on GFN orbitals",
    "add --orbitals stda-xtb",
)
_XC = Needs(
    ("xc",),
    lambda values: _kohn_sham(values) or _molden(values),
    "without --orbitals dft",
    "add --orbitals dft, give a Molden file",
)
_AX = Needs(("ax",), _molden, "without a Molden file", "give one")
_DFT = ("without --orbitals dft", "add --orbitals dft")
_METHOD = (
    "emax", "fwhm", "mode", "states", "gauge", "orbitals", "solvent", "solvation", "electronic_temperature",
    "charge_tolerance", "xc", "ax", "basis", "density_fit", "dtype",
)  # fmt: skip
"""How the engine computes."""
NEEDS: dict[str, tuple[Needs, ...]] = {
    "label": (
        _SNAPSHOTS,
        _SOLVATION,
        _FILES,
        _MODE,
        _XC,
        _AX,
        Needs(("basis", "density_fit", "checkpoint"), _kohn_sham, *_DFT),
        Needs(
            ("orbitals", "solvent", "mode", "states", "groups", "molden"),
            lambda values: values["consensus"] is None,
            "with --consensus",
            "leave it out: --consensus gfn1,gfn1:methanol names sources and solvents",
        ),
    ),
    "explain": (
        Needs(_METHOD, lambda values: values["model"] is None, "with --model", "leave --model out for the engine"),
        _SOLVATION,
        replace(_MODE, remedy="use it with label --orbitals stda-xtb"),
        _XC,
        _AX,
        Needs(("basis", "density_fit"), _kohn_sham, *_DFT),
    ),
    "predict": (
        _SNAPSHOTS,
        _FILES,
        Needs(("engine_limit",), lambda values: values["engine"] != "never", "with --engine never", "choose another"),
    ),
    "complete": (
        Needs(("allow_several",), lambda values: False, "on a bare core", "cores in several pieces are taken anyway"),
    ),
    "relax": (_SOLVATION,),
    "distort": (
        Needs(
            ("axis",),
            _mode("core-shell-twist", "shear", "mixture"),
            "on this mode",
            "core-shell-twist, shear and mixture have an axis",
        ),
        Needs(("index",), _mode("normal-mode"), "on this mode", "it numbers normal modes"),
        Needs(("weight",), _mode("mixture"), "on this mode", "take --mode mixture"),
        Needs(
            ("seed",),
            lambda values: (
                values["temperature"] is not None
                or values["mode"] == "thermal-noise"
                or (values["mode"] == "mixture" and not values["weight"])
            ),
            "where nothing is random",
            "add --temperature, or take thermal-noise or mixture",
        ),
    ),
    "evaluate": (
        Needs(("unseen", "foreign"), lambda values: values["calibrate"], "without --calibrate", "add --calibrate"),
    ),
    "screen": (
        Needs(("dataset",), _given("label_uncertain"), "without --label-uncertain", "add --label-uncertain N"),
        Needs(("gpus",), _given("cluster"), "without --cluster", "add --cluster ADDRESS"),
    ),
}
"""Verb -> its options that need another."""


def refuse_ignored(verb: str, given: Mapping[str, str], values: Mapping[str, Any]) -> None:
    """Raise :class:`OptionError` for an option of ``verb`` that would be ignored.

    ``given``: the parameters that were given, with what messages call them; ``values``: all parameters.
    """
    for needs in NEEDS.get(verb, ()):
        for name in needs.parameters:
            if name in given and not needs.holds(values):
                remedy = f"{needs.remedy}, or leave {given[name]} out"
                raise OptionError(f"{given[name]} has no effect {needs.otherwise}", remedy)

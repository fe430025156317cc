"""A candidate in words: how its recipe says that it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """Parent with its options, ligands exchanged, snapshot, and distortions with their amounts and units."""
    build = recipe.get("build", {})
    options = ", ".join(f"{key} {value}" for key, value in build.items() if key != "name")
    words = [str(recipe.get("parent") or recipe.get("name", "")) + (f" ({options})" if options else "")]
    words += [f"{each['count']} x {each['old']} to {each['new']}" for each in recipe.get("exchanges", [])]
    if "snapshot" in recipe:
        words.append(f"snapshot {recipe['snapshot']['draw']} at {recipe['snapshot']['temperature_k']:g} K")
    words += [_amount(mode, amount) for mode, amount in recipe.get("distortions", {}).items()]
    return "; ".join(words)


def _amount(mode: str, amount: float) -> str:
    from clusterml.screening.points import split_mode
    from clusterml.structure.distort.modes import MODES

    known = MODES.get(split_mode(mode)[0])
    unit = "" if known is None or known.unit in ("", "1", "fraction") else f" {known.unit}"
    return f"{mode} {amount:+.3g}{unit}" if amount else f"{mode} 0{unit}"

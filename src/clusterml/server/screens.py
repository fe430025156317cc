"""Screens that are asked for over HTTP: the keys of their YAML, with files that are sent along, and no code."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from pydantic import Field

from clusterml.config.schema import Strict, shown, validated
from clusterml.errors import OptionError, unknown
from clusterml.io.files import read_text, write_text
from clusterml.io.json import read_json
from clusterml.screening.config import Screen
from clusterml.screening.folder import RANKED, RUN
from clusterml.screening.lines import FILES, OWN
from clusterml.server.refusals import of_request
from clusterml.server.requests import NamedText
from clusterml.server.settings import Limits

_MOST_FILES = 50


class ScreenRequest(Strict):
    """A screen, see ``clusterml screen --keys``, and the files that it names."""

    config: dict[str, Any] = Field(description="the keys of a screen, as in its YAML file")
    files: list[NamedText] = Field([], max_length=_MOST_FILES, description="files that keys name: parents, a library")

    def screen(self, folder: Path) -> Screen:
        """The screen, with its files written into ``folder``.

        Raises :class:`OptionError` for a key or value that cannot be used, for a file that was not sent along, and for
        what would run code or read files of the server.
        """
        values = dict(self.config)
        sent = {file.name: file for file in self.files}
        if len(sent) < len(self.files):
            raise OptionError("two files have the same name", "rename one of them")
        used = _replace_files(values, {name: str(folder / name) for name in sent})
        if spare := sent.keys() - used:
            raise OptionError(f"no key names the file {min(spare)}", "leave it out")
        with of_request():
            screen = validated(Screen, values, "config")
        for name in used:
            write_text(folder / name, sent[name].text)
        return screen

    def check(self, screen: Screen, limits: Limits) -> None:
        """Raise :class:`OptionError` for what a server does not do."""
        from clusterml.screening.check import check_names
        from clusterml.screening.run import using_ligands_of
        from clusterml.structure.build.blueprint import blueprints
        from clusterml.training.catalogue import known_releases

        if screen.model is not None and screen.model not in (known := known_releases()):
            raise unknown("checkpoint", screen.model, known)
        for parent in screen.parents.values():
            name = (parent.build or {}).get("name", "")
            if any(each.lower().endswith((".yaml", ".yml")) for each in ([name] if isinstance(name, str) else name)):
                raise unknown("blueprint", str(name), blueprints())
        if not screen.parents:
            raise OptionError("the screen has no parents", "give config.parents")
        if screen.most is None or screen.most > limits.most_candidates:
            raise OptionError(
                f"most is {screen.most}, and this server evaluates {limits.most_candidates} candidates of a screen",
                f"set config.most to {limits.most_candidates} or fewer: so many are drawn evenly from all",
            )
        with using_ligands_of(screen):
            check_names(screen)


def _replace_files(values: dict[str, Any], places: dict[str, str]) -> set[str]:
    """Put the places of the files that were sent along where keys name them; the names that were used.

    Raises :class:`OptionError` for any other file, and for functions of the user's own, which are code.
    """
    used: set[str] = set()

    def place_of(key: str, name: Any) -> str:
        if not isinstance(name, str):
            raise OptionError(f"config.{key} is {shown(name)}", "give the name of a file that is sent along, a text")
        if name not in places:
            raise OptionError(f"config.{key} names the file {name!r}, which is not sent along", "add it to files")
        used.add(name)
        return places[name]

    for key, parent in (values.get("parents") or {}).items() if isinstance(values.get("parents"), dict) else ():
        if isinstance(parent, dict) and parent.get("file") is not None:
            values["parents"] = {
                **values["parents"], key: {**parent, "file": place_of(f"parents.{key}.file", parent["file"])},
            }  # fmt: skip
    if values.get("library") is not None:
        values["library"] = place_of("library", values["library"])
    for group in ("objectives", "constraints"):
        if isinstance(values.get(group), list):
            values[group] = [_placed(line, f"{group}.{n}", place_of) for n, line in enumerate(values[group])]
    design = values.get("design")
    if isinstance(design, dict) and design.get("start_from") is not None:
        raise OptionError("config.design.start_from is a folder", "designs are for the command line")
    return used


def _placed(line: Any, where: str, place_of: Any) -> Any:
    """A line of objectives or constraints with the places of its files."""
    if not isinstance(line, dict):
        return line
    if own := [key for key in OWN if line.get(key) is not None]:
        raise OptionError(f"config.{where}.{own[0]} is code of your own", "a server runs none: use the command line")
    files = {key: place_of(f"{where}.{key}", line[key]) for key in FILES if line.get(key) is not None}
    return {**line, **files}


def result_of(folder: Path) -> dict[str, Any]:
    """``run.json`` of a finished screen, and the best rows of ``ranked.csv`` as objects of texts."""
    run = read_json(folder / RUN)
    rows = list(csv.DictReader(io.StringIO(read_text(folder / RANKED))))
    return {"run": run, "ranked": rows[: int(run["config"].get("top", 20))]}

"""Numbered upgrades: files of earlier versions are brought up to date step by step, each step a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clusterml.errors import InputFileError

Step = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Upgrades:
    """How content of any version becomes that of the newest: ``steps[0]`` leads from version 1 to 2, and so on.

    A step takes a mapping and gives a new one; the key ``schema_version`` is kept by :meth:`apply`.
    """

    steps: tuple[Step, ...] = ()

    @property
    def newest(self) -> int:
        """The version that is written."""
        return len(self.steps) + 1

    def apply(self, content: Mapping[str, Any], where: str) -> dict[str, Any]:
        """``content`` as the newest version has it; it is left as it is.

        Raises :class:`InputFileError` naming ``where`` for content without a version or of a newer one.
        """
        version = content.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise InputFileError(f"{where}: has schema version {version!r:.20}", "give a file that clusterml wrote")
        if version > self.newest:
            raise InputFileError(f"{where}: has schema version {version}, newer than {self.newest}", "update clusterml")
        result = dict(content)
        for step in self.steps[version - 1 :]:
            result = step(result)
        return {**result, "schema_version": self.newest}

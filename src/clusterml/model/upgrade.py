"""Numbered upgrades of what stands beside the weights of a network, so that old checkpoints load.

A change of one of these files is a new step at the end of its list, with a file of the version before in tests/data.
"""

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


_GROUPS: dict[str, dict[str, tuple[str, ...] | None]] = {
    "oscillators": {"resolvent": None},
    "orbitals": {"orbital": None},
    "bins": {
        "moments": ("channels", "strength", "local_magnetic_a"),
        "atomic": ("strength", "dissymmetry"),
    },
}
"""Keys that held the options of heads in version 0.1: the heads, and which options are theirs (None: all)."""


def heads_of_group() -> dict[str, tuple[str, ...]]:
    """Keys of version 0.1 that held options, and the heads that they were of."""
    return {group: tuple(heads) for group, heads in _GROUPS.items()}


def upgrade_network(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A network's specification of version 0.1: options of its head stand in ``head_options``, those of others leave.

    A newer one, or one that says only what is not the default, passes as it is.
    """
    result = {key: value for key, value in spec.items() if key not in _GROUPS}
    for group, heads in _GROUPS.items():
        if group in spec and spec.get("head", "resolvent") in heads:
            names = heads[spec.get("head", "resolvent")]
            given = spec[group]
            kept = given if names is None or not isinstance(given, Mapping) else _only(given, names)
            result["head_options"] = (
                kept if not isinstance(kept, Mapping) else {**kept, **result.get("head_options", {})}
            )
    return result


def _only(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in names}


def _members(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew one network only: its file, checksum and size were keys of their own."""
    member = {key: content[key] for key in ("file", "sha256", "bytes") if key in content}
    return {key: value for key, value in content.items() if key not in member} | {"members": [member]}


def _head_options(content: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had options of all heads side by side."""
    network = content.get("network")
    return content | {"network": upgrade_network(network)} if isinstance(network, Mapping) else content


def _novel(content: dict[str, Any]) -> dict[str, Any]:
    """Version 1 had no calibrations for novel structures."""
    return {"novel": {}, **content}


def _reach(content: dict[str, Any]) -> dict[str, Any]:
    """Version 2 had no growth towards the edge of the domain, and spreads of each energy by itself."""
    calibrations = {
        "calibration": _unpooled(content.get("calibration")),
        "novel": {key: _unpooled(value) for key, value in _mapping(content.get("novel")).items()},
    }
    return {"reach": {"epsilon": 0.0, "delta_epsilon": 0.0}, **content, **calibrations}


def _unpooled(calibration: Any) -> Any:
    return {"pool_ev": 0.0, **calibration} if isinstance(calibration, Mapping) else calibration


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _sign_error(content: dict[str, Any]) -> dict[str, Any]:
    """Version 3 had no error of the strongest CD: it was taken for that of the intervals."""
    return {"sign_error": 1.0, **content}


def _size_power(metadata: dict[str, Any]) -> dict[str, Any]:
    """Distances of version 1 did not grow with the number of metals."""
    return {"size_power": "0.0", **metadata}


MANIFEST = Upgrades((_members, _head_options))
"""``spec.json`` of a checkpoint."""
UNCERTAINTY = Upgrades((_novel, _reach, _sign_error))
"""``uncertainty.json``."""
DOMAIN = Upgrades((_size_power,))
"""Metadata of ``domain.safetensors``."""

"""What a network is made of, as plain dictionaries: the defaults, with the meaning of every key, and the sizes."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from clusterml.errors import OptionError, nearest

DEFAULTS: dict[str, Any] = {
    "head": "resolvent",  # orbital, resolvent, moments or atomic
    "parity": "both",  # both, or natural: only the parities of spherical harmonics
    "channels": 16,  # of each irrep
    "lmax": 2,  # largest angular momentum of features and of spherical harmonics
    "layers": 1,  # rounds of messages between core atoms
    "n_radial": 8,  # Bessel functions
    "radial_width": 32,  # hidden width of the radial networks
    "element_width": 8,  # of the elements' embeddings
    "message_scale": 4.0,  # factors on sums over neighbours, such that features are of the order of one at the start
    "density_scale": 4.0,
    "graph": {
        # elements that the network knows: H B C N O F Si P S Cl Br I, and the coinage metals and their neighbours
        "elements": [1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 46, 47, 53, 78, 79],
        "metals": [46, 47, 78, 79],
        "donors": [7, 8, 15, 16, 17, 34, 35, 53],
        "metal_cutoff": 6.0,  # A, edges between metals
        "donor_cutoff": 5.0,  # A, between a metal and a donor
        "other_cutoff": 4.5,  # A, any other
        "pair_cutoff": 7.0,  # A, couplings of oscillators or orbitals
    },
    "oscillators": {
        "bands": 6,  # Hamiltonians that do not couple; the numbers below are in each
        "scalar": 0,  # of a metal atom
        "triplet": 1,
        "donor_scalar": 0,  # of a donor atom
        "donor_triplet": 1,
        "first_ev": 1.5,  # where the oscillators' energies start
        "last_ev": 7.0,
        "energy_ev": 0.3,  # size of what the surroundings change in energies and (relatively) in moments at the start
        "strength": 500.0,  # absorption of an oscillator, L mol-1 cm-1 eV
        "local_magnetic_a": 1.0,  # size of the local magnetic vectors, A
    },
    "orbitals": {
        # numbers of s and of p shells, and where their energies start
        "occupied": {"metal": [1, 1], "donor": [0, 1], "first_ev": [-1.5, -2.5]},
        "virtual": {"metal": [1, 1], "donor": [0, 1], "first_ev": [1.0, 2.5]},
        "shells_ev": 1.5,  # from one shell of a kind to the next at the start
        "energy_ev": 0.3,  # size of what the surroundings change in energies and (relatively) in moments at the start
        "moment": 0.3,
        "strength": 5000.0,  # of an s-p transition of one atom at the start, L mol-1 cm-1 eV
        "local_magnetic_a": 1.0,  # size of the local magnetic operators, A
    },
    "bins": {
        "channels": 4,  # of the moments head
        "strength": 100.0,  # absorption in every bin at the start, L mol-1 cm-1
        "local_magnetic_a": 1.0,
        "dissymmetry": 1e-3,  # of the atomic head at the start
    },
    "grid": {"low_ev": 0.5, "high_ev": 5.3, "step_ev": 0.04},
    "fwhm_ev": 0.2,
}
"""Every key of a specification and its default."""

_COUNT = (0, 64)
_SIZE = (1e-6, 1e6)
_ENERGY = (-100.0, 100.0)
_CUTOFF = (0.5, 15.0)
LIMITS: dict[str, tuple[float, float]] = {
    "channels": (1, 512),
    "lmax": (0, 6),
    "layers": (0, 16),
    "n_radial": (1, 64),
    "radial_width": (1, 1024),
    "element_width": (1, 256),
    "message_scale": _SIZE,
    "density_scale": _SIZE,
    **{f"graph.{name}_cutoff": _CUTOFF for name in ("metal", "donor", "other", "pair")},
    "oscillators.bands": (1, 64),
    **{f"oscillators.{name}": _COUNT for name in ("scalar", "triplet", "donor_scalar", "donor_triplet")},
    "oscillators.first_ev": _ENERGY,
    "oscillators.last_ev": _ENERGY,
    "orbitals.shells_ev": _ENERGY,
    **{f"{group}.energy_ev": (0.0, 100.0) for group in ("oscillators", "orbitals")},
    **{f"{group}.strength": (0.0, 1e9) for group in ("oscillators", "orbitals", "bins")},
    **{f"{group}.local_magnetic_a": (0.0, 1e3) for group in ("oscillators", "orbitals", "bins")},
    "orbitals.moment": (0.0, 1e3),
    "bins.channels": (1, 256),
    "bins.dissymmetry": (0.0, 2.0),
    "grid.low_ev": (0.01, 100.0),
    "grid.high_ev": (0.01, 100.0),
    "grid.step_ev": (1e-3, 10.0),
    "fwhm_ev": (0.01, 5.0),
}
"""Least and greatest value of each number, from what a machine can hold; where the default is whole, so must it be."""
MOST_POINTS = 4000
"""Energies of a network's grid, at most."""
_MOST_SHELLS = 8  # s or p shells of an atom

PRESETS: dict[str, dict[str, Any]] = {
    "S": {"channels": 24, "lmax": 2, "layers": 2},
    "M": {
        "channels": 32,
        "lmax": 2,
        "layers": 2,
        "radial_width": 64,
        "oscillators": {"bands": 8, "scalar": 1, "triplet": 1},
    },
    "L": {
        "channels": 64,
        "lmax": 3,
        "layers": 3,
        "radial_width": 64,
        "oscillators": {"bands": 8, "scalar": 1, "triplet": 2, "donor_triplet": 2},
    },
}
"""S: two CPU cores; M, L: a GPU."""


def complete(spec: Mapping[str, Any]) -> dict[str, Any]:
    """``spec`` with the defaults of all keys that it leaves out; ``preset`` names one of :data:`PRESETS` to start from.

    Raises :class:`~clusterml.errors.OptionError` naming an unknown key, preset or head, and the nearest known one, or a
    value of another type or beyond :data:`LIMITS`.
    """
    given = dict(spec)
    full = deepcopy(DEFAULTS)
    preset = given.pop("preset", None)
    if preset is not None:
        _known(preset, PRESETS, "preset")
        _merge(full, PRESETS[preset], "")
    for key in given:
        _known(key, ("preset", *full), "network key")
    _merge(full, given, "")
    _known(full["head"], ("orbital", "resolvent", "moments", "atomic"), "head")
    _known(full["parity"], ("both", "natural"), "parity")
    for name in ("occupied", "virtual"):
        _check_orbitals(full["orbitals"][name], f"orbitals.{name}")
    for key, limits in LIMITS.items():
        _check_number(full, key, *limits)
    for name in ("elements", "metals", "donors"):
        _check_elements(full["graph"][name], f"graph.{name}")
    _check_grid(full["grid"])
    return full


def _check_number(full: Mapping[str, Any], key: str, least: float, greatest: float) -> None:
    value: Any = full
    default: Any = DEFAULTS
    for step in key.split("."):
        value, default = value[step], default[step]
    whole = isinstance(default, int)
    if (
        isinstance(value, bool)
        or not isinstance(value, int if whole else (int, float))
        or not least <= value <= greatest
    ):
        what = "a whole number" if whole else "a number"
        raise OptionError(f"network key {key} is {value!r:.80}", f"give {what} from {least:g} to {greatest:g}")


def _check_elements(given: Any, key: str) -> None:
    numbers = given if isinstance(given, (list, tuple)) else ()
    whole = all(isinstance(z, int) and not isinstance(z, bool) and 1 <= z <= 118 for z in numbers)
    if not numbers or not whole or len(set(numbers)) < len(numbers):
        raise OptionError(f"network key {key} is {given!r:.80}", "give different atomic numbers, 1 to 118")


def _check_grid(grid: Mapping[str, float]) -> None:
    points = (grid["high_ev"] - grid["low_ev"]) / grid["step_ev"] + 1.0
    if not 2.0 <= points <= MOST_POINTS:
        raise OptionError(
            f"network key grid has {points:.4g} points", f"give low_ev < high_ev and at most {MOST_POINTS}"
        )


def _check_orbitals(given: Mapping[str, Any], path: str) -> None:
    """Metals and donors carry (s, p) shells, metals at least one."""
    for role in ("metal", "donor"):
        shells: Any = given[role]
        whole = isinstance(shells, (list, tuple)) and all(isinstance(n, int) and 0 <= n <= _MOST_SHELLS for n in shells)
        if not whole or len(shells) != 2:
            raise OptionError(
                f"network key {path}.{role} is {shells!r:.80}", "give numbers of s and of p shells: [1, 1]"
            )
    first = given["first_ev"]
    if not isinstance(first, (list, tuple)) or len(first) != 2 or not all(map(_is_energy, first)):
        raise OptionError(
            f"network key {path}.first_ev is {first!r:.80}", "give two energies in eV, of s and of p shells"
        )
    if not any(given["metal"]) or not any(given["donor"]):
        raise OptionError(f"network key {path} leaves metals or donors without orbitals", "give each one shell or more")


def _is_energy(value: Any) -> bool:
    return isinstance(value, (int, float)) and _ENERGY[0] <= value <= _ENERGY[1]


def _merge(into: dict[str, Any], given: Mapping[str, Any], path: str) -> None:
    for key, value in given.items():
        _known(key, into, f"network key of {path[:-1]}" if path else "network key")
        if isinstance(into[key], dict):
            if not isinstance(value, Mapping):
                raise OptionError(f"network key {path}{key} is {value!r:.80}", "give a mapping of keys to values")
            _merge(into[key], value, f"{path}{key}.")
        else:
            into[key] = deepcopy(value)


def _known(name: Any, known: Any, what: str) -> None:
    if name in known:
        return
    meant = nearest(str(name), [str(each) for each in known])
    hint = f"did you mean '{meant}'?" if meant else f"one of {', '.join(str(each) for each in known)}"
    raise OptionError(f"{what} '{str(name)[:80]}' is not known", hint)

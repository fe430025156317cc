"""The numbers of the methods, each table read once from the package's data files, and those of sTDA-xTB by element.

Source: S. Grimme, C. Bannwarth, J. Chem. Phys. 145, 054103 (2016), as used by the reference programs xtb4stda 1.0
and std2 2.0; the file names each table's origin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from clusterml.errors import UnsupportedElementError
from clusterml.io.files import sha256
from clusterml.typing import FloatArray, IntArray


@dataclass(frozen=True)
class StageGlobals:
    """Element-independent constants of one tight-binding stage (stda-xtb.md, section 7); energies eV."""

    k_shell: tuple[float, float, float]
    k_rydberg_rydberg: float
    k_rydberg_valence: float
    kinetic_scale: float
    coulomb_scale: float
    level_cn: float
    exponent_cn: float
    level_shift_ev: float
    rydberg_split_ev: float


@lru_cache(maxsize=16)
def data_tables(name: str) -> dict[str, Any]:
    """The data file ``name`` of the engine, without its ending, as nested dictionaries (read once)."""
    text = files("clusterml.engine").joinpath(f"data/{name}.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data


def tables() -> dict[str, Any]:
    """The tables of sTDA-xTB, with the constants that every response needs."""
    return data_tables("stda_xtb")


@lru_cache(maxsize=1)
def parameters_hash() -> str:
    """First 12 hex digits of the SHA-256 of the engine's parameter files, for provenance."""
    data = files("clusterml.engine").joinpath("data")
    names = ("stda_xtb.json", "gfn_basis.json", "gfn1_hamiltonian.json", "gfn1_solvents.json", "gfn1_pbe.json")
    content = b"".join(data.joinpath(name).read_bytes() for name in names)
    return sha256(content)[:12]


@lru_cache(maxsize=2)
def stage_globals(stage: int) -> StageGlobals:
    """Constants of tight-binding stage 1 (charges) or 2 (orbitals)."""
    g = tables()[f"stage{stage}"]["globals"]
    return StageGlobals(
        k_shell=(g["ks"], g["kp"], g["kd"]),
        k_rydberg_rydberg=g["kdiffa"],
        k_rydberg_valence=g["kdiffb"],
        kinetic_scale=g["tscal"],
        coulomb_scale=g["gscal"],
        level_cn=0.01 * g["kcn"],
        exponent_cn=0.1 * g["zcnf"],
        level_shift_ev=g["lshift"],
        rydberg_split_ev=g["split"],
    )


def element(symbol: str) -> dict[str, Any]:
    """Parameters of one element.

    Raises UnsupportedElementError when the method has none (He, Ar, Kr-Sr, Xe-Ba, Ce-Lu, Rn and beyond).
    """
    entry: dict[str, Any] | None = tables()["elements"].get(symbol)
    if entry is None or not entry["supported"]:
        raise UnsupportedElementError(
            f"element {symbol!r} has no sTDA-xTB parameters",
            "the method covers H, Li-Cl, K-Br, Y-I, La and Hf-At; remove or replace the atom, or use --orbitals gfn1",
        )
    return entry


def per_atom(symbols: Sequence[str], key: str) -> FloatArray:
    """One element parameter for every atom, shape (n_atoms,)."""
    values = {s: float(element(s)[key]) for s in set(symbols)}
    return np.array([values[s] for s in symbols])


def core_electrons(symbols: Sequence[str]) -> IntArray:
    """Electrons of every atom that the tight-binding methods (GFN-xTB too) have no orbitals for, shape (n_atoms,)."""
    entries = {s: tables()["elements"][s] for s in set(symbols)}
    return np.array([entries[s]["Z"] - entries[s]["n_valence_electrons"] for s in symbols], dtype=np.int64)


def stage_per_atom(symbols: Sequence[str], stage: int, key: str) -> FloatArray:
    """One stage-dependent element parameter for every atom, shape (n_atoms,)."""
    values = {s: float(element(s)[f"stage{stage}"][key]) for s in set(symbols)}
    return np.array([values[s] for s in symbols])


def sto_expansion(key: str) -> tuple[FloatArray, FloatArray]:
    """Exponents (for zeta = 1) and coefficients of a Stewart expansion named ``"n:label"``, e.g. ``"4:5s"``."""
    n, label = key.split(":")
    entry = tables()["sto_ng"][n][label]
    return np.array(entry["alpha"]), np.array(entry["coef"])

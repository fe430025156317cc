"""Is the ground state fit for excited states? The frontier orbitals, and warnings about a small gap."""

from __future__ import annotations

from collections.abc import Mapping

from clusterml.stda import integrals
from clusterml.stda.orbitals import Orbitals, group_by_element
from clusterml.structure.charge import SMALL_GAP_EV
from clusterml.typing import IntArray

ILL_CONDITIONED_GAP_EV = 0.01
"""Raw gaps below this make labels unfit for training (docs/science/stda-xtb.md, section 17)."""


def composition(orbitals: Orbitals, orbital: int, groups: Mapping[str, IntArray] | None = None) -> dict[str, float]:
    """Mulliken shares of groups of atoms (default: elements) in one orbital, largest first."""
    shares = orbitals.populations(orbital, integrals.overlap(orbitals.basis))
    parts = groups or group_by_element(orbitals.symbols)
    return dict(sorted(((name, float(shares[atoms].sum())) for name, atoms in parts.items()), key=lambda x: -x[1]))


def _words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:2])


def gap_warnings(orbitals: Orbitals) -> list[str]:
    """What to tell the user about the raw gap; empty when it is at least 0.2 eV."""
    gap = orbitals.raw_gap_ev
    if gap >= SMALL_GAP_EV:
        return []
    homo = _words(composition(orbitals, orbitals.n_occupied - 1))
    lumo = _words(composition(orbitals, orbitals.n_occupied))
    remedy = "use --orbitals gfn1" if orbitals.method == "sTDA-xTB" else "check charge and geometry"
    fitness = "; the occupation is arbitrary and the label unfit for training" if gap < ILL_CONDITIONED_GAP_EV else ""
    parts = f"HOMO: {homo}; LUMO: {lumo}"
    return [f"the raw HOMO-LUMO gap of {orbitals.method} is only {gap:.3f} eV ({parts}){fitness}: {remedy}"]

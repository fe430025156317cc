"""Implicit solvents of GFN1-xTB, GBSA and ALPB: what the field of a solvent adds to the Hamiltonian.

The solvent answers charges q (Mulliken's with the CM5 correction) with the energy q.J.q / 2 + sum_A h_A s_A q_A^2: J
is the screened interaction of generalised Born radii, h_A a strength of hydrogen bonds per area, s_A the area of an
atom that the solvent can reach.  Both are quadratic, so that they join the kernel between shell charges; their part
that is linear in the CM5 correction joins H0, and the self-consistent cycle stays what it is.  Areas times surface
tensions and the shift of the standard state move no orbital and are left out.

All formulas are written in distances, apart from the areas: their quadrature has points in fixed directions, with the
symmetry of a cube.  Turning a molecule moves its levels by up to about 5e-4 eV where atoms make hydrogen bonds, and
not at all where none does; inversion and the mirror planes of the axes change nothing.

Sources: S. Ehlert, M. Stahn, S. Spicher, S. Grimme, J. Chem. Theory Comput. 17, 4250 (2021) (both models and all
parameters), in the form of tblite; A. Onufriev, D. Bashford, D. A. Case, Proteins 55, 383 (2004) (radii);
W. C. Still et al., J. Am. Chem. Soc. 112, 6127 (1990), A. W. Lange, J. M. Herbert, J. Chem. Theory Comput. 8, 1999
(2012) (kernels); W. Im, M. S. Lee, C. L. Brooks, J. Comput. Chem. 24, 1691 (2003) (areas);
A. V. Marenich, S. V. Jerome, C. J. Cramer, D. G. Truhlar, J. Chem. Theory Comput. 8, 527 (2012) (CM5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers

from clusterml.engine.atomic import cm5_charges, distances
from clusterml.engine.orbitals.gfn1 import Gfn1Hamiltonian
from clusterml.engine.parameters import data_tables
from clusterml.structure.solvents import GfnMethod, SolventModel, find_solvent
from clusterml.typing import FloatArray, IntArray
from clusterml.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

_KCAL_HARTREE = 1.0 / 627.5094740631
"""One kcal/mol in hartree (CODATA 2018, thermochemical calorie)."""

_BORN_CUTOFF = 35.0 / BOHR_ANGSTROM
"""Atoms farther away (bohr) do not push the solvent aside."""

_OBC = (1.0, 0.8, 4.85)
"""alpha, beta, gamma of Onufriev, Bashford and Case, set II."""

_P16 = 1.028
"""zeta of the P16 kernel."""

_ALPB = 0.571412
"""alpha of the linearised Poisson-Boltzmann model."""

_SMOOTHING = 0.3 / BOHR_ANGSTROM
"""Half the width (bohr) of the shell in which a neighbour covers a point of a surface by degrees."""

_LEBEDEV_ORDER = 25
"""Of the quadrature of the areas: 230 points."""

_ATTRACTION = 0.01
"""Eigenvalue of the kernel (hartree) whose negative is still taken as nought."""

_SATURATED = 8.0
"""Born radii so many times larger than the sphere that holds a cluster are none."""

_INSTEAD: dict[tuple[SolventModel, GfnMethod], str] = {
    ("gbsa", "gfn1"): "use ALPB (--solvation alpb)",
    ("alpb", "gfn1"): "use methanol, acetone or another solvent",
    ("gbsa", "gfn2"): "use another solvent, such as water",
    ("alpb", "gfn2"): "use GBSA (--solvation gbsa), or another solvent, such as water",
}
"""What serves in place of a model that fails for buried silver."""

_COVERED = 1e-6
"""Points that are free to a smaller share count as covered."""


@dataclass(frozen=True)
class SolvatedAtoms:
    """Parameters of atoms in a solvent, in atomic units.

    ``model``; ``dielectric_constant``; ``born_scale``; ``born_offset``; ``probe_radius`` of the solvent; and of each
    atom (n_atoms,) its ``radius``, ``descreening`` and ``hydrogen_bond`` (hartree per charge squared, not above 0).
    """

    model: SolventModel
    dielectric_constant: float
    born_scale: float
    born_offset: float
    probe_radius: float
    radius: FloatArray
    descreening: FloatArray
    hydrogen_bond: FloatArray


def solvated_atoms(
    symbols: Sequence[str], solvent: str, model: SolventModel, method: GfnMethod = "gfn1"
) -> SolvatedAtoms:
    """Parameters of ``symbols``, elements up to radon, in ``solvent``; those of gfn2 are without hydrogen bonds.

    Raises OptionError for a solvent without any, see :func:`clusterml.structure.solvents.find_solvent`.
    """
    values = data_tables(f"{method}_solvents")[model][find_solvent(solvent, model, method)]
    root = np.array([values.get("hydrogen_bond", {}).get(symbol, 0.0) for symbol in symbols])
    return SolvatedAtoms(
        model=model,
        dielectric_constant=values["dielectric_constant"],
        born_scale=values["born_scale"],
        born_offset=values["born_offset_angstrom"] / BOHR_ANGSTROM,
        probe_radius=values.get("probe_radius_angstrom", 0.0) / BOHR_ANGSTROM,
        radius=_per_atom(symbols, data_tables("gfn1_solvents")["vdw_radius_angstrom"]) / BOHR_ANGSTROM,
        descreening=_per_atom(symbols, values["descreening"]),
        hydrogen_bond=-_KCAL_HARTREE * root**2,
    )


def _per_atom(symbols: Sequence[str], column: list[float]) -> FloatArray:
    """A column of the tables, from hydrogen on, for each of ``symbols``."""
    return np.array([column[atomic_numbers[symbol] - 1] for symbol in symbols])


def in_solvent(
    parts: Gfn1Hamiltonian, symbols: Sequence[str], coords_bohr: FloatArray, solvent: str, model: SolventModel
) -> Gfn1Hamiltonian:
    """``parts``, those of the vacuum for ``symbols`` at ``coords_bohr`` (n_atoms, 3), in the field of a solvent.

    Raises OptionError for a solvent that the model has no parameters of.
    """
    field = reaction_field(solvated_atoms(symbols, solvent, model), coords_bohr)
    cm5 = (_per_atom(symbols, data_tables("gfn1_solvents")[key]) for key in ("cm5_radius_angstrom", "cm5_parameter"))
    atom = parts.atom_of_shell
    constant = (field @ cm5_charges(symbols, distances(coords_bohr) * BOHR_ANGSTROM, *cm5))[atom][parts.shell_of_ao]
    return replace(
        parts,
        h0=parts.h0 - 0.5 * parts.overlap * np.add.outer(constant, constant),
        kernel=parts.kernel + field[np.ix_(atom, atom)],
    )


def solvent_warnings(parts: Gfn1Hamiltonian, solvent: str, model: SolventModel) -> tuple[str, ...]:
    """What is wrong with ``parts`` in a solvent: a kernel by which some charges attract themselves.

    Where atoms are buried, a solvent with strong descreening takes the field from them (Born radii of 100 angstrom and
    more in a cluster of 16), but not from their neighbours.
    """
    try:
        np.linalg.cholesky(parts.kernel + _ATTRACTION * np.eye(len(parts.kernel)))
    except np.linalg.LinAlgError:
        return (
            f"{model.upper()} of {solvent} fails for the buried atoms of this cluster: the charges on them attract "
            f"themselves, and levels and spectrum are far off; {_INSTEAD[model, 'gfn1']}",
        )
    return ()


def buried_atoms_warnings(atoms: Atoms, solvent: str, model: SolventModel, method: GfnMethod) -> tuple[str, ...]:
    """The same for what tblite computes, from the Born radii alone.

    A charge in a cluster has no larger one than that of the sphere about it that holds the cluster.  Where the kernel
    of GFN1 has charges that attract themselves, radii are at least eight times as large.
    Raises OptionError for a solvent that the model has no parameters of.
    """
    parameters = solvated_atoms(atoms.get_chemical_symbols(), solvent, model, method)
    r = distances(atoms.positions / BOHR_ANGSTROM)
    radii, largest = born_radii(parameters, r), (r + parameters.radius).max(axis=1)
    if not (radii > _SATURATED * largest).any():
        return ()
    return (
        f"{model.upper()} of {solvent} fails for the buried atoms of this cluster: charges on them do not feel the "
        f"solvent, and levels, forces and spectrum are far off; {_INSTEAD[model, method]}",
    )


def reaction_field(atoms: SolvatedAtoms, coords_bohr: FloatArray) -> FloatArray:
    """The potential at each atom from the solvent's answer to a charge at each, (n_atoms, n_atoms), hartree."""
    r = distances(np.asarray(coords_bohr, dtype=np.float64))
    born = born_radii(atoms, r)
    products = np.multiply.outer(born, born)
    beta = _ALPB / atoms.dielectric_constant if atoms.model == "alpb" else 0.0
    strength = (1.0 / atoms.dielectric_constant - 1.0) / (1.0 + beta)
    if atoms.model == "alpb":
        length = np.sqrt(products)
        field = strength / (r + length * (length / (length + _P16 / 16.0 * r)) ** 16)
        field += strength * beta / electrostatic_size(atoms.radius, coords_bohr)
    else:
        field = strength / np.sqrt(r**2 + products * np.exp(-0.25 * r**2 / products))
    field.flat[:: len(r) + 1] += 2.0 * _hydrogen_bonds(atoms, coords_bohr, r)
    return np.asarray(field)


def born_radii(atoms: SolvatedAtoms, r: FloatArray) -> FloatArray:
    """Generalised Born radii (n_atoms,) from distances ``r`` (n_atoms, n_atoms), in bohr."""
    alpha, beta, gamma = _OBC
    own = atoms.radius - atoms.born_offset
    psi = 0.5 * own * _descreened(atoms.radius, atoms.radius * atoms.descreening, r)
    share = np.tanh(psi * (alpha - psi * (beta - gamma * psi)))
    return np.asarray(atoms.born_scale / (1.0 / own - share / atoms.radius))


def _descreened(radius: FloatArray, reach: FloatArray, r: FloatArray) -> FloatArray:
    """What the spheres of size ``reach`` about all other atoms take from the integral over the solvent of r^-4
    about each atom, beyond its ``radius``, (n_atoms,), 1/bohr."""
    own, other = radius[:, None], reach[None, :]
    r = np.where(np.eye(len(r), dtype=bool), np.inf, r)
    outer, inner = r + other, r - other
    overlapping, outside = r < own + other, outer > own
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = other / (outer * inner) + 0.5 * np.log(inner / outer) / r
        cut = 1.0 / own - 1.0 / outer
        cut += 0.5 / r * (0.5 * inner * (1.0 / outer - outer / own**2) - np.log(outer / own))
    terms = np.where(overlapping, np.where(outside, cut, 0.0), apart)
    return np.asarray(np.where(r < _BORN_CUTOFF, terms, 0.0).sum(axis=1))


def electrostatic_size(radius: FloatArray, coords_bohr: FloatArray) -> float:
    """Size (bohr) of the ellipsoid with the moments of inertia of spheres of ``radius`` (n_atoms,)."""
    mass = radius**3
    centred = coords_bohr - mass @ coords_bohr / mass.sum()
    trace = mass @ ((centred**2).sum(axis=1) + 0.4 * radius**2)
    inertia = trace * np.eye(3) - (mass[:, None] * centred).T @ centred
    return float(np.sqrt(np.linalg.det(inertia) ** (1.0 / 3.0) / (0.4 * mass.sum())))


def _hydrogen_bonds(atoms: SolvatedAtoms, coords_bohr: FloatArray, r: FloatArray) -> FloatArray:
    """Strength times the share of each atom's surface that the solvent can reach, (n_atoms,), hartree."""
    bonding = np.flatnonzero(atoms.hydrogen_bond)
    sphere = atoms.radius + atoms.probe_radius
    share = np.zeros(len(sphere))
    share[bonding] = _surface_areas(bonding, sphere, coords_bohr, r) / (4.0 * np.pi * sphere[bonding] ** 2)
    return np.asarray(atoms.hydrogen_bond * share)


def _surface_areas(which: IntArray, sphere: FloatArray, coords_bohr: FloatArray, r: FloatArray) -> FloatArray:
    """Areas (len(which),) of the spheres (n_atoms,) of the atoms ``which`` outside all others, bohr squared."""
    from scipy.integrate import lebedev_rule

    directions, weights = lebedev_rule(_LEBEDEV_ORDER)
    areas = np.empty(len(which))
    for k, a in enumerate(which):
        near = np.flatnonzero(r[a] < sphere[a] + sphere + _SMOOTHING)
        near = near[near != a]
        points = coords_bohr[a] + sphere[a] * directions.T
        gap = np.linalg.norm(points[:, None] - coords_bohr[near], axis=2) - sphere[near]
        x = np.clip(gap / _SMOOTHING, -1.0, 1.0)
        free = (0.5 + 0.75 * x - 0.25 * x**3).prod(axis=1)
        areas[k] = weights @ np.where(free > _COVERED, free, 0.0)
    return areas * _radial_weight(sphere[which])


def _radial_weight(sphere: FloatArray) -> FloatArray:
    """Integral of r^2 over the smoothing function's slope about each radius, bohr squared."""
    w = _SMOOTHING

    def primitive(r: FloatArray) -> FloatArray:
        return (0.25 / w - 0.75 / w**3 * (0.2 * r**2 - 0.5 * r * sphere + sphere**2 / 3.0)) * r**3

    return primitive(sphere + w) - primitive(sphere - w)

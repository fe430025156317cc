"""Kohn-Sham orbitals of a closed shell: any functional and basis set that pyscf knows, with effective core potentials.

Pure functionals interact in the response as GFN orbitals do (a_x = 0), hybrids by the kernels of sTDA for their share
of Fock exchange (see :mod:`clusterml.engine.orbitals.functional`).  With density fitting the Coulomb part takes an
auxiliary basis; its three-centre integrals are kept where memory allows and computed anew in each cycle where not.
Sources: F. Weigend, R. Ahlrichs, Phys. Chem. Chem. Phys. 7, 3297 (2005) (def2); F. Weigend, Phys. Chem. Chem. Phys. 8,
1057 (2006) (auxiliary basis); P. J. Hay, W. R. Wadt, J. Chem. Phys. 82, 299 (1985) (LANL2DZ).
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterml.engine.cost import Cost
from clusterml.engine.integrals import basis_of, import_pyscf, overlap
from clusterml.engine.kernels import hybrid_kernels
from clusterml.engine.orbitals.dft_method import GRID_LEVEL, Method, Size, auxiliary_basis, fit_is_stored, is_bare
from clusterml.engine.orbitals.functional import element_basis
from clusterml.engine.orbitals.kohn_sham import Checkpoint, Journal, KohnSham, converge
from clusterml.engine.orbitals.orbitals import Orbitals, check_orthonormal
from clusterml.engine.orbitals.source import OrbitalSource
from clusterml.errors import ChargeError, ElectronicStructureError, OptionError
from clusterml.io.files import make_folder, sha256
from clusterml.structure.elements import formula
from clusterml.structure.geometry import Geometry
from clusterml.typing import FloatArray
from clusterml.units import BOHR_ANGSTROM, BOLTZMANN_HARTREE, HARTREE_EV

if TYPE_CHECKING:
    from ase import Atoms

    from clusterml.engine.basis import Basis
    from clusterml.engine.protocol import Compute, Protocol

_FRACTIONAL = 0.02
"""Occupations that differ from 0 or 2 by more than this are reported."""


def molecule(atoms: Atoms, charge: int, method: Method) -> Any:
    """pyscf's molecule: spherical functions, effective core potentials where the basis has them, no symmetry.

    Raises UnsupportedElementError for an element that the basis does not have, ChargeError for an odd number of
    electrons.
    """
    symbols = atoms.get_chemical_symbols()
    size = Size.of(atoms, charge, method)
    if size.electrons % 2:
        raise ChargeError(f"{size.electrons} explicit electrons are an odd number", "check the charge")
    if not 0 < size.electrons // 2 < size.functions:
        problem = f"{size.electrons} electrons leave no occupied or no virtual orbital among {size.functions}"
        raise ElectronicStructureError(problem, "check the charge, or take a larger basis")
    elements = {symbol: element_basis(symbol, method.basis.of(symbol)) for symbol in dict.fromkeys(symbols)}
    mol = import_pyscf("gto").Mole()
    mol.atom = list(zip(symbols, (atoms.positions / BOHR_ANGSTROM).tolist(), strict=True))
    mol.unit, mol.charge, mol.spin, mol.verbose, mol.symmetry = "Bohr", charge, 0, 0, False
    mol.basis = {symbol: element.shells for symbol, element in elements.items()}
    mol.ecp = {symbol: element.potential for symbol, element in elements.items() if element.potential is not None}
    mol.build(dump_input=False, parse_arg=False)
    return mol


def mean_field(mol: Any, method: Method, size: Size, compute: Compute) -> Any:
    """pyscf's restricted Kohn-Sham object, with density fitting as memory allows."""
    field = import_pyscf("dft").RKS(mol, xc=method.functional.name)
    field.grids.level = GRID_LEVEL
    field.init_guess, field.verbose = "atom", 0
    mol.max_memory = 1000.0 * compute.memory
    if compute.device != "cpu":
        field = _on_gpu(field, compute.device)
    if method.density_fit:
        stores = fit_is_stored(method, size, compute)
        coulomb_only = {"only_dfj": True} if method.functional.ax and not stores else {}
        field = field.density_fit(auxbasis=auxiliary_basis(mol, method), **coulomb_only)
        if compute.device == "cpu" and stores:
            field.with_df.build()
    return field


def _on_gpu(field: Any, device: str) -> Any:
    """The mean field on a GPU; raises OptionError without gpu4pyscf."""
    try:
        return field.to_gpu()
    except ImportError as error:
        raise OptionError(
            f"device is {device!r}, but gpu4pyscf, which computes Kohn-Sham orbitals there, is not installed",
            "pip install 'clusterml[gpu]', or use --device cpu",
        ) from error


def dft_orbitals(
    atoms: Atoms, charge: int, method: Method, compute: Compute, start_from: Atoms | None = None
) -> Orbitals:
    """Closed-shell Kohn-Sham orbitals of a molecule.

    ``start_from``: a geometry of the same atoms whose occupied orbitals are the first guess.
    Raises UnsupportedElementError, ChargeError, OptionError, MemoryLimitError, ElectronicStructureError without
    convergence, InputFileError for a damaged checkpoint.
    """
    start = time.perf_counter()
    symbols = tuple(atoms.get_chemical_symbols())
    size = Size.of(atoms, charge, method)
    mol = molecule(atoms, charge, method)
    basis = basis_of(mol)
    guess = None
    if start_from is not None:
        guess = _carried(overlap(basis), _near(Geometry.of(start_from), charge, method, compute))
    journal = Journal(_checkpoint(atoms, charge, method, compute), compute.working)
    state = _converged(mol, method, size, compute, journal, guess)
    check_orthonormal(
        basis, state.coefficients, "pyscf's", "install a tested version of pyscf (2.14), or use --orbitals gfn1"
    )
    f = method.functional
    n_occupied = size.electrons // 2
    return Orbitals(
        symbols=symbols,
        basis=basis,
        energies_ev=state.energies * HARTREE_EV,
        coefficients=state.coefficients,
        n_occupied=n_occupied,
        method=method.name,
        kernels=hybrid_kernels(symbols, basis.coords_bohr, f.ax, f.alpha, f.beta),
        charges=_mulliken(mol, basis, state),
        core_electrons=np.array([element_basis(s, method.basis.of(s)).core for s in symbols]),
        warnings=tuple(_remarks(state, n_occupied, method, symbols)),
        timings_s={"scf": time.perf_counter() - start},
    )


def _converged(
    mol: Any, method: Method, size: Size, compute: Compute, journal: Journal, guess: FloatArray | None
) -> KohnSham:
    """The ground state, on as many threads as everything else."""
    sigma = 0.0 if method.kelvin is None else method.kelvin * BOLTZMANN_HARTREE
    with pyscf_at_work():
        field = mean_field(mol, method, size, compute)
        try:
            return converge(field, journal, guess, sigma)
        except np.linalg.LinAlgError as error:
            problem = f"a matrix of the {method.name} ground state cannot be diagonalised: {error}"
            raise ElectronicStructureError(problem, "check the geometry, or take a smaller basis") from error


@contextmanager
def pyscf_at_work() -> Iterator[None]:
    """pyscf on as many threads as everything else, without its own checkpoints and its words on what it deprecates."""
    import torch

    scf, lib = import_pyscf("scf.hf"), import_pyscf("lib")
    muted = scf.MUTE_CHKFILE
    with lib.with_omp_threads(torch.get_num_threads()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scf.MUTE_CHKFILE = True
        try:
            yield
        finally:
            scf.MUTE_CHKFILE = muted


@lru_cache(maxsize=2)
def _near(geometry: Geometry, charge: int, method: Method, compute: Compute) -> FloatArray:
    """Occupied orbitals (n_ao, n) of a geometry."""
    state = dft_orbitals(geometry.atoms, charge, method, compute)
    return state.coefficients[:, : state.n_occupied]


def _carried(s: FloatArray, occupied: FloatArray) -> FloatArray:
    """Density matrix of another geometry's occupied orbitals, made orthonormal over the overlap ``s``."""
    values, vectors = np.linalg.eigh(occupied.T @ s @ occupied)
    orbitals = occupied @ (vectors / np.sqrt(values))
    return np.asarray(2.0 * orbitals @ orbitals.T)


def _checkpoint(atoms: Atoms, charge: int, method: Method, compute: Compute) -> Checkpoint | None:
    """The file of this calculation in the folder ``compute.checkpoint``: its name is made of all that matters."""
    if compute.checkpoint is None:
        return None
    identity = {
        "elements": atoms.numbers.tolist(),
        "positions": np.round(atoms.positions, 6).tolist(),
        "charge": charge,
        "functional": method.functional.name,
        "basis": method.basis.name,
        "density fitting": method.density_fit,
        "electronic temperature": method.kelvin,
    }
    folder = make_folder(compute.checkpoint)
    return Checkpoint(folder / f"{formula(atoms.numbers)}-{sha256(repr(identity))[:16]}.npz", identity)


def _mulliken(mol: Any, basis: Basis, state: KohnSham) -> FloatArray:
    """Atomic charges, shape (n_atoms,)."""
    used = state.occupations > 0.0
    c = state.coefficients[:, used]
    weights = (c * (overlap(basis) @ c)) @ state.occupations[used]
    electrons = np.bincount(basis.atom_of_ao, weights=weights, minlength=basis.n_atoms)
    return np.asarray(mol.atom_charges() - electrons, dtype=np.float64)


def _remarks(state: KohnSham, n_occupied: int, method: Method, symbols: tuple[str, ...]) -> list[str]:
    remarks = []
    if state.way is not None:
        remarks.append(
            f"the {method.name} ground state needed more than plain cycles: {state.way.words} ({state.cycles} cycles)"
        )
    full = np.where(np.arange(len(state.occupations)) < n_occupied, 2.0, 0.0)
    if fractional := int((np.abs(state.occupations - full) > _FRACTIONAL).sum()):
        remarks.append(
            f"{fractional} orbitals are fractionally occupied at {method.kelvin:g} K; "
            "the excited states take the lowest ones as doubly occupied"
        )
    if bare := [s for s in dict.fromkeys(symbols) if is_bare(s, method)]:
        remarks.append(
            f"the basis has no effective core potential for {', '.join(bare)}: relativity is left out, and levels are "
            "wrong by up to 1 eV; use --basis def2-svp"
        )
    return remarks


def _compute(atoms: Atoms, charge: int, protocol: Protocol, compute: Compute, start_from: Atoms | None) -> Orbitals:
    return dft_orbitals(atoms, charge, Method.of(protocol), compute, start_from)


def _cost(atoms: Atoms, protocol: Protocol, compute: Compute) -> Cost:
    """Of the ground state; see docs/science/dft.md for what was measured."""
    import torch

    method = Method.of(protocol)
    size = Size.of(atoms, 0, method)
    stored = fit_is_stored(method, size, compute)
    memory = size.least_gb + (size.stored_gb if stored else 0.0)
    return Cost(size.seconds(method, stored) / torch.get_num_threads() ** 0.7, memory, size.least_gb, size.functions)


ORBITAL_SOURCES = (
    OrbitalSource("dft", _compute, electronic_temperature=True, kohn_sham=True, checkpoints=True, cost=_cost),
)

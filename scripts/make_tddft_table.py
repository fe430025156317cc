"""The engine's response beside full time-dependent DFT on the same Kohn-Sham orbitals: a table of docs/science/dft.md.

    OMP_NUM_THREADS=1 nice python scripts/make_tddft_table.py FOLDER [--xc pbe,pbe0] [--only NAME ..] [--states 8]

Pure functionals are compared with TDDFT (Casida form), hybrids with the Tamm-Dancoff approximation, which is what the
engine has for them.  Each molecule is a file in FOLDER and is not computed again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

import clusterml as cm
from clusterml.engine.integrals import angular, dipole, gradient, import_pyscf
from clusterml.engine.orbitals.dft import dft_orbitals, mean_field, molecule, pyscf_at_work
from clusterml.engine.orbitals.dft_method import Method, Size
from clusterml.engine.orbitals.orbitals import Orbitals
from clusterml.engine.protocol import Compute, Protocol
from clusterml.engine.response.excited import ExcitedStates, Moments, transitions
from clusterml.engine.response.solver import find_solver
from clusterml.io.json import write_json
from clusterml.spectrum.fit import cosine
from clusterml.spectrum.transitions import Transitions
from clusterml.typing import FloatArray
from clusterml.units import HARTREE_EV

FWHM_EV = 0.4
"""Width of the bands whose spectra are compared."""
_SHIFTS = np.arange(-100, 101) * 0.01
"""Common shifts of the engine's energies that are tried, in eV."""


def _embedded(smiles: str) -> Any:
    """A conformer of lowest MMFF energy near a fixed start, with its hydrogens."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    rdDistGeom.EmbedMolecule(mol, randomSeed=7)
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    return mol


def _atoms(mol: Any) -> Atoms:
    return Atoms([a.GetSymbol() for a in mol.GetAtoms()], mol.GetConformer().GetPositions())


def from_smiles(smiles: str) -> Atoms:
    """The molecule as the force field has it."""
    return _atoms(_embedded(smiles))


def twisted(smiles: str, dihedral: tuple[int, int, int, int], degrees: float) -> Atoms:
    """The same with one dihedral angle of atoms set to ``degrees``."""
    from rdkit.Chem import rdMolTransforms

    mol = _embedded(smiles)
    rdMolTransforms.SetDihedralDeg(mol.GetConformer(), *dihedral, degrees)
    return _atoms(mol)


def allene() -> Atoms:
    """One hand of 1,3-difluoroallene: its two ends stand at right angles."""
    ends = [(sign * 1.31, sign) for sign in (-1.0, 1.0)]
    symbols, places = ["C"], [[0.0, 0.0, 0.0]]
    for number, (x, sign) in enumerate(ends):
        out = np.array([0.0, 1.0, 0.0] if number == 0 else [0.0, 0.0, 1.0])
        symbols += ["C", "F", "H"]
        places += [[x, 0.0, 0.0], [x + sign * 0.70, *(1.15 * out[1:])], [x + sign * 0.52, *(-0.95 * out[1:])]]
    return Atoms(symbols, places)


def rattled(name: str, **ligands: Any) -> Atoms:
    """A built complex with every atom displaced by 0.1 A rms, which makes it chiral."""
    atoms = cm.build(name, **ligands)
    atoms.rattle(stdev=0.1, seed=3)
    return atoms


def chiral_carboxylate() -> Atoms:
    """Ag2(HCOO)(CHFClCOO): a hydrogen of the built formate dimer exchanged for a chiral group."""
    atoms = cm.build("ag2", carboxylate="HCOO")
    hydrogen = max(i for i, s in enumerate(atoms.symbols) if s == "H")
    carbons = [i for i, s in enumerate(atoms.symbols) if s == "C"]
    carbon = carbons[int(np.argmin(atoms.get_distances(hydrogen, carbons)))]
    axis = atoms.positions[hydrogen] - atoms.positions[carbon]
    axis /= np.linalg.norm(axis)
    side = np.cross(axis, [0.3, 0.2, 1.0])
    side /= np.linalg.norm(side)
    center = atoms.positions[carbon] + 1.52 * axis
    del atoms[hydrogen]
    atoms.append("C")
    atoms.positions[-1] = center
    for number, (symbol, length) in enumerate((("F", 1.37), ("Cl", 1.77), ("H", 1.09))):
        turn = 2.0 * np.pi * number / 3.0
        around = np.cos(turn) * side + np.sin(turn) * np.cross(axis, side)
        atoms.append(symbol)
        atoms.positions[-1] = center + length * (axis / 3.0 + np.sqrt(8.0) / 3.0 * around)
    return atoms


SYSTEMS: dict[str, Callable[[], Atoms]] = {
    "H2O2, 115°": lambda: twisted("OO", (2, 0, 1, 3), 115.0),
    "H2S2, 92°": lambda: twisted("SS", (2, 0, 1, 3), 92.0),
    "ethylene, 30°": lambda: twisted("C=C", (2, 0, 1, 4), 30.0),
    "CHFClBr": lambda: from_smiles("F[C@H](Cl)Br"),
    "1,3-difluoroallene": allene,
    "butadiene, gauche": lambda: twisted("C=CC=C", (0, 1, 2, 3), 40.0),
    "methyloxirane": lambda: from_smiles("C[C@H]1CO1"),
    "alanine": lambda: from_smiles("C[C@H](N)C(=O)O"),
    "norcamphor": lambda: from_smiles("O=C1C[C@H]2CC[C@@H]1C2"),
    "[Ag(PH3)2]+": lambda: rattled("ag1"),
    "Ag3(SH)3": lambda: rattled("ag3", thiolate="SH"),
    "Ag2(HCOO)(CHFClCOO)": chiral_carboxylate,
    "Ag4(SH)4": lambda: rattled("ag4", thiolate="SH"),
}


@dataclass(frozen=True)
class Reference:
    """States of full TDDFT: ``transitions`` and amplitudes X (n, n_o, n_v), normalised."""

    transitions: Transitions
    amplitudes: FloatArray


def reference_states(atoms: Atoms, charge: int, method: Method, orbitals: Orbitals, states: int) -> Reference:
    """Full TDDFT (pure functionals) or TDA (hybrids) of pyscf on ``orbitals``."""
    with pyscf_at_work():
        mol = molecule(atoms, charge, method)
        field = mean_field(mol, method, Size.of(atoms, charge, method), Compute())
        field.mo_coeff, field.mo_occ = orbitals.coefficients, orbitals.occupations
        field.mo_energy = orbitals.energies_ev / HARTREE_EV
        field.converged = True
        field.e_tot = field.energy_tot()
        tddft = import_pyscf("tdscf")
        solver = tddft.TDA(field) if method.functional.ax else tddft.TDDFT(field)
        solver.nstates, solver.max_cycle, solver.conv_tol = states, 100, 1e-5
        solver.kernel()
    x = np.array([np.asarray(pair[0]) for pair in solver.xy])
    y = np.array([np.zeros_like(x[0]) if np.isscalar(pair[1]) else np.asarray(pair[1]) for pair in solver.xy])
    order = np.argsort(solver.e)
    return Reference(strengths(orbitals, np.asarray(solver.e)[order], x[order], y[order]), normalised(x[order]))


def normalised(x: FloatArray) -> FloatArray:
    """Amplitudes (n, n_o, n_v), each of norm one."""
    return np.asarray(x / np.linalg.norm(x.reshape(len(x), -1), axis=1)[:, None, None])


def strengths(orbitals: Orbitals, energies: FloatArray, x: FloatArray, y: FloatArray) -> Transitions:
    """Intensities of states with energies (hartree) and amplitudes X, Y of norm 1/2, about the centre of the atoms."""
    n_o = orbitals.n_occupied
    basis = orbitals.basis.translated(-orbitals.basis.coords_bohr.mean(axis=0))
    c_o, c_v = orbitals.coefficients[:, :n_o], orbitals.coefficients[:, n_o:]
    r, v, m = (np.einsum("kmn,mi,na->kia", op(basis), c_o, c_v, optimize=True) for op in (dipole, gradient, angular))
    plus, minus = np.sqrt(2.0) * (x + y), np.sqrt(2.0) * (x - y)
    r, v, m = (np.einsum("nia,kia->nk", z, op) for z, op in ((plus, r), (minus, v), (minus, m)))
    nothing = np.zeros_like(r)
    return transitions(energies, Moments(r, v, m, nothing, nothing))


def engine_states(orbitals: Orbitals, emax_ev: float) -> ExcitedStates:
    """All states of the engine up to ``emax_ev``."""
    protocol = Protocol(emax_ev=emax_ev, solver="states")
    response = find_solver(orbitals, protocol).solve(orbitals, protocol, Compute(), None)
    assert isinstance(response, ExcitedStates)
    return response


def pairs(reference: Reference, engine: ExcitedStates, n_occupied: int) -> tuple[FloatArray, FloatArray]:
    """The engine's state for each of the reference's, by largest overlap of amplitudes, and the squared overlap."""
    from scipy.optimize import linear_sum_assignment

    assert engine.amplitudes is not None
    few = np.arange(min(len(engine.transitions), 4 * len(reference.amplitudes)))
    ours = normalised(engine.amplitudes(few).double().cpu().numpy())
    first = n_occupied - ours.shape[1]  # the engine's window may leave out orbitals at both ends
    theirs = reference.amplitudes[:, first:, : ours.shape[2]]
    overlap = np.einsum("nia,mia->nm", theirs, ours) ** 2
    rows, columns = linear_sum_assignment(-overlap)
    return columns, overlap[rows, columns]


@dataclass(frozen=True)
class Row:
    """Errors of one molecule: energies in eV (``shift`` common, ``energy`` mean absolute after it, ``before``), f and
    R (1e-40 cgs) mean absolute with mean magnitudes, cosines of broadened spectra before and after the shift."""

    name: str
    xc: str
    states: int
    range_ev: tuple[float, float]
    before: float
    shift: float
    energy: float
    overlap: float
    f: float
    mean_f: float
    r_velocity: float
    r_length: float
    mean_r: float
    absorption: tuple[float, float]
    cd_velocity: tuple[float, float]
    cd_length: tuple[float, float]


def compared(name: str, xc: str, reference: Reference, engine: ExcitedStates, n_occupied: int) -> Row:
    theirs, (column, overlap) = reference.transitions, pairs(reference, engine, n_occupied)
    ours = engine.transitions
    difference = ours.energy_ev[column] - theirs.energy_ev
    grid = np.arange(theirs.energy_ev[0] - FWHM_EV, theirs.energy_ev[-1] - 0.1, 0.02)
    kept = np.sort(column)  # the same states on both sides: those above have no counterpart

    def curves(states: Transitions, which: Any, shift: float, gauge: str) -> tuple[FloatArray, FloatArray]:
        spectrum = moved(states, which, shift).broaden(grid, FWHM_EV, gauge=gauge, absorption_gauge="length")
        return spectrum.epsilon, spectrum.delta_epsilon

    everything = slice(None)
    reference_v, reference_l = (curves(theirs, everything, 0.0, gauge) for gauge in ("velocity", "length"))
    shift = -float(_SHIFTS[np.argmin([np.abs(difference - s).mean() for s in _SHIFTS])])
    cosines = []
    for k, by in ((0, 0.0), (0, shift)):
        v, l = (curves(ours, kept, by, gauge) for gauge in ("velocity", "length"))
        cosines.append((cosine(v[k], reference_v[k]), cosine(v[1], reference_v[1]), cosine(l[1], reference_l[1])))
    absorption, cd_velocity, cd_length = zip(*cosines, strict=True)
    return Row(
        name=name,
        xc=xc,
        states=len(theirs),
        range_ev=(float(theirs.energy_ev[0]), float(theirs.energy_ev[-1])),
        before=float(np.abs(difference).mean()),
        shift=shift,
        energy=float(np.abs(difference + shift).mean()),
        overlap=float(overlap.mean()),
        f=float(np.abs(ours.f_length[column] - theirs.f_length).mean()),
        mean_f=float(theirs.f_length.mean()),
        r_velocity=float(np.abs(ours.r_velocity_cgs[column] - theirs.r_velocity_cgs).mean()),
        r_length=float(np.abs(ours.r_length_cgs[column] - theirs.r_length_cgs).mean()),
        mean_r=float(np.abs(theirs.r_velocity_cgs).mean()),
        absorption=absorption,
        cd_velocity=cd_velocity,
        cd_length=cd_length,
    )


def moved(states: Transitions, which: Any, shift: float) -> Transitions:
    """Some of ``states`` with energies raised by ``shift`` (eV)."""
    arrays = {key: value[which] for key, value in vars(states).items() if isinstance(value, np.ndarray)}
    return Transitions(**{**arrays, "energy_ev": arrays["energy_ev"] + shift})


def row(name: str, xc: str, states: int) -> Row:
    """Compute one row of the table."""
    atoms = SYSTEMS[name]()
    charge = int(atoms.info.get("charge", 0))
    basis = "lanl2dz" if "Ag" in atoms.symbols else "def2-svp"
    method = Method.of(Protocol(orbitals="dft", xc=xc, basis=basis))
    orbitals = dft_orbitals(atoms, charge, method, Compute(working=lambda words: print(f"  {words}", flush=True)))
    reference = reference_states(atoms, charge, method, orbitals, states)
    engine = engine_states(orbitals, min(15.0, float(reference.transitions.energy_ev[-1]) + 2.0))
    return compared(name, xc, reference, engine, orbitals.n_occupied)


HEADING = (
    "| molecule | functional | states, eV | shift / eV | energy MAE / eV, before / after | overlap | f: MAE of mean "
    "| R velocity, length: MAE of mean | absorption | CD velocity | CD length |"
)


def line(r: dict[str, Any]) -> str:
    """A row of the Markdown table."""

    def both(pair: list[float]) -> str:
        return f"{pair[0]:.2f} / {pair[1]:.2f}"

    return (
        f"| {r['name']} | {r['xc']} | {r['states']}: {r['range_ev'][0]:.1f} to {r['range_ev'][1]:.1f} "
        f"| {r['shift']:+.2f} | {r['before']:.2f} / {r['energy']:.2f} | {r['overlap']:.2f} "
        f"| {r['f']:.3f} of {r['mean_f']:.3f} | {r['r_velocity']:.1f}, {r['r_length']:.1f} of {r['mean_r']:.1f} "
        f"| {both(r['absorption'])} | {both(r['cd_velocity'])} | {both(r['cd_length'])} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--xc", default="pbe,pbe0")
    parser.add_argument("--only", nargs="*", choices=[*SYSTEMS], default=[*SYSTEMS])
    parser.add_argument("--states", type=int, default=8)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for xc in arguments.xc.split(","):
        for name in arguments.only:
            file = arguments.folder / f"{''.join(c for c in name if c.isalnum())}-{xc}.json"
            if not file.exists():
                print(name, xc, flush=True)
                write_json(asdict(row(name, xc, arguments.states)), file)
    print(HEADING, "|---" * HEADING.count(" | ") + "|---|", sep="\n")
    for file in sorted(arguments.folder.glob("*.json")):
        print(line(json.loads(file.read_text())))


if __name__ == "__main__":
    main()

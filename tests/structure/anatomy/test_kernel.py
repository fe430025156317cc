"""Kernel and shells: real clusters, ideal ones, and the same in thermal motion."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.cluster import Icosahedron, Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterml.structure.anatomy.fans import assign_fan_hand, measure_fan_angles
from clusterml.structure.anatomy.kernel import core_key, find_icosahedra, metal_frame
from clusterml.structure.elements import is_metal
from clusterml.structure.read import read

CLUSTERS = {
    "geometry/Ag29_BDT12_PH3_4_T_M.xyz": (13, [12, 4]),
    "geometry/Ag29_SH24_PH3_4_T_P.xyz": (13, [12, 4]),
    "geometry/Ag32_SH24_PH3_10_C3.xyz": (13, [12, 4, 3]),
    "geometry/Ag33_SH24_PH3_11_C1_P.xyz": (13, [12, 4, 1, 3]),
    "geometry/Ag70S28_core_Td_geometric.xyz": (16, [12, 6, 24, 12]),
    "geometry/Ag70S28_core_T_scaled_P.xyz": (16, [12, 6, 24, 12]),
    "geometry/Ag70S28_core_T_twistM8.xyz": (16, [12, 6, 24, 12]),
    "geometry/Ag70S4_SH24_HCOO12_Cl8_T_M.xyz": (16, [12, 6, 24, 12]),
    "geometry/Ag70S4_SH24_HCOO12_Cl8_Td_GFN1.xyz": (16, [12, 6, 24, 12]),
    "structures/Ag25_methylthiol.xyz": (13, [12]),
    "structures/Ag25_final.xyz": (13, [12]),
    "structures/Ag24Pt_methylthiol.xyz": (13, [12]),
    "structures/au25_pet18_opt.xyz": (13, [12]),
    "structures/au38_pet24q_opt.xyz": (23, [15]),
}


def shape(atoms: Atoms) -> tuple[int, list[int]]:
    frame = metal_frame(atoms)
    assert sorted(np.concatenate(frame.layers).tolist()) == np.flatnonzero(is_metal(atoms.numbers)).tolist()
    return len(frame.kernel), [len(shell) for shell in frame.shells]


def warm(atoms: Atoms, sigma: float, rng: np.random.Generator) -> Atoms:
    moved = atoms.copy()
    moved.positions += rng.normal(scale=sigma, size=moved.positions.shape)
    return moved


@pytest.mark.parametrize("name", CLUSTERS)
def test_known_clusters(shared, name):
    assert shape(read(shared / name, allow_several=True)) == CLUSTERS[name]


@pytest.mark.parametrize("name", [n for n in CLUSTERS if "twist" not in n and "geometric" not in n])
def test_the_kernel_survives_thermal_motion(shared, name, rng):
    """0.1 A in each coordinate is 0.17 A of displacement; the shells may lose an atom now and then, the kernel none."""
    atoms = read(shared / name, allow_several=True)
    kernel = metal_frame(atoms).kernel.tolist()
    shells = [shell.tolist() for shell in metal_frame(atoms).shells]
    frames = [metal_frame(warm(atoms, 0.1, rng)) for _ in range(20)]
    assert [f.kernel.tolist() for f in frames] == [kernel] * 20
    same = sum([shell.tolist() for shell in f.shells] == shells for f in frames)
    # Ag32 and Ag33 have vertices of one, two and no P: their outer shells differ by less than this motion moves
    assert same >= (10 if "Ag32" in name or "Ag33" in name else 16)


def test_larger_motion_of_ag70(ag70_core, rng):
    assert shape(ag70_core) == (16, [12, 6, 24, 12])
    assert [len(layer) for layer in metal_frame(ag70_core).layers] == [4, 12, 12, 6, 24, 12]
    assert all(shape(warm(ag70_core, 0.1, rng)) == (16, [12, 6, 24, 12]) for _ in range(20))
    kernel = metal_frame(ag70_core).kernel.tolist()
    assert sum(metal_frame(warm(ag70_core, 0.15, rng)).kernel.tolist() == kernel for _ in range(20)) >= 19


def test_the_shipped_example(examples):
    assert shape(read(examples / "ag29_model.xyz")) == (13, [12, 4])


def test_a_hollow_cluster_of_ligated_metals_has_no_kernel(ag12):
    assert shape(ag12) == (0, [12])


def test_centred_polyhedra(centred):
    for kind in ("icosahedron", "cuboctahedron"):
        atoms = centred(kind)
        assert shape(atoms) == (13, [])
        assert len(metal_frame(atoms).icosahedra.centres) == (kind == "icosahedron")


def test_a_hollow_kernel(ag44):
    frame = metal_frame(ag44)
    assert len(frame.icosahedra.centres) == 0
    assert [len(layer) for layer in frame.layers] == [12, 20, 12]
    assert len(frame.kernel) == 32


def test_small_and_metal_free_molecules():
    assert metal_frame(molecule("CH4")).layers == ()
    assert len(metal_frame(molecule("CH4")).kernel) == 0
    assert shape(Atoms("AgCl", [(0, 0, 0), (0, 0, 2.3)])) == (0, [1])
    assert shape(Atoms("Ag2", [(0, 0, 0), (0, 0, 2.6)])) == (0, [2])
    assert shape(Atoms("Ag4", np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]))) == (4, [])


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_independent_of_rotation_order_and_hand(examples, seed):
    rng = np.random.default_rng(seed)
    atoms = read(examples / "ag29_model.xyz")
    before = metal_frame(atoms)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions = moved.positions @ turn + rng.normal(size=3)
    after = metal_frame(moved)
    assert [sorted(order[layer].tolist()) for layer in after.layers] == [layer.tolist() for layer in before.layers]
    assert after.n_kernel == before.n_kernel


@pytest.mark.parametrize(("shared_metals", "electrons"), [(1, 16), (3, 14)])
def test_fused_icosahedra(fused_icosahedra, shared_metals, electrons):
    positions = fused_icosahedra(shared_metals)
    assert len(positions) == 26 - shared_metals
    numbers = np.full(len(positions), 79)
    icosahedra = find_icosahedra(numbers, positions, np.ones(len(numbers), dtype=bool))
    assert len(icosahedra.centres) == 2
    assert len(icosahedra.members(0) & icosahedra.members(1)) == shared_metals
    assert icosahedra.electrons() == electrons


def test_one_icosahedron_is_no_molecule_of_superatoms(centred):
    assert metal_frame(centred("icosahedron")).icosahedra.electrons() is None


def test_cores_are_told_apart_whatever_their_order_and_ligands():
    """Icosahedron and cuboctahedron differ in their contacts, gold from silver in its element."""
    ico, cube = (Icosahedron("Ag", 2).positions, Octahedron("Ag", 3, 1).positions)
    assert len(ico) == len(cube) == 13
    silver = np.full(13, 47)
    order = np.random.default_rng(0).permutation(13)
    keys = {core_key(silver, ico), core_key(silver, cube), core_key(np.where(np.arange(13), 47, 79), ico)}
    assert len(keys) == 3
    numbers, positions = np.append(silver[order], 16), np.concatenate([ico[order] + 1.0, [[9.0, 9.0, 9.0]]])
    assert core_key(numbers, positions) == core_key(silver, ico)


def test_a_mononuclear_complex_has_no_fan():
    """[Ag(PR3)(SR)3]: its metal is the centre of the metals."""
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3.0)
    atoms = Atoms("AgPS3", np.concatenate([np.zeros((1, 3)), 2.5 * corners]))
    with np.errstate(all="raise"):
        assert len(measure_fan_angles(atoms)) == 0
        assert assign_fan_hand(atoms) is None

"""Counter-ions and solvent beside a cluster in a file without a lattice."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import write

from clusterml.errors import SeveralMoleculesError
from clusterml.structure.build.build import build
from clusterml.structure.inspect import inspect
from clusterml.structure.read import read


def salt(cations: int = 3) -> Atoms:
    """Ag29 3- with sodium, methanol and water beside it."""
    cluster = build("ag29", thiolate="SH")
    cluster.info = {}
    atoms = cluster + Atoms("Na" * cations, 12.0 * np.eye(3)[:cations])
    for place, name in enumerate(("CH3OH", "H2O")):
        solvent = molecule(name)
        solvent.translate((-14.0 + 8.0 * place, -11.0, 0.0))
        atoms += solvent
    return atoms


@pytest.mark.parametrize("name", ["salt.xyz", "salt.pdb", "POSCAR"])
def test_the_cluster_is_taken_alone_in_any_format(tmp_path, name):
    atoms = salt()
    if name == "POSCAR":
        atoms.set_cell(40.0 * np.eye(3))
        atoms.pbc = True
    write(tmp_path / name, atoms, format={"salt.xyz": "xyz", "POSCAR": "vasp"}.get(name))
    found = inspect(tmp_path / name)
    data = found.to_dict()
    assert (len(found.atoms), found.charge, data["charge_from"]) == (93, -3, "counter-ions")
    assert (data["counter_ions"], data["solvent"]) == ({"Na": 3}, {"CH4O": 1, "H2O": 1})
    assert data["species_names"]["CH4O"] == "methanol"
    assert any("left out: 3 x Na, 1 x CH4O, 1 x H2O" in warning for warning in found.warnings)


def test_all_of_it_is_computed_where_that_is_asked_for(tmp_path):
    write(tmp_path / "salt.xyz", salt(), format="xyz")
    found = inspect(tmp_path / "salt.xyz", allow_several=True)
    assert len(found.atoms) == 93 + 3 + 6 + 3
    assert found.to_dict()["counter_ions"] == {"Na": 3}


def test_ions_that_do_not_pair_the_electrons_are_not_followed(tmp_path):
    write(tmp_path / "salt.xyz", salt(2), format="xyz")
    atoms = read(tmp_path / "salt.xyz")
    assert "charge" not in atoms.info
    assert any("not followed: 1 cluster and 2 x Na in the file" in w for w in atoms.info["provenance"]["warnings"])


def test_a_stated_charge_is_that_of_all(tmp_path):
    write(tmp_path / "salt.xyz", salt(2), format="xyz")
    text = (tmp_path / "salt.xyz").read_text().split("\n", 2)
    (tmp_path / "salt.xyz").write_text(f"{text[0]}\ncharge=-1\n{text[2]}")
    atoms = read(tmp_path / "salt.xyz")
    assert atoms.info["charge"] == -3
    assert "2 x Na in the file, -1 in all: -3 for the cluster" in atoms.info["provenance"]["charge_from"]


@pytest.mark.parametrize(
    "other",
    [
        Atoms("Ag", [(15.0, 0.0, 0.0)]),  # metal in two molecules
        Atoms("B", [(15.0, 0.0, 0.0)]),  # unknown
        build("ag1"),
    ],
)
def test_what_is_no_known_ion_or_solvent_is_refused_as_before(tmp_path, other):
    cluster = build("ag3", thiolate="SH")
    other.translate((15.0, 0.0, 0.0))
    write(tmp_path / "two.xyz", cluster + other, format="xyz")
    with pytest.raises(SeveralMoleculesError):
        read(tmp_path / "two.xyz")


def test_a_chloride_that_almost_binds_is_no_counter_ion(tmp_path):
    cluster = build("ag3", thiolate="SH")
    out = cluster.positions[0] - cluster.positions[:3].mean(axis=0)
    cluster += Atoms("Cl", [cluster.positions[0] + 3.0 * out / np.linalg.norm(out)])
    write(tmp_path / "torn.xyz", cluster, format="xyz")
    with pytest.raises(SeveralMoleculesError):
        read(tmp_path / "torn.xyz")

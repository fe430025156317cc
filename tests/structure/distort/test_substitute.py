from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from clusterml.errors import OptionError, StructureError
from clusterml.structure.anatomy.anatomy import anatomy
from clusterml.structure.anatomy.library import load_library
from clusterml.structure.build.build import build
from clusterml.structure.check import check_one_molecule
from clusterml.structure.distort.exchange import check_exchange
from clusterml.structure.distort.substitute import find_sites, series, substitute
from clusterml.structure.elements import formula
from clusterml.structure.read import read

SEED = 7


def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def counts(atoms) -> dict[str, int]:
    return anatomy(atoms).ligand_counts()


@pytest.fixture(scope="module")
def titration(td):
    """HCOO -> R-TFL, n = 0..12, one ligand at a time."""
    return series(td.atoms, "HCOO", "R-TFL", range(13), rng=rng())


def test_sites_are_numbered_in_order(td):
    sites = find_sites(td.atoms, "HCOO")
    assert [site.number for site in sites] == list(range(1, 13))
    assert [int(site.atoms[0]) for site in sites] == sorted(int(site.atoms[0]) for site in sites)
    assert all(len(site.donors) == 2 and td.metal[site.metals].all() for site in sites)
    by_formula = find_sites(td.atoms, "CHO2")
    assert [s.number for s in by_formula] == [s.number for s in sites]


def test_ligands_have_the_names_of_the_users_library(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("ligands: {SOct: {smiles: '[S-]CCCCCCCC', donors: S, charge: 1, aliases: [octyl]}}\n")
    atoms = build("ag3", thiolate="SOct", library=load_library(path))
    for name in ("SOct", "octyl", "C8H17S"):
        assert len(find_sites(atoms, name, path)) == 3
    with pytest.raises(OptionError, match="ligands of this cluster: SOct"):
        find_sites(atoms, "SH", path)
    mixed = substitute(atoms, "octyl", "SH", 1, rng=rng(), library=path)
    assert anatomy(mixed, load_library(path)).ligand_counts() == {"SOct": 2, "SH": 1}


def test_the_series_counts_ligands_one_by_one(td, titration):
    for n, member in enumerate(titration):
        expected = {"S": 4, "SH": 24, "HCOO": 12 - n, "Cl": 4, "R-TFL": n}
        assert counts(member) == {name: count for name, count in expected.items() if count}
        assert member.info["charge"] == td.atoms.info["charge"]
        assert member.info["provenance"]["substitutions"][0]["count"] == n
        check_one_molecule(member)
    assert formula(titration[12].numbers) == "Ag70C36H48Cl4F36O36S28"
    hands = {ligand.hand for ligand in anatomy(titration[8]).ligands if ligand.name == "R-TFL"}
    assert hands == {"R"}


def test_the_series_is_nested(titration):
    sites = [member.info["provenance"]["substitutions"][0]["sites"] for member in titration]
    for n in range(12):
        assert sites[n + 1][:n] == sites[n]
        assert len(set(sites[n + 1])) == n + 1
        smaller, larger = titration[n].positions, titration[n + 1].positions
        distance = np.linalg.norm(smaller[:, None] - larger[None], axis=2).min(axis=1)
        assert np.sum(distance > 1e-9) == 2  # C and H of one formate; the new ligand's O are where the old ones were


def test_the_rest_keeps_place_and_order(td, titration):
    gone = np.concatenate([site.atoms for site in find_sites(td.atoms, "HCOO")])
    rest = np.setdiff1d(np.arange(len(td.numbers)), gone)
    assert np.array_equal(titration[12].positions[: len(rest)], td.positions[rest])
    assert np.array_equal(titration[12].numbers[: len(rest)], td.numbers[rest])


def test_the_seed_decides_and_repeats(td, titration):
    again = substitute(td.atoms, "HCOO", "R-TFL", 3, rng=rng())
    assert np.array_equal(again.positions, titration[3].positions)
    other = substitute(td.atoms, "HCOO", "R-TFL", 3, rng=np.random.default_rng(SEED + 1))
    assert other.info["provenance"]["substitutions"][0]["sites"] != [
        *again.info["provenance"]["substitutions"][0]["sites"]
    ]


def test_chosen_sites_are_used_in_their_order(td):
    sites = find_sites(td.atoms, "HCOO")
    exchanged = substitute(td.atoms, "HCOO", "S-TFL", sites=[5, 2], rng=rng())
    assert exchanged.info["provenance"]["substitutions"][0]["sites"] == [5, 2]
    assert counts(exchanged)["S-TFL"] == 2
    donors = exchanged.positions[exchanged.numbers == 8]
    for number in (5, 2):  # carboxylates keep their oxygen atoms where they were
        for donor in td.positions[sites[number - 1].donors]:
            assert np.linalg.norm(donors - donor, axis=1).min() < 1e-6


def test_sampling_draws_different_conformers(td):
    bodies = []
    for seed in range(4):
        exchanged = substitute(td.atoms, "HCOO", "R-TFL", 1, sites=[3], sample=True, rng=np.random.default_rng(seed))
        assert counts(exchanged)["R-TFL"] == 1
        bodies.append(exchanged.positions[170:])
    spread = [np.abs(a - b).max() for k, a in enumerate(bodies) for b in bodies[:k]]
    assert max(spread) > 1.0


def test_the_charge_follows_the_ligands(td):
    exchanged = substitute(td.atoms, "HCOO", "DMF", 2, rng=rng())
    assert exchanged.info["charge"] == td.atoms.info["charge"] + 2
    assert counts(exchanged)["DMF"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"old": "PPh3"}, r"there is no ligand PPh3 to exchange \(ligands of this cluster: S, SH, HCOO, Cl\)"),
        ({"new": "XYZ"}, "there is no ligand 'XYZ' in the library"),
        ({"count": 13}, "13 ligands cannot be exchanged .*12 sites with HCOO"),
        ({"count": -1}, "-1 ligands cannot be exchanged"),
        ({"sites": [1, 13]}, r"site 13 does not exist \(sites are numbered from 1 to 12\)"),
        ({"sites": [2, 2]}, "a site is given twice"),
        ({"count": 3, "sites": [1, 2]}, "3 ligands cannot be exchanged .*2 sites"),
    ],
)
def test_what_cannot_be_exchanged(td, options, message):
    chosen = {"old": "HCOO", "new": "CF3COO", "count": None, **options}
    with pytest.raises(OptionError, match=message):
        substitute(td.atoms, chosen["old"], chosen["new"], chosen["count"], sites=options.get("sites"), rng=rng())


def test_an_empty_series(td):
    with pytest.raises(OptionError, match="no number of exchanges"):
        series(td.atoms, "HCOO", "CF3COO", [], rng=rng())


def test_a_ligand_that_does_not_fit_names_the_site(td):
    with pytest.raises(StructureError, match=r"site 1 \(after 0 exchanges\)"):
        substitute(td.atoms, "S", "PPh3", sites=[1], rng=rng())


def test_contacts_of_a_new_ligand_are_checked(td):
    sites = find_sites(td.atoms, "HCOO")
    exchanged = substitute(td.atoms, "HCOO", "CF3COO", sites=[1], rng=rng())
    entry = load_library().entry("CF3COO")
    removed = sites[0].atoms
    assert check_exchange(td.atoms, exchanged, removed, entry, "error") == []

    crowded = exchanged.copy()  # another formate, moved so that its hydrogen nearly touches a fluorine from outside
    fluorine = max(np.flatnonzero(exchanged.numbers == 9), key=lambda i: float(np.linalg.norm(exchanged.positions[i])))
    other = [int(np.argmin(np.linalg.norm(exchanged.positions - td.positions[i], axis=1))) for i in sites[6].atoms]
    hydrogen = next(i for i in other if exchanged.numbers[i] == 1)
    out = exchanged.positions[fluorine] / np.linalg.norm(exchanged.positions[fluorine])
    inward = min(other, key=lambda i: float(exchanged.positions[i] @ out))
    crowded.positions[other] += exchanged.positions[fluorine] + 1.45 * out - exchanged.positions[hydrogen]
    if inward != hydrogen:  # turn the formate over so that its hydrogen points at the cluster
        turned = 2.0 * crowded.positions[hydrogen] - crowded.positions[other]
        crowded.positions[other] = turned
    with pytest.raises(StructureError, match=rf"CF3COO: .*H{hydrogen + 1}.*\(1\.45 A\).* are too close"):
        check_exchange(td.atoms, crowded, removed, entry, "error")
    assert "are too close" in check_exchange(td.atoms, crowded, removed, entry, "warn")[0]


def test_the_deracemisation_series_of_the_shipped_model():
    """CF3COO -> R-TFL, n = 0..20, on the full Td model: one call, charge and all other ligands unchanged."""
    parent = read(Path(__file__).parents[3] / "datasets" / "structures" / "ag70_td_sipr_tfa20.xyz")
    members = series(parent, "CF3COO", "R-TFL", range(21), rng=rng())
    assert [len(member) - len(parent) for member in members] == [4 * n for n in range(21)]
    assert all(member.info["charge"] == -2 for member in members)
    assert counts(members[20]) == {"S": 4, "SiPr": 24, "R-TFL": 20}
    assert counts(members[8]) == {"S": 4, "SiPr": 24, "CF3COO": 12, "R-TFL": 8}

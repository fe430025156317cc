from __future__ import annotations

import numpy as np
import pytest

from clusterml.dataset.groups import find_homes, kin_of, origins_of, questions_of
from clusterml.dataset.split import Split, load_split, save_split
from clusterml.dataset.splits import draw_splits, extend, leaks, make_split, take_in_turn
from clusterml.dataset.store import Dataset, Store
from clusterml.errors import DatasetError, OptionError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, make_record, write_dataset):
    records = []
    seed = 0
    for family in ("ag25", "ag29", "ag70", "ag12"):
        for shell in ("SH", "SCH3", "SiPr"):
            for k in range(5):
                seed += 1
                name = f"{family}-{shell}-{k}"
                record = make_record(name, seed, family=family, parent=family, shell=shell, pair=name)
                records += [record, record.mirrored(f"{name}-mirror", "S")]
                if k == 0:
                    other = {"id": f"{name}-stda-xtb", "method": "stda-xtb"}
                    records.append(
                        make_record(name, seed, family=family, parent=family, shell=shell, pair=name, **other)
                    )
    return write_dataset(tmp_path_factory.mktemp("splits") / "d", records)


@pytest.mark.parametrize("question", ["random", "shell", "parent"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_geometry_and_its_mirror_image_fall_on_two_sides(dataset, question, seed):
    split = make_split(dataset, question, seed=seed, fractions=(0.2, 0.2))
    assert leaks(dataset, split) == []
    assert sorted(split.train + split.validation + split.test) == sorted(dataset.ids)
    assert split.test
    assert split == make_split(dataset, question, seed=seed, fractions=(0.2, 0.2))


def taken_plainly(order, groups, shares, test):
    """The same choice, counted anew for each group."""
    selected, remaining, took = {"test": list(test), "validation": []}, list(order), True

    def records(names):
        return {index for name in names for index in groups[name]}

    while took:
        took = False
        for part, share in shares.items():
            others = records(selected["validation" if part == "test" else "test"])
            kept = others if part == "validation" else set()
            now = len(records(selected[part]) - kept)
            for name in remaining:
                grown = records([*selected[part], name])
                count = len(grown - kept)
                wanted = (not selected[part] and share > 0 and count > 0) or abs(count - share) < abs(now - share)
                if wanted and grown | others != records(groups):
                    selected[part].append(name)
                    remaining.remove(name)
                    took = True
                    break
    return selected


@pytest.mark.parametrize("seed", range(20))
def test_groups_that_overlap_are_taken_in_turn(seed):
    """A record may have several ligands, and so be of several groups."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(20, 200))
    sizes = rng.integers(1, max(2, count // int(rng.integers(2, 20))), size=int(rng.integers(3, 40)))
    groups = {f"g{k}": set(rng.integers(0, count, size).tolist()) for k, size in enumerate(sizes)}
    order = rng.permutation(list(groups)).tolist()
    test = order[: int(rng.integers(0, 3))]
    shares = {"test": 0.0 if test else 0.2 * count, "validation": float(rng.uniform(0.0, 0.3)) * count}
    asked = order[len(test) :], groups, shares, test
    assert take_in_turn(*asked) == taken_plainly(*asked)


def test_unseen_clusters_and_unseen_shells_are_unseen(dataset):
    column = {name: dict(zip(dataset.ids, dataset.column(name), strict=True)) for name in ("family", "shell")}
    split = make_split(dataset, "parent", held_out=["ag70"])
    assert {column["family"][i] for i in split.test} == {"ag70"}
    assert "ag70" not in {column["family"][i] for i in split.train + split.validation}
    split = make_split(dataset, "shell", seed=3, fractions=(0.1, 0.2))
    tested = {(column["family"][i], column["shell"][i]) for i in split.test}
    assert not tested & {(column["family"][i], column["shell"][i]) for i in split.train + split.validation}


def test_the_largest_clusters_and_the_rarest_free_ligands_are_held_out(tmp_path, make_record, write_dataset):
    records = []
    shells = {"ag70": ["4Cl"] * 10, "ag32": ["9SH"] * 20, "ag33": ["9SH", "9SiPr"] * 10, "ag2": ["2SH"] * 45}
    shells["ag2"] += ["1R-TFL+1SH"] * 3 + ["2SCH3"] * 2
    sizes = {"ag70": 30, "ag33": 20, "ag32": 15, "ag2": 5}
    seed = 0
    for family, each in shells.items():
        for shell in each:
            seed += 1
            rng = np.random.default_rng(seed)
            atoms = {"numbers": np.full(sizes[family], 47), "positions": rng.normal(size=(sizes[family], 3))}
            name = f"{family}-{seed}"
            records.append(make_record(name, seed, family=family, shell=shell, pair=name, **atoms))
    dataset = write_dataset(tmp_path / "d", records)
    split = make_split(dataset, "parent", fractions=(0.2, 0.3))
    assert split.unseen == ("ag32", "ag70")
    assert {name[:4] for name in split.validation} == {"ag33"}
    split = make_split(dataset, "shell", fractions=(0.03, 0.02))
    assert split.unseen == ("SCH3",)  # Cl is rarer, but all of ag70 carries it
    shell = dict(zip(dataset.ids, dataset.column("shell"), strict=True))
    assert {shell[name] for name in split.validation} == {"1R-TFL+1SH"}
    split = make_split(dataset, "shell", held_out=["SiPr", "ag2/2SCH3"])
    assert {shell[name] for name in split.test} == {"9SiPr", "2SCH3"}


def test_one_geometry_stays_together_whatever_its_records_are_called(tmp_path, make_record):
    store = Store(tmp_path / "d")
    for seed in range(20):
        store.add(make_record(f"a{seed}", seed))
    # brought in later, turned, its atoms in another order, and mirrored
    original = make_record("a3", 3)
    turn = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    again = {"numbers": original.numbers[::-1], "positions": -(original.positions[::-1] @ turn) + 0.5}
    store.add(make_record("tddft", 3, method="TDDFT", **again))
    store.pack()
    dataset = Dataset(tmp_path / "d")
    assert dict(zip(dataset.ids, find_homes(dataset), strict=True))["tddft"] == "a3"
    assert len(set(find_homes(dataset))) == 20
    for seed in range(10):
        split = make_split(dataset, "random", seed=seed)
        assert any({"a3", "tddft"} <= set(part) for part in (split.train, split.validation, split.test))
        assert leaks(dataset, split) == []
    bad = Split("random", 0, ("a3",), (), ("tddft",))
    assert leaks(dataset, bad) == ["geometry a3 is in test and in train"]


def test_a_split_grows_with_its_dataset(dataset, tmp_path, make_record, write_dataset):
    old = make_split(dataset, "random", fractions=(0.2, 0.2))
    first = old.test[0]
    source = dataset[dataset.ids.index(first)]
    again = make_record("again", 1, method="TDDFT", numbers=source.numbers, positions=source.positions)
    more = [make_record(f"new-{seed}", seed) for seed in range(1000, 1100)]
    grown = write_dataset(tmp_path / "d", [*dataset, again, *more])
    new = extend(old, grown, (0.2, 0.2))
    assert leaks(grown, new) == []
    assert sorted(new.train + new.validation + new.test) == sorted(grown.ids)
    for part in ("train", "validation", "test"):
        assert set(getattr(old, part)) <= set(getattr(new, part))
    assert "again" in new.test
    assert 10 <= len(set(new.test) - set(old.test)) <= 31
    assert 10 <= len(set(new.validation) - set(old.validation)) <= 30
    with pytest.raises(DatasetError, match="the first: again"):
        extend(Split("random", 0, old.train, old.validation, (*old.test, "again")), dataset)
    with pytest.raises(OptionError, match="draw a new split"):
        extend(make_split(dataset, "parent"), grown)


def test_a_leak_is_seen(dataset):
    names = dataset.ids
    bad = Split("random", 0, names[:1], (), tuple(n for n in names if n != names[0]))
    assert any("pair" in leak for leak in leaks(dataset, bad))
    for part in ("-mirror", "-stda-xtb"):
        other = next(n for n in names if n.endswith(part))
        bad = Split("random", 0, (other.removesuffix(part),), (other,), ())
        assert any("pair" in leak for leak in leaks(dataset, bad))
    of_one_shell = [n for n in names if n.startswith("ag25-SH-")]
    apart = (tuple(n for n in of_one_shell if "-SH-0" in n), (), tuple(n for n in of_one_shell if "-SH-1" in n))
    assert leaks(dataset, Split("random", 0, *apart)) == []
    assert leaks(dataset, Split("shell", 0, *apart)) == ["shell ag25/SH is in test and in train"]
    assert leaks(dataset, Split("parent", 0, *apart)) == ["family ag25 is in test and in train"]
    assert leaks(dataset, Split("random", 0, names[:1], names[:1], ()))[0].startswith("record")


def test_all_three_questions_are_stored_at_once(dataset, tmp_path):
    made = draw_splits(dataset, {name: tmp_path / "splits" / f"{name}.json" for name in questions_of(dataset)})
    assert [split.question for _, split in made] == ["random", "shell", "parent"]
    assert all(load_split(path, dataset) == split for path, split in made)


def test_a_split_survives_storage_and_damage_is_named(dataset, tmp_path):
    split = make_split(dataset, "random")
    assert load_split(save_split(split, tmp_path / "split.json"), dataset) == split
    (tmp_path / "split.json").write_text("[]")
    with pytest.raises(DatasetError, match=r"split\.json"):
        load_split(tmp_path / "split.json")


def test_a_share_of_nothing_for_the_test_is_no_test_set(dataset):
    split = make_split(dataset, "random", fractions=(0.2, 0.0))
    assert split.test == ()
    assert split.validation
    assert len(split.train) + len(split.validation) == len(dataset)


def test_what_cannot_be_divided_is_refused(dataset):
    with pytest.raises(OptionError, match="fractions"):
        make_split(dataset, "random", fractions=(0.5, 0.5))
    with pytest.raises(OptionError, match="seed is -1"):
        make_split(dataset, "random", seed=-1)
    with pytest.raises(OptionError, match="ag99"):
        make_split(dataset, "parent", held_out=["ag99"])
    with pytest.raises(DatasetError, match="leaves no train records"):
        make_split(dataset, "parent", held_out=["ag12", "ag25", "ag29", "ag70"])


@pytest.mark.parametrize(
    ("question", "options", "part"),
    [
        ("parent", {"held_out": ["ag25", "ag29", "ag70"]}, "validation"),
        ("parent", {"held_out": ["ag25", "ag29", "ag70", "ag12"]}, "train"),
        ("shell", {"held_out": ["SH", "SCH3", "SiPr"]}, "train"),
    ],
)
def test_a_split_without_records_in_a_set_that_was_asked_for_says_so(dataset, tmp_path, question, options, part):
    with pytest.raises(DatasetError, match=f"a '{question}' split of .* leaves no {part} records") as raised:
        draw_splits(dataset, {question: tmp_path / "s" / "split.json"}, **options)
    assert "label more kinds of clusters" in raised.value.remedy
    assert not (tmp_path / "s").exists()


def test_the_remedy_of_a_split_without_validation_works(dataset):
    held_out = ["ag25", "ag29", "ag70"]
    with pytest.raises(DatasetError, match=r"ask for none of it \(--validation 0\)"):
        make_split(dataset, "parent", held_out=held_out)
    split = make_split(dataset, "parent", held_out=held_out, fractions=(0.0, 0.1))
    assert split.validation == ()
    assert split.train


TRIANGLE, CHAIN, SQUARE = (
    np.array(points) * 2.9
    for points in (
        [[0, 0, 0], [1, 0, 0], [0.5, 0.866, 0]],
        [[0, 0, 0], [1, 0, 0], [2, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],
    )
)
CORES = {"core-00000": CHAIN, "core-00001": CHAIN, "core-00002": TRIANGLE, "core-00003": SQUARE}
CORES |= {f"core-{k:05d}": np.concatenate([CHAIN, CHAIN[:1] + [[2.9 * (3 + j), 0, 0] for j in range(k)]])
          for k in range(4, 12)}  # fmt: skip


@pytest.fixture(scope="module")
def wide(tmp_path_factory, make_record, write_dataset):
    """A known triangle in three forms, means with their snapshots, and hypothetical cores, one a triangle as well."""
    records = []

    def add(name, core, **changes):
        shaken = core + 0.05 * np.random.default_rng(len(records)).normal(size=core.shape)
        numbers = np.full(len(core), 79 if name == "core-00001-mode-00000" else 47)
        family = name.rpartition("-")[0].rpartition("-")[0]
        values = {"parent": family, "family": family, "pair": name} | changes
        charges = np.zeros(3 * len(core))
        records.append(
            make_record(name, len(records), numbers=numbers, positions=shaken, shell_charges=charges, **values)
        )

    for k in range(24):
        form = ("as given", "gfn1, methanol", "gfn1, methanol, -3 %")[k % 3]
        kind = ("mode", "conformer")[k // 3 % 2]
        add(f"ag3-{kind}-{k:05d}", TRIANGLE, kind=kind, details={"form": form})
    for k in range(4):
        mean = f"ag3-ensemble-{k:05d}"
        for name, kind in ((mean, "ensemble"), *((f"{mean}-{j:03d}", "thermal") for j in range(2))):
            add(name, TRIANGLE, kind=kind, pair=mean, family="ag3", parent="ag3", details={"form": "as given"})
    for family, core in CORES.items():
        for kind in ("reference", "mode"):
            add(f"{family}-{kind}-00000", core, kind=kind, details={"form": "gfn1", "hypothetical": 1})
    return write_dataset(tmp_path_factory.mktemp("wide") / "d", records)


def sides(dataset, split, values):
    """Value -> the sets that hold it."""
    of_record = dict(zip(dataset.ids, values, strict=True))
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    return {value: {part for part, ids in parts.items() if any(of_record[i] == value for i in ids)} for value in values}


@pytest.mark.parametrize("question", ["random", "foreign", "parent", "core"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_mean_its_snapshots_and_its_cluster_stay_on_one_side(wide, question, seed):
    held_out = ["ag3"] if question == "parent" else []
    fractions = (0.0, 0.2) if held_out else (0.1, 0.2)
    split = make_split(wide, question, seed=seed, fractions=fractions, held_out=held_out)
    assert leaks(wide, split) == []
    assert split.test
    assert split.train
    assert all(len(parts) == 1 for parts in sides(wide, split, wide.column("pair")).values())
    if question in ("parent", "core"):
        assert all(len(parts) == 1 for parts in sides(wide, split, wide.column("family")).values())
        assert all(len(parts) == 1 for parts in sides(wide, split, kin_of(wide)).values())


def test_cores_are_alike_whatever_their_metals(wide):
    kin = dict(zip(wide.column("family"), kin_of(wide), strict=True))
    assert (kin["core-00000"], kin["core-00001"], kin["core-00002"], kin["core-00003"]) == (
        "core-00000", "core-00000", "ag3", "core-00003",
    )  # fmt: skip


def test_an_unseen_core_is_hypothetical_and_of_no_known_cluster(wide):
    split = make_split(wide, "core", seed=1, fractions=(0.1, 0.3))
    families = dict(zip(wide.ids, wide.column("family"), strict=True))
    tested = {families[name] for name in split.test}
    assert tested
    assert not tested & {"ag3", "core-00002"}
    assert "core-00002" in {families[name] for name in split.train}
    assert set(split.unseen) <= tested


def test_a_foreign_geometry_is_of_a_known_cluster_and_an_unseen_origin(wide):
    known = {"as given", "gfn1, methanol"}
    known |= {f"{origin}, other conformers" for origin in known}
    assert set(origins_of(wide)) == {f"ag3/{origin}" for origin in known} | {f"{family}/gfn1" for family in CORES}
    for seed in range(4):
        split = make_split(wide, "foreign", seed=seed, fractions=(0.1, 0.2))
        origins = sides(wide, split, origins_of(wide))
        assert all(origins[name] == {"test"} for name in split.unseen)
        assert "train" in origins["ag3/as given"]  # the largest: the cluster stays known


def test_the_questions_are_those_that_a_dataset_has(wide, dataset):
    assert questions_of(dataset) == ("random", "shell", "parent")
    assert questions_of(wide) == ("random", "shell", "parent", "foreign", "core")


def test_a_leak_of_a_core_or_of_an_origin_is_seen(wide):
    rest = [name for name in wide.ids if not name.startswith(("core-00000", "core-00001"))]
    split = Split("core", 0, (*rest, "core-00001-mode-00000", "core-00001-reference-00000"), (),
                  ("core-00000-mode-00000", "core-00000-reference-00000"))  # fmt: skip
    assert leaks(wide, split) == ["family core-00000 is in test and in train"]
    given = "ag3-mode-00000"
    split = Split("foreign", 0, tuple(name for name in wide.ids if name != given), (), (given,))
    assert leaks(wide, split) == ["origin ag3/as given is in test and in train"]

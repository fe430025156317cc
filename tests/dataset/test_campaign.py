from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from clusterml.dataset.campaign import Job, Parent, load_campaign, plan, source_of
from clusterml.dataset.exchange import to_atoms
from clusterml.dataset.fingerprint import fingerprint
from clusterml.dataset.geometry import geometries
from clusterml.dataset.labelling import Identity, RejectedError, chirality_measures, record_of
from clusterml.dataset.parents import ParentSource, parent_atoms
from clusterml.dataset.record import FWHM_EV
from clusterml.dataset.runner import Event, Ledger, generate
from clusterml.dataset.store import Dataset, damaged_shards
from clusterml.dataset.verify import verify
from clusterml.engine.protocol import Compute, Protocol
from clusterml.errors import (
    DatasetError,
    ElectronicStructureError,
    FolderInUseError,
    InputFileError,
    OptionError,
    OutputError,
    StructureError,
)
from clusterml.io.files import exclusive
from clusterml.io.shipped import shipped
from clusterml.run.launcher import Here, Processes, launcher
from clusterml.run.resources import Cache

TEXT = """
name: tiny
title: small test
seed: 1
protocol: {orbitals: stda-xtb}
amounts: {snapshots: 2}
parents:
  ag3:
    build: {name: ag3, thiolate: SH}
    family: ag3
    hand: P
    counts: {reference: 1, mode: 3, thermal: 2, ensemble: 1}
    mirrors: 0.5
"""

OWN_PROTOCOL = """
parents:
  ag3: {build: {name: ag3}, family: ag3, counts: {reference: 1}, protocol: {orbitals: gfn2}}
"""


@pytest.fixture
def campaign(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(TEXT)
    return path


def test_a_parent_whose_file_has_changed_is_read_anew(tmp_path):
    file = tmp_path / "ag2.xyz"
    parent = Parent(file=str(file), family="ag2", counts={})
    for length in (2.5, 2.9):
        file.write_text(f"2\n\nAg 0 0 0\nAg 0 0 {length}\n")
        assert parent_atoms(parent, file).get_distance(0, 1) == pytest.approx(length)
    file.unlink()
    with pytest.raises(InputFileError, match=r"ag2\.xyz"):
        parent_atoms(parent, file)


def contents(folder) -> dict[str, bytes]:
    """What the records hold, without the timings."""
    return {
        r.id: b"".join(np.asarray(x).tobytes() for x in (r.numbers, r.positions, r.epsilon, r.delta_epsilon))
        for r in Dataset(folder)
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "campaign.yaml").write_text(TEXT)
    final = generate(folder / "campaign.yaml", folder / "d", Here())
    assert final.counts == {"done": 7}
    return folder / "d"


def test_a_campaign_gives_a_sound_dataset(made):
    dataset = Dataset(made)
    assert {"ag3-reference-00000", "ag3-mode-00002", "ag3-ensemble-00000"} <= set(dataset.ids)
    kinds = dict(zip(dataset.ids, dataset.column("kind"), strict=True))
    assert kinds["ag3-thermal-00001"] == "thermal"
    for record in dataset:
        trace = np.trace(record.rotatory_tensor, axis1=1, axis2=2)
        assert np.abs(trace - record.delta_epsilon).max() <= 2e-3 * np.abs(record.rotatory_tensor).max()
        assert record.epsilon.max() > 100.0
        assert (record.n_snapshots == 2) == (record.kind == "ensemble")
        assert (record.epsilon_std.max() > 0.0) == (record.kind == "ensemble")
        assert record.details["ligands"] == {"SH": 3}
    geometries_of = {r.id: r.positions for r in dataset}
    assert np.abs(geometries_of["ag3-mode-00000"] - geometries_of["ag3-mode-00001"]).max() > 0.01


def test_mirror_images_are_exact_and_share_their_pair(made):
    dataset = Dataset(made)
    images = [name for name in dataset.ids if name.endswith("-mirror")]
    assert images
    for name in images:
        image, record = dataset.find(name), dataset.find(name.removesuffix("-mirror"))
        assert (image.pair, image.hand, record.hand) == (record.pair, "M", "P")
        np.testing.assert_array_equal(image.delta_epsilon, -record.delta_epsilon)
        np.testing.assert_array_equal(image.positions, record.positions * [-1, 1, 1])
        again = chirality_measures(to_atoms(image))
        assert again == pytest.approx(image.details["chirality"], rel=2e-5, abs=1e-8)
        assert again["opd"] == pytest.approx(-record.details["chirality"]["opd"], rel=2e-5)


def test_a_label_can_be_made_again_and_the_image_of_it_too(made):
    damaged, checks = verify(made, share=0.3, seed=2)
    assert not damaged
    assert len(checks) >= 2
    assert all(check.good for check in checks)


def test_a_label_is_made_again_as_its_record_says(made, monkeypatch):
    seen = []

    def spy(atoms, charge, protocol, groups):
        seen.append(protocol)
        raise ElectronicStructureError("enough")

    monkeypatch.setattr("clusterml.engine.label.label", spy)
    (check,) = verify(made, share=0.01)[1]
    assert "enough" in check.problem
    kept = {"orbitals": "stda-xtb", "solver": "krylov", "fwhm_ev": FWHM_EV, "smallest_gap_ev": 0.05}
    assert seen == [Protocol(**kept, tolerance=seen[0].tolerance)]
    assert seen[0].tolerance <= 1e-3


def test_the_whole_protocol_of_a_label_is_kept(campaign, tmp_path, monkeypatch):
    protocol = "{orbitals: gfn1, solvent: methanol, solvation: gbsa, electronic_temperature_k: 500}"
    campaign.write_text(
        TEXT.replace("{orbitals: stda-xtb}", protocol).replace(", mode: 3, thermal: 2, ensemble: 1", "")
    )
    generate(campaign, tmp_path / "d", Here())
    seen = []

    def spy(atoms, charge, protocol, groups):
        seen.append(protocol)
        raise ElectronicStructureError("enough")

    monkeypatch.setattr("clusterml.engine.label.label", spy)
    verify(tmp_path / "d", share=0.01)
    chosen = (seen[0].orbitals, seen[0].solvent, seen[0].solvation, seen[0].electronic_temperature_k)
    assert chosen == ("gfn1", "methanol", "gbsa", 500.0)


@pytest.mark.parametrize("spectrum", ["epsilon", "delta_epsilon"])
def test_a_wrong_label_is_found(tmp_path, made, write_dataset, spectrum):
    wrong = "ag3-mode-00001"
    records = [record for record in Dataset(made) if record.kind == "mode"]
    records = [replace(r, **{spectrum: 1.02 * getattr(r, spectrum)}) if r.id == wrong else r for r in records]
    write_dataset(tmp_path / "d", records)
    damaged, checks = verify(tmp_path / "d", share=1.0)
    assert not damaged
    assert len(checks) == 3
    assert [check.record for check in checks if not check.good] == [wrong]


@pytest.mark.slow
def test_the_number_of_workers_does_not_change_the_records(campaign, tmp_path, made):
    generate(campaign, tmp_path / "two", Processes(2))
    assert contents(tmp_path / "two") == contents(made)


def test_geometries_depend_on_nothing_but_the_job(campaign):
    loaded = load_campaign(campaign)
    jobs = list(plan(loaded))
    assert len({job.name for job in jobs}) == len(jobs) == 7
    parent = loaded.parents["ag3"]
    for job in (jobs[3], jobs[5]):
        first, _ = geometries(loaded, job, ParentSource(parent, None))
        for other in jobs[:3]:
            geometries(loaded, other, ParentSource(parent, None))
        again, _ = geometries(loaded, job, ParentSource(parent, None))
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a.positions, b.positions)


def test_a_full_disk_ends_a_campaign_and_loses_nothing(campaign, tmp_path, made, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    generate(campaign, tmp_path / "d", Here(), limit=3)
    with monkeypatch.context() as now:
        now.setattr("clusterml.io.files.os.fsync", full)
        with pytest.raises(OutputError, match=r"\.h5 cannot be written: No space left on device"):
            generate(campaign, tmp_path / "d", Here(), resume=True)
    assert generate(campaign, tmp_path / "d", Here(), resume=True).done_now == 4
    assert contents(tmp_path / "d") == contents(made)


def test_a_stopped_campaign_goes_on_where_it_was(campaign, tmp_path, made):
    generate(campaign, tmp_path / "d", Here(), limit=3)
    assert len({r.pair for r in Dataset(tmp_path / "d")}) == 3
    with pytest.raises(DatasetError, match="--resume"):
        generate(campaign, tmp_path / "d", Here())
    final = generate(campaign, tmp_path / "d", Here(), resume=True)
    assert final.done_now == 4
    assert contents(tmp_path / "d") == contents(made)


def test_two_processes_do_not_label_into_one_folder(campaign, tmp_path):
    generate(campaign, tmp_path / "d", Here(), limit=0)
    with exclusive(tmp_path / "d"), pytest.raises(FolderInUseError, match="another process"):
        generate(campaign, tmp_path / "d", Here(), resume=True)
    assert generate(campaign, tmp_path / "d", Here(), resume=True, limit=0).done_now == 0


def test_a_campaign_may_grow_but_not_change(campaign, tmp_path):
    generate(campaign, tmp_path / "d", Here(), limit=1)
    campaign.write_text(TEXT.replace("mode: 3", "mode: 4"))
    assert generate(campaign, tmp_path / "d", Here(), resume=True, limit=0).total == 8
    grown = TEXT + "  ag2: {build: {name: ag2}, family: ag2, counts: {reference: 1}}\n"
    campaign.write_text(grown)
    assert generate(campaign, tmp_path / "d", Here(), resume=True, limit=0).total == 8
    for text, what in (
        (grown.replace("seed: 1", "seed: 2"), "what all parents share"),
        (grown.replace("name: ag2}", "name: ag2, carboxylate: CF3COO}"), "parent ag2"),
        (TEXT, "parent ag2"),
    ):
        campaign.write_text(text)
        with pytest.raises(DatasetError, match=rf"another campaign.*\({what}\)"):
            generate(campaign, tmp_path / "d", Here(), resume=True)


def test_records_of_two_kinds_of_spectra_do_not_mix(campaign, tmp_path, monkeypatch):
    generate(campaign, tmp_path / "d", Here(), limit=0)
    monkeypatch.setattr("clusterml.dataset.fingerprint.RESULTS", 99)
    with pytest.raises(DatasetError, match=r"another campaign.*\(this version computes other spectra\)"):
        generate(campaign, tmp_path / "d", Here(), resume=True, limit=0)
    generate(campaign, tmp_path / "e", Here(), limit=0)
    generate(campaign, tmp_path / "e", Here(), resume=True, limit=0)
    monkeypatch.setattr("clusterml.dataset.fingerprint.RESULTS", 100)
    with pytest.raises(DatasetError, match="computes other spectra"):
        generate(campaign, tmp_path / "e", Here(), resume=True, limit=0)


def test_a_shipped_dataset_goes_on():
    """What its campaign follows from is what its folder says."""
    for name in ("ag-sr-v2", "dft-v1"):
        file = shipped("configs") / "campaigns" / f"{name}.yaml"
        kept = json.loads((shipped("datasets") / name / "campaign.json").read_text())["fingerprint"]
        assert {part: of_now for part, of_now in fingerprint(load_campaign(file), file).items() if part in kept} == kept


def test_a_folder_of_an_earlier_version_is_refused_as_such(campaign, tmp_path):
    generate(campaign, tmp_path / "d", Here(), limit=0)
    (tmp_path / "d" / "campaign.json").write_text('{"name": "tiny", "fingerprint": "abc"}')
    with pytest.raises(DatasetError, match="earlier version"):
        generate(campaign, tmp_path / "d", Here(), resume=True)


def test_a_parent_may_have_a_protocol_of_its_own(campaign, tmp_path):
    campaign.write_text(
        TEXT + "    protocol: {orbitals: gfn1}\n"
        "  ag2: {build: {name: ag2}, family: ag2, counts: {reference: 1}}\n"
        "second: {orbitals: gfn1, share: 1.0}\n"
    )
    jobs = {job.name: job for job in plan(load_campaign(campaign))}
    assert [each.name for each in jobs["ag3-reference-00000"].protocols] == ["gfn1"]
    assert [each.name for each in jobs["ag2-reference-00000"].protocols] == ["stda-xtb", "gfn1"]
    generate(campaign, tmp_path / "d", Here(), limit=2)
    methods = {record.id: record.method for record in Dataset(tmp_path / "d") if not record.id.endswith("mirror")}
    wanted = {"ag3-reference-00000": "gfn1", "ag2-reference-00000": "stda-xtb", "ag2-reference-00000-gfn1": "gfn1"}
    assert methods == wanted


def test_references_come_first(campaign):
    campaign.write_text(TEXT + "  ag2: {build: {name: ag2}, family: ag2, counts: {mode: 40, reference: 1}}\n")
    assert [job.kind for job in plan(load_campaign(campaign))][:3] == ["reference", "reference", "mode"]


def test_ensembles_are_about_a_distorted_geometry_where_that_is_asked_for(campaign):
    plain = load_campaign(campaign)
    campaign.write_text(TEXT + "    distorted_ensembles: true\n")
    asked = load_campaign(campaign)
    job = next(job for job in plan(plain) if job.kind == "ensemble")
    parent = parent_atoms(plain.parents["ag3"], None)
    (mean, *_), details = geometries(plain, job, ParentSource(plain.parents["ag3"], None))
    np.testing.assert_array_equal(mean.positions, parent.positions)
    assert not details["distortions"]
    (mean, *members), details = geometries(asked, job, ParentSource(asked.parents["ag3"], None))
    assert details["distortions"]
    assert len(members) == 2
    away = np.linalg.norm(mean.positions - parent.positions, axis=1)
    spread = [np.linalg.norm(member.positions - mean.positions, axis=1).mean() for member in members]
    assert away.max() > 0.02
    assert all(0.01 < each < 0.5 for each in spread)


def test_undistorted_geometries_differ_from_their_parent_by_their_ligands_only(campaign):
    exchange = "    exchanges: [{old: SH, new: SCH3, share: 0.7}]\n"
    campaign.write_text(TEXT.replace("mode: 3", "mode: 12") + exchange + "    undistorted: 0.5\n")
    asked = load_campaign(campaign)
    parent = asked.parents["ag3"]
    silver = parent_atoms(parent, None).get_all_distances()[:3, :3]
    kinds = set()
    for job in plan(asked):
        if job.kind == "mode":
            (atoms,), details = geometries(asked, job, ParentSource(parent, None))
            kinds.add((bool(details["exchanges"]), bool(details["distortions"])))
            same = np.allclose(atoms[atoms.symbols == "Ag"].get_all_distances(), silver, atol=1e-5)
            assert same == (not details["distortions"])
    assert kinds == {(True, True), (True, False), (False, True)}


def test_failed_jobs_that_a_campaign_no_longer_asks_for_are_withdrawn_until_it_does(campaign, tmp_path):
    def states():
        return {event.job: event.state for event in Ledger(tmp_path / "d" / "ledger.jsonl").states().values()}

    generate(campaign, tmp_path / "d", Here(), limit=1)
    Ledger(tmp_path / "d" / "ledger.jsonl").add(Event("ag3-mode-00002", "failed", "no memory"))
    campaign.write_text(TEXT.replace("mode: 3", "mode: 2"))
    generate(campaign, tmp_path / "d", Here(), resume=True, limit=0)
    assert {job for job, state in states().items() if state == "withdrawn"} == {"ag3-mode-00002"}
    campaign.write_text(TEXT)
    assert generate(campaign, tmp_path / "d", Here(), resume=True).counts == {"done": 7}


def test_geometries_without_a_gap_are_rejected_with_the_reason(campaign, tmp_path):
    campaign.write_text(TEXT + "smallest_gap_ev: 5.0\n")
    final = generate(campaign, tmp_path / "d", Here(), limit=2)
    assert final.counts["rejected"] == 2
    states = Ledger(tmp_path / "d" / "ledger.jsonl").states()
    assert {e.reason for e in states.values() if e.state == "rejected"} == {
        e.reason for e in states.values() if "HOMO-LUMO gap of" in e.reason
    }
    assert generate(campaign, tmp_path / "d", Here(), resume=True, limit=0).counts["rejected"] == 2


@pytest.mark.slow
def test_a_campaign_killed_at_any_moment_loses_no_finished_record(campaign, tmp_path, made):
    command = [
        sys.executable, "-m", "clusterml.cli.main", "dataset", "generate", str(campaign), "-o", str(tmp_path / "d"),
        "--workers", "2", "--resume",
    ]  # fmt: skip
    command[1:3] = ["-c", "from clusterml.cli.main import main; main()"]
    ledger = tmp_path / "d" / "ledger.jsonl"

    def done() -> list[str]:
        """Jobs in the order in which they were finished, as often as they were."""
        lines = ledger.read_text().splitlines(keepends=True) if ledger.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event["job"] for event in events if event["state"] == "done"]

    for _ in range(2):
        before, end = len(done()), time.monotonic() + 240.0
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        while len(done()) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert len(done()) > before
    assert len(done()) < 7, "nothing was left to be resumed"
    subprocess.run(command, check=True)
    assert len(done()) == len(set(done())) == 7
    assert list(damaged_shards(tmp_path / "d")) == []
    dataset = Dataset(tmp_path / "d")
    assert len(set(dataset.ids)) == len(dataset)
    assert contents(tmp_path / "d") == contents(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("mode: 3", "moed: 3"), "moed"),
        (("seed: 1", "seed: -1"), "seed is -1"),
        (("snapshots: 2", "snapshot: 2"), "did you mean 'snapshots'"),
        (("orbitals: stda-xtb", "orbitals: b3lyp"), "orbitals is 'b3lyp', not "),
        (("build: {name: ag3, thiolate: SH}", "family2: x"), "family2"),
        (("mirrors: 0.5", "mirrors: 2"), "mirrors is 2"),
        (("seed: 1", "seed: 1\nseed: 2"), "'seed' is given twice"),
        (("  ag3:", "  ag3-\u00e4:"), "parent 'ag3-\u00e4' is no name"),
        (("  ag3:", "  -a:"), "parent '-a' is no name"),
        (("  ag3:", f"  {'a' * 101}:"), "is no name"),
        (("stda-xtb}", "stda-xtb}\nspectra: {n_points: 290}"), "6.28 eV: give protocol.emax_ev 6.28 or more"),
        (
            (
                "stda-xtb}",
                "stda-xtb, emax_ev: 7}\nspectra: {n_points: 290}\nhypothetical: {h: {cores: 1, protocol: {}}}",
            ),
            "give hypothetical.h.protocol.emax_ev 6.28 or more",
        ),
        (
            (TEXT[TEXT.index("protocol") :], "protocol: {emax_ev: 7}\nspectra: {n_points: 290}\n" + OWN_PROTOCOL),
            "give parents.ag3.protocol.emax_ev 6.28 or more",
        ),
    ],
)
def test_a_wrong_campaign_is_explained(campaign, change, message):
    campaign.write_text(TEXT.replace(*change))
    with pytest.raises(InputFileError, match=message):
        load_campaign(campaign)


def test_a_missing_parent_file_and_a_wrong_hand_end_before_anything_is_done(campaign, tmp_path):
    campaign.write_text(TEXT.replace("build: {name: ag3, thiolate: SH}", "file: not_there.xyz"))
    with pytest.raises(InputFileError, match=r"not_there\.xyz"):
        generate(campaign, tmp_path / "d", Here())
    campaign.write_text(TEXT.replace("hand: P", "hand: left"))
    with pytest.raises(OptionError, match="left"):
        generate(campaign, tmp_path / "d", Here())
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("thiolate: SH}", "thiolat: SH}"), "did you mean 'thiolate'"),
        (("thiolate: SH}", 'thiolate: SH, seed: "3"}'), "option of build"),
        (("name: ag3,", "name: ag3x,"), "did you mean 'ag3'"),
        (("thiolate: SH}", "thiolate: SCH33}"), "did you mean 'SCH3'"),
        (("    family: ag3\n", "    family: ag3\n    modes: [sheer]\n"), "did you mean 'shear'"),
        (("    family: ag3\n", "    family: ag3\n    modes: [thermal-noise]\n"), "not drawn in campaigns"),
        (("    family: ag3\n", "    family: ag3\n    exchanges: [{old: any, new: SCH33}]\n"), "did you mean 'SCH3'"),
    ],
)
def test_names_are_checked_before_anything_is_built(campaign, tmp_path, change, message):
    campaign.write_text(TEXT.replace(*change))
    with pytest.raises(OptionError, match=message):
        generate(campaign, tmp_path / "d", Here())
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": -3}, "limit is -3"),
        ({"device": "cdua"}, "device is 'cdua'"),
        ({"device": "cuda:" + "9" * 5000}, "device is 'cuda:9"),
        ({"memory_gb": -1.0}, "memory_gb is -1"),
    ],
)
def test_options_are_checked_before_anything_is_built(campaign, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        generate(campaign, tmp_path / "d", Here(), **options)
    assert not (tmp_path / "d").exists()


def test_a_reader_of_the_ledger_changes_nothing_and_a_writer_cuts_off_half_a_line(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path).add(Event("a-mode-00000", "done"))
    with path.open("a") as handle:
        handle.write('{"job":"a-mode-000')
    before = path.read_bytes()
    reader = Ledger(path)
    assert list(reader.states()) == ["a-mode-00000"]
    assert path.read_bytes() == before
    reader.add(Event("a-mode-00001", "rejected", "no gap"))
    assert list(Ledger(path).states()) == ["a-mode-00000", "a-mode-00001"]


def test_a_launcher_for_each_wish():
    assert isinstance(launcher(1, 2), Here)
    assert launcher(4, 2) == Processes(4, 1)
    with pytest.raises(OptionError, match="workers is 0"):
        launcher(0, 1)


def test_exchanges_of_the_same_ligand_share_what_is_there(tmp_path):
    path = tmp_path / "small.yaml"
    exchanges = "[{old: HCOO, new: CF3COO, share: 1.0}, {old: HCOO, new: R-TFL, share: 1.0}]"
    path.write_text(
        "name: small\ntitle: exchanges\nseed: 1\nparents:\n"
        f"  ag2: {{build: {{name: ag2}}, family: ag2, counts: {{mode: 12}}, exchanges: {exchanges}}}\n"
    )
    campaign = load_campaign(path)
    counts = set()
    for job in plan(campaign):
        done = geometries(campaign, job, ParentSource(campaign.parents["ag2"], None))[1]["exchanges"]
        assert sum(each["count"] for each in done) <= 2
        counts.add(tuple(each["count"] for each in done))
    assert {(2,), (1, 1)} <= counts


def test_a_ligand_that_an_exchange_has_brought_may_be_exchanged_again(campaign):
    first, second = "{old: SH, new: SCH3, share: 0.5}", "{old: SCH3, new: SEt, share: 1.0}"
    campaign.write_text(TEXT.replace("mode: 3", "mode: 12") + f"    exchanges: [{first}, {second}]\n")
    asked = load_campaign(campaign)
    chains = set()
    for job in plan(asked):
        done = geometries(asked, job, ParentSource(asked.parents["ag3"], None))[1]["exchanges"]
        chains.add(tuple(each["new"] for each in done))
    assert chains == {(), ("SCH3", "SEt")}
    campaign.write_text(TEXT + "    exchanges: [{old: SePh, new: SEt, share: 1.0}]\n")
    asked = load_campaign(campaign)
    job = next(job for job in plan(asked) if job.kind == "mode")
    with pytest.raises(OptionError, match="no ligand SePh to exchange"):
        geometries(asked, job, ParentSource(asked.parents["ag3"], None))


def test_a_campaign_with_ligands_of_ones_own(tmp_path):
    ligands = 'ligands:\n  SCH2Cl: {smiles: "[S-]CCl", donors: S, charge: 1}\n'
    (tmp_path / "own.yaml").write_text(ligands)
    text = TEXT.replace("thiolate: SH", "thiolate: SCH2Cl").replace("mode: 3, thermal: 2, ensemble: 1", "mode: 1")
    file = tmp_path / "campaign.yaml"
    file.write_text(f"{text.replace('    mirrors: 0.5', '')}library: own.yaml\n")
    assert generate(file, tmp_path / "d", Processes(1)).counts == {"done": 2}
    assert set(Dataset(tmp_path / "d").column("shell")) == {"3SCH2Cl"}
    assert json.loads((tmp_path / "d" / "campaign.json").read_text())["library"] == ligands
    (tmp_path / "own.yaml").write_text(ligands.replace("SCH2Cl", "SCH2X"))
    with pytest.raises(DatasetError, match="the ligand file 'library'"):
        generate(file, tmp_path / "d", Here(), resume=True)


def test_conformers_are_foreign_and_of_the_same_chemistry(tmp_path):
    """Ligands stand elsewhere, the frame has another size, the composition and charge are the parent's; and old
    campaigns keep the fingerprint that they had before there was the kind."""
    path = tmp_path / "campaign.yaml"
    path.write_text(
        TEXT.replace("snapshots: 2", "snapshots: 2, frame_percent: [2, 4]").replace("mode: 3", "conformer: 3")
    )
    campaign = load_campaign(path)
    jobs = [job for job in plan(campaign) if job.kind == "conformer"]
    assert len(jobs) == 3
    parent = campaign.parents["ag3"]
    home = parent_atoms(parent, None)
    silver = home.numbers == 47
    for job in jobs:
        (atoms,), details = geometries(campaign, job, ParentSource(parent, None))
        assert sorted(atoms.numbers) == sorted(home.numbers)
        assert 2.0 <= details["frame_percent"] <= 4.0
        grown = atoms.get_all_distances()[np.ix_(atoms.numbers == 47, atoms.numbers == 47)].sum()
        grown /= home.get_all_distances()[np.ix_(silver, silver)].sum()
        assert grown == pytest.approx(1.0 + details["frame_percent"] / 100.0, abs=0.02)
    assert any(
        details["redrawn"] for _, details in (geometries(campaign, job, ParentSource(parent, None)) for job in jobs)
    )
    path.write_text(TEXT)
    before = fingerprint(load_campaign(path), path)
    path.write_text(TEXT.replace("snapshots: 2", "snapshots: 2, frame_percent: [-4, 4]"))
    assert fingerprint(load_campaign(path), path) == before
    path.write_text(TEXT.replace("snapshots: 2", "snapshots: 2, frame_percent: [-4, 3]"))
    assert fingerprint(load_campaign(path), path) != before


def test_conformers_leave_ligands_alone_that_the_library_does_not_have(tmp_path):
    """An unsubstituted dithiocarbamate is in no library; the phosphines beside it are, and they move."""
    file = shipped("datasets") / "dft-v1" / "parents" / "ag2_dtc_ph3.xyz"
    path = tmp_path / "campaign.yaml"
    path.write_text(
        TEXT.replace("build: {name: ag3, thiolate: SH}", f"file: {file}").replace("mode: 3", "conformer: 6")
    )
    campaign = load_campaign(path)
    source = ParentSource(campaign.parents["ag3"], file)
    redrawn = [geometries(campaign, job, source)[1]["redrawn"] for job in plan(campaign) if job.kind == "conformer"]
    assert set().union(*redrawn) == {"PH3"}


def test_a_campaign_knows_the_packages_that_its_ligands_are_from(tmp_path, monkeypatch):
    from clusterml.structure.anatomy.library import REGISTRY

    (path := tmp_path / "campaign.yaml").write_text(TEXT)
    campaign = load_campaign(path)
    before = fingerprint(campaign, path)
    items, packages = REGISTRY.all(), REGISTRY.packages
    for name, package, changed in (("SPh", "thiols 1.0", []), ("SH", "thiols 1.0", ["ag3"])):
        monkeypatch.setitem(REGISTRY.__dict__, "_all", (items, {**packages, name: package}))
        now = fingerprint(campaign, path)
        assert [part for part in now if now[part] != before[part]] == changed


HYPOTHETICAL = """
name: drawn
title: hypothetical rings
seed: 1
protocol: {orbitals: stda-xtb}
hypothetical:
  ring:
    cores: CORES
    draw: {kinds: {ring: 1.0}, metals: [3, 4], ligands: [SH], dopants: 0.0}
    forms: [{method: gfn1, steps: 2, smallest_gap_ev: GAP}, {frame_percent: 2.0}]
    counts: {reference: 2}
"""


def drawn(folder, cores: int, gap: float):
    path = folder / "drawn.yaml"
    path.write_text(HYPOTHETICAL.replace("CORES", str(cores)).replace("GAP", str(gap)))
    return path


def test_every_hypothetical_cluster_is_a_family_and_more_may_be_added(tmp_path):
    few, many = (load_campaign(drawn(tmp_path, cores, 0.3)) for cores in (2, 3))
    assert [many.parent(name).family for name in many.names] == ["ring-00000", "ring-00001", "ring-00002"]
    assert many.names == ["ring-00000", "ring-00001", "ring-00002"]
    before, after = fingerprint(few, tmp_path / "drawn.yaml"), fingerprint(many, tmp_path / "drawn.yaml")
    assert before == after


def test_forms_take_turns_and_are_made_once(tmp_path, monkeypatch):
    campaign = load_campaign(drawn(tmp_path, 1, 0.3))
    source = ParentSource(campaign.parent("ring-00000"), None, tmp_path / "parents")
    first, second = plan(campaign)
    relaxed, words = geometries(campaign, first, source)
    scaled, others = geometries(campaign, second, source)
    assert (words["form"], others["form"]) == ("gfn1", "+2 %")
    given = source.atoms()
    metals = given.numbers == 47

    def size(atoms):
        points = atoms.positions[metals] - atoms.positions[metals].mean(axis=0)
        return np.sqrt(np.mean(np.sum(points**2, axis=1)))

    assert size(scaled[0]) / size(given) == pytest.approx(1.02, abs=0.002)
    assert 0.01 < np.abs(relaxed[0].positions - given.positions).max() < 1.0
    monkeypatch.setattr("clusterml.dataset.parents._PARENTS", Cache(4))
    monkeypatch.setattr("clusterml.dataset.parents._in_form", None)  # a worker that finds what another has kept
    kept = ParentSource(source.parent, None, tmp_path / "parents")
    np.testing.assert_allclose(geometries(campaign, first, kept)[0][0].positions, relaxed[0].positions, atol=1e-6)


def test_a_parent_without_a_clear_gap_is_rejected_with_the_reason(tmp_path):
    tally = generate(drawn(tmp_path, 1, 4.9), tmp_path / "d", Here(), limit=1)
    assert tally.counts == {"rejected": 1}
    (event,) = [
        event for event in Ledger(tmp_path / "d" / "ledger.jsonl").states().values() if event.state == "rejected"
    ]
    assert "less than 4.9" in event.reason
    assert len(list((tmp_path / "d" / "parents").glob("*.txt"))) == 1


def test_any_ligand_is_drawn_among_those_that_bind_alike(tmp_path, campaign):
    campaign.write_text(TEXT + "    exchanges: [{old: any, new: any, share: 1.0, most: 1}]\n    dopants: 1.0\n")
    loaded = load_campaign(campaign)
    source = ParentSource(loaded.parents["ag3"], None)
    seen = set()
    for job in [job for job in plan(loaded) if job.kind in ("thermal", "mode")]:
        (atoms,), details = geometries(loaded, job, source)
        (exchange,) = details["exchanges"]
        assert exchange["old"] == "SH"
        seen.add(exchange["new"])
        assert details["dopant"] in ("Au", "Cu")
        assert (atoms.symbols == details["dopant"]).sum() == 1
    assert len(seen) > 1


def test_a_distortion_that_the_one_before_has_made_impossible_is_drawn_again():
    """Ag12, 3 % smaller, loses its motifs by more breathing, and with them the twist that was drawn next."""
    path = shipped("configs") / "campaigns" / "ag-sr-v2.yaml"
    asked, job = load_campaign(path), Job("ag12-sch3-hcoo-near", "mode", 1, ())
    parent = asked.parent(job.parent)
    source = ParentSource(parent, source_of(path, parent))
    (atoms,), details = geometries(asked, job, source)
    assert [done["mode"] for done in details["distortions"]][-1] == "thermal-noise"
    assert details["ligands"] == {"SCH3": 6, "HCOO": 6}
    assert np.abs(atoms.positions - source.atoms(source.form_of(job)).positions).max() > 0.01


def test_a_mode_that_the_parent_never_has_is_named_and_tried_again(tmp_path):
    text = MEANS.replace("counts: {ensemble: 1, mode: 6}", "modes: [trigon-rotation], counts: {mode: 1}")
    (path := tmp_path / "means.yaml").write_text(text)
    for resume in (False, True):
        assert generate(path, tmp_path / "d", Here(), resume=resume).counts == {"failed": 1}
    (event,) = Ledger(tmp_path / "d" / "ledger.jsonl").states().values()
    assert event.reason.startswith("OptionError: mode trigon-rotation needs trigons, and ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("forms: [{solvent: water}]", "without method"),
        ("forms: [{method: gfn1, solvent: watr}]", "watr"),
        ("hypothetical: {number: 2}", "one of file, build and hypothetical"),
    ],
)
def test_forms_and_sources_that_cannot_be_are_refused(campaign, text, words):
    campaign.write_text(TEXT + f"    {text}\n")
    with pytest.raises(InputFileError, match=words):
        load_campaign(campaign)


def test_a_campaign_needs_clusters(campaign):
    campaign.write_text(TEXT[: TEXT.index("parents:")])
    with pytest.raises(InputFileError, match="no clusters"):
        load_campaign(campaign)


MEANS = """
name: means
title: thermal means
seed: 3
protocol: {orbitals: gfn1}
second: {orbitals: gfn1-pbe, share: 0.5}
spectra: {low_ev: 0.44, step_ev: 0.06, n_points: 88, fwhm_ev: 0.2, levels: 4095, lowest: false}
amounts: {snapshots: 4, snapshots_kept: 2, temperatures_k: [300.0]}
parents:
  ag2: {build: {name: ag2}, family: ag2, counts: {ensemble: 1, mode: 6}}
"""


def test_a_mean_goes_on_where_it_was_and_says_what_it_is_made_of(tmp_path, monkeypatch):
    """Stopped at its third snapshot; one of the four has no ground state."""
    from clusterml.dataset import runner

    (path := tmp_path / "means.yaml").write_text(MEANS.replace(", mode: 6", ""))
    labelled, label = [], runner.record_of

    def spy(identity, *arguments):
        labelled.append(identity.id)
        if len(labelled) == 4:
            raise KeyboardInterrupt
        if identity.id.endswith("-003"):
            raise RejectedError("no ground state")
        return label(identity, *arguments)

    monkeypatch.setattr(runner, "record_of", spy)
    with pytest.raises(KeyboardInterrupt):
        generate(path, tmp_path / "d", Here())
    name = "ag2-ensemble-00000"
    assert labelled == [name, *(f"{name}-{k:03d}" for k in range(3))]
    assert generate(path, tmp_path / "d", Here(), resume=True).counts == {"done": 1}
    assert labelled[4:] == [name, f"{name}-002", f"{name}-003"]
    assert not list((tmp_path / "d" / "snapshots").iterdir())
    dataset = Dataset(tmp_path / "d")
    assert dataset.ids == (name, f"{name}-000", f"{name}-001")
    mean, first, _ = dataset
    assert mean.details["ensemble"] == {"temperature_k": 300.0, "snapshots": 4, "lost": 1}
    assert (mean.kind, mean.n_snapshots, first.kind, first.pair) == ("ensemble", 3, "thermal", mean.pair)
    assert first.details["snapshot_of"] == name
    np.testing.assert_allclose(mean.standard_error("epsilon"), mean.epsilon_std / np.sqrt(3.0))
    assert mean.epsilon_std.max() > 0.0 == first.epsilon_std.max()
    assert (len(first.shell_charges), first.levels_ev[7] + first.levels_ev[8]) == (22, pytest.approx(0.0, abs=2e-3))
    assert first.shell_charges.sum() == pytest.approx(0.0, abs=0.02)
    assert first.levels_ev[8] - first.levels_ev[7] == pytest.approx(first.gap_ev, abs=2e-3)


def test_more_snapshots_may_be_kept_of_ensembles_to_come(tmp_path):
    (path := tmp_path / "means.yaml").write_text(MEANS.replace(", mode: 6", ""))
    generate(path, tmp_path / "d", Here())
    path.write_text(
        MEANS.replace("ensemble: 1, mode: 6", "ensemble: 2").replace("snapshots_kept: 2", "snapshots_kept: 4")
    )
    assert generate(path, tmp_path / "d", Here(), resume=True).counts == {"done": 2}
    ids = Dataset(tmp_path / "d").ids
    assert [len([name for name in ids if name.startswith(f"ag2-ensemble-0000{k}-")]) for k in (0, 1)] == [2, 4]


def test_a_mean_of_which_half_is_lost_is_rejected(tmp_path, monkeypatch):
    from clusterml.dataset import runner

    label = runner.record_of

    def few(identity, *arguments):
        if identity.id.endswith(("-002", "-003")):
            raise RejectedError("no ground state")
        return label(identity, *arguments)

    monkeypatch.setattr(runner, "record_of", few)
    (path := tmp_path / "means.yaml").write_text(MEANS.replace(", mode: 6", ""))
    assert generate(path, tmp_path / "d", Here()).counts == {"rejected": 1}
    (event,) = Ledger(tmp_path / "d" / "ledger.jsonl").states().values()
    assert event.reason == "2 of 4 snapshots have no label, the last: no ground state"
    assert not any((tmp_path / "d" / "snapshots").iterdir())


def test_labels_on_a_coarse_grid_are_made_again_and_taught(tmp_path):
    """What was stored in 88 numbers is what the engine gives at every 0.01 eV."""
    import clusterml as cm
    from clusterml.training.targets import broadening_matrix

    (path := tmp_path / "means.yaml").write_text(MEANS.replace("ensemble: 1, mode: 6", "mode: 2"))
    generate(path, tmp_path / "d", Here())
    damaged, checks = verify(tmp_path / "d", share=1.0)
    assert not damaged
    assert len(checks) >= 2
    assert all(check.good for check in checks)
    record = Dataset(tmp_path / "d")[0]
    between = np.arange(50, 551) / 100.0
    label = cm.label(to_atoms(record), grid=between, orbitals=record.method, emax_ev=6.0)
    matrix = broadening_matrix(between, 0.2, grid=record.grid)
    for name in ("epsilon", "delta_epsilon"):
        exact = getattr(label.spectrum, name)
        assert np.abs(matrix @ getattr(record, name) - exact).max() < 1e-3 * np.abs(exact).max()


def test_no_record_goes_above_the_computed_excitations():
    """Its spectrum would end in nothing, where the cluster absorbs."""
    import clusterml as cm

    atoms = cm.build("ag3", thiolate="SH")
    identity = Identity("a", "reference", "ag3", "ag3", "0", "a", {}, {"ligands": {"SH": 3}})
    with pytest.raises(OptionError, match=r"ends at 5.5 eV, and excitations are computed to emax_ev, 5 eV"):
        record_of(identity, atoms, Protocol(emax_ev=5.0), Compute())


def test_a_cluster_too_soft_for_a_temperature_is_shaken_at_another_or_rejected(tmp_path, monkeypatch):
    """A motion beyond what snapshots may have is a matter of the geometry, not of the campaign's options."""
    from clusterml.dataset import geometry

    draw, asked = geometry.snapshots, []

    def soft(subject, kelvin, count, *, rng):
        asked.append(kelvin)
        if kelvin > 300.0:
            raise OptionError("amount of thermal-noise is 0.57 A", "give less")
        return draw(subject, kelvin, count, rng=rng)

    monkeypatch.setattr(geometry, "snapshots", soft)
    (path := tmp_path / "means.yaml").write_text(
        MEANS.replace("ensemble: 1, mode: 6", "thermal: 6").replace("[300.0]", "[100.0, 200.0, 300.0, 600.0]")
    )
    campaign = load_campaign(path)
    source = ParentSource(campaign.parent("ag2"), None)
    made = [geometries(campaign, job, source) for job in plan(campaign)]
    assert len(made) == 6
    assert 600.0 in asked
    path.write_text(MEANS.replace("[300.0]", "[600.0]"))
    for job in (job for job in plan(load_campaign(path)) if job.kind == "ensemble"):
        with pytest.raises(StructureError, match=r"thermal motion at 600 K: amount of thermal-noise is 0\.57 A"):
            geometries(load_campaign(path), job, source)


def test_a_share_of_the_jobs_has_a_second_label(tmp_path):
    (path := tmp_path / "means.yaml").write_text(MEANS)
    jobs = list(plan(load_campaign(path)))
    names = {job.name: [protocol.name for protocol in job.protocols] for job in jobs}
    assert names.pop("ag2-ensemble-00000") == ["gfn1"]
    assert {tuple(protocols) for protocols in names.values()} == {("gfn1",), ("gfn1", "gfn1-pbe")}
    assert [job.protocols for job in plan(load_campaign(path))] == [job.protocols for job in jobs]
    path.write_text(MEANS.replace("mode: 6", "mode: 9"))
    assert names.items() <= {job.name: [p.name for p in job.protocols] for job in plan(load_campaign(path))}.items()


def test_any_beginning_of_a_campaign_holds_some_of_everything(tmp_path):
    path = drawn(tmp_path, 10, 0.3)
    forms = "forms: [{}, {frame_percent: 2}], turns: 3"
    ag2 = f"  ag2: {{build: {{name: ag2}}, family: ag2, {forms}, counts: {{reference: 2, mode: 8}}}}\n"
    path.write_text(f"{path.read_text()}parents:\n{ag2}")
    campaign = load_campaign(path)
    jobs = list(plan(campaign))
    assert jobs[0].name == "ag2-reference-00000"
    for share in (3, 2):
        beginning = jobs[: len(jobs) // share]
        of_parent = sum(job.parent == "ag2" for job in beginning)
        assert abs(of_parent - 10 / share) <= 1
        assert abs(len({job.parent for job in beginning}) - 1 - 10 / share) <= 1
    source = ParentSource(campaign.parent("ag2"), None)
    scaled = {job.name[4:]: source.form_of(job).frame_percent > 0.0 for job in jobs if job.parent == "ag2"}
    assert [scaled[f"reference-{k:05d}"] for k in range(2)] == [False, True]
    assert [scaled[f"mode-{k:05d}"] for k in range(8)] == [False] * 3 + [True] * 3 + [False] * 2

"""The card says what is there: numbers by kind, family, size and ligand, and every refusal by its reason."""

from __future__ import annotations

import numpy as np
import pytest

from clusterml.dataset.card import write_card
from clusterml.dataset.runner import Event, Ledger
from clusterml.dataset.split import Split, save_split


def rows_of(card: str, heading: str) -> dict[str, list[str]]:
    """First cell -> the others, of the table under a heading (or of the first one)."""
    text = card.partition(f"## {heading}\n")[2].partition("\n## ")[0] if heading else card
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in lines[2:]}


@pytest.fixture
def folder(tmp_path, make_record, write_dataset):
    metals = np.array([[0, 0, 0], [2.9, 0, 0], [0, 2.9, 0]])
    shared = {"numbers": np.array([47, 47, 16]), "positions": metals, "shell_charges": np.zeros(8)}
    records = [
        make_record(f"ag2-mode-{k:05d}", k, family="ag2", parent="ag2", shell="1SH", details={"seconds": 2.0}, **shared)
        for k in range(3)
    ]
    drawn = {"hypothetical": 0, "form": "gfn1", "exchanges": [{"old": "SH", "new": "SPh"}], "seconds": 1.0}
    names = {"family": "core-00000", "parent": "core-00000", "shell": "2SPh+1PH3", "kind": "ensemble"}
    records.append(make_record("core-00000-ensemble-00000", 9, **names, details=drawn, **shared))
    write_dataset(tmp_path / "d", records)
    ledger = Ledger(tmp_path / "d" / "ledger.jsonl")
    ledger.add(*(Event(record.id, "done") for record in records))
    ledger.add(Event("a", "rejected", "HOMO-LUMO gap of 0.021 eV"), Event("b", "rejected", "HOMO-LUMO gap of 0.14 eV"))
    ledger.add(
        Event("c", "failed", "MemoryError: none"), Event("d", "done", "no gfn1-pbe label: HOMO-LUMO gap of 0 eV")
    )
    (tmp_path / "d" / "splits").mkdir()
    ids = [record.id for record in records]
    save_split(Split("random", 0, tuple(ids[:2]), (ids[2],), (ids[3],)), tmp_path / "d" / "splits" / "random.json")
    return tmp_path / "d"


def test_the_card_counts_what_is_there(folder):
    card = write_card(folder).read_text()
    overview = rows_of(card, "")
    assert (overview["labels of one geometry"], overview["thermal means"]) == (["3"], ["1"])
    assert overview["ligands"] == ["3"]
    assert overview["of these hypothetical"] == ["1"]
    assert rows_of(card, "By family") == {
        "ag2": ["1", "3", "0", "3", "3 to 3", "2.00"],
        "core (hypothetical)": ["1", "0", "1", "1", "3 to 3", "1.00"],
    }
    assert rows_of(card, "By size")["1 to 20"] == ["4", "100%", "2057"]
    assert "SH 3, " in card
    assert "Records that hold each: S 4, Ag 4." in card
    assert rows_of(card, "Geometries")["ligands exchanged"] == ["1"]
    assert rows_of(card, "Splits")["`splits/random.json`"] == ["2", "1", "1", "distortions"]


def test_the_card_counts_every_refusal_by_its_reason(folder):
    card = write_card(folder).read_text()
    assert "Jobs: 5 done, 2 rejected, 1 failed." in card
    assert rows_of(card, "What was refused") == {
        "rejected": ["HOMO-LUMO gap of N eV", "2"],
        "failed": ["MemoryError: none", "1"],
        "one label of two": ["no gfnN-pbe label: HOMO-LUMO gap of N eV", "1"],
    }

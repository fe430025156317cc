"""The script that makes the table of protocols, on a made-up reference set."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import clusterml as cm
from clusterml.dataset.protocols import WIDTHS_EV, Pair
from clusterml.dataset.record import GRID_EV
from clusterml.engine.label_error import ErrorTable
from clusterml.errors import ElectronicStructureError
from helpers import script_module

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_protocol_table.py"


@pytest.fixture(scope="module")
def script():
    with script_module("make_protocol_table") as module:
        yield module


def bands(shift, sign=1.0):
    """CD bands that stand at other energies by ``shift``."""
    heights = ((2.0, 40.0), (2.9, -80.0 * sign), (3.7, 60.0))
    return sum(height * np.exp(-(((GRID_EV - at - shift) / 0.18) ** 2)) for at, height in heights)


def study(script, shifts):
    """Clusters whose CD a protocol puts at energies too high by each of ``shifts``, gaps 0.5 eV too large."""
    records, pairs = [], {width: [] for width in WIDTHS_EV}
    for number, shift in enumerate(shifts):
        theirs, mine = bands(0.0), bands(shift)
        absorption = 1e5 + 1e3 * np.abs(theirs)
        record = SimpleNamespace(
            id=f"c{number}-0", parent=f"c{number}", family=f"f{number}", numbers=np.array([47] * 13),
            positions=np.full((13, 3), float(number)), epsilon=absorption, delta_epsilon=theirs,
        )  # fmt: skip
        records.append(record)
        for width, of_width in pairs.items():
            spectra = [
                cm.Spectrum(GRID_EV, 1e5 + 1e3 * np.abs(cd), cd, meta={"fwhm_ev": width}) for cd in (theirs, mine)
            ]
            of_width.append(Pair(record, "superatom", *spectra, (1.0, 1.5)))
    return script.Study(records, {"gfn1": pairs, "dft-pbe-lanl2dz": pairs})


def test_the_table_holds_what_was_put_in(script):
    made = study(script, [0.2, 0.2, 0.2])
    errors = made.error_table("made-up", "PBE")
    assert (sorted(errors.records), errors.metals, errors.method) == (["c0-0", "c1-0", "c2-0"], 13, "PBE")
    assert set(errors.protocols) == {"gfn1"}  # other functionals are for the page
    numbers = errors.protocols["gfn1"]["superatom"]
    assert (numbers.clusters, numbers.geometries, numbers.shift_ev) == (3, 3, pytest.approx(-0.2))
    assert numbers.shifted == pytest.approx([1.0] * len(WIDTHS_EV), abs=2e-3)
    assert numbers.cosine[0] < 0.6
    assert ErrorTable.model_validate(json.loads(json.dumps(errors.model_dump()))) == errors
    tables = made.tables(errors)
    (row,) = [line for line in tables["bands of 0.2 eV"].splitlines() if line.startswith("| superatoms | gfn1 |")]
    assert "| 3, 3 |" in row
    assert "| -0.20 | 0.00 |" in row  # common shift and spread
    assert "| +0.50 |" in row  # gap
    assert "superatoms | dft-pbe-lanl2dz" in tables["summary"]


def test_equal_spectra_have_no_error_and_right_signs(script):
    made = study(script, [0.0, 0.0, 0.0])
    numbers = made.error_table("made-up", "PBE").protocols["gfn1"]["superatom"]
    assert np.max(numbers.error) == pytest.approx(1e-3)
    assert numbers.shift_ev == 0.0
    assert min(numbers.sign_slope) > 0.5
    signs = made.tables(made.error_table("made-up", "PBE"))["signs"]
    assert signs.splitlines()[-1].endswith("= 1.00 |")


def test_tables_go_between_their_comments_and_nowhere_else(script):
    page = "# A\n<!-- table: errors -->\nold\n<!-- end of table -->\ntext\n"
    once = script.fill(page, {"errors": "| a |", "others": "| b |"})
    assert once == "# A\n<!-- table: errors -->\n\n| a |\n\n<!-- end of table -->\ntext\n"
    assert script.fill(once, {"errors": "| a |"}) == once


def test_protocols_are_named_as_on_the_command_line(script):
    names = [script.protocol_key(p) for p in script.read_protocols("gfn1, gfn1:methanol,stda-xtb:reference,dft:pbe0")]
    assert names == ["gfn1", "gfn1-in-methanol", "stda-xtb-reference", "dft-pbe0-lanl2dz"]


def test_a_label_is_computed_once_and_again_for_another_geometry(script, monkeypatch, tmp_path):
    count = []

    def label(atoms, charge, protocol, **_):
        count.append(protocol.name)
        if len(atoms) == 1:
            raise ElectronicStructureError("no ground state", "give up")
        spectrum = cm.Spectrum(GRID_EV, np.ones(251), np.ones(251))
        return SimpleNamespace(spectrum=spectrum, orbitals=SimpleNamespace(raw_gap_ev=1.0))

    monkeypatch.setattr(script.cm, "label", label)
    monkeypatch.setattr(script, "to_atoms", lambda record: record.numbers)
    record = SimpleNamespace(id="x", numbers=np.array([47, 47]), positions=np.zeros((2, 3)), charge=0)
    (protocol,) = script.read_protocols("gfn1")
    labels = script.Labels(tmp_path)
    assert script.Labels(tmp_path, anew=False).of(record, protocol) is None
    spectrum, gap = labels.of(record, protocol)
    again, _ = labels.of(record, protocol)
    assert (gap, spectrum.meta["fwhm_ev"], len(count)) == (1.0, 0.1, 1)
    np.testing.assert_allclose(again.epsilon, spectrum.epsilon)
    record.positions = np.ones((2, 3))
    labels.of(record, protocol)
    assert len(count) == 2
    alone = SimpleNamespace(id="y", numbers=np.array([47]), positions=np.zeros((1, 3)), charge=0)
    assert labels.of(alone, protocol) is None
    assert labels.of(alone, protocol) is None  # and is not tried again
    assert len(count) == 3

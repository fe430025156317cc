"""The report of a screen: one page that fetches nothing, escapes everything, and shows what is in the folder."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from ase import Atoms

from clusterml.errors import InputFileError
from clusterml.io.display import Markup, tag
from clusterml.screening.page.figures import parity_pictures
from clusterml.screening.page.markup import data_block, page, table, viewer
from clusterml.screening.page.results import Results
from clusterml.screening.page.screen_page import REPORT, write_report
from clusterml.screening.run import screen
from clusterml.structure.build.build import build
from clusterml.structure.picture import broadside, element_colours, signed_colours

EVIL = '</script><script>alert("1")</script>&\'<img src=x onerror=y>'


class Seen(HTMLParser):
    """What a browser makes of a page: elements with their attributes, texts, and the scripts' texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.cells: list[list[str]] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        self.texts.append(data)
        if {"td", "th"} & set(self._in):
            self.cells[-1][-1] += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, checkpoint, make_screen) -> Path:
    settings = make_screen(
        title=EVIL,
        parents={"ag3": {"build": {"name": "ag3", "thiolate": ["SH", "SCH3"]}}},
        distortions=[{"modes": {"shear": "-4..4 by 2 %", "normal-mode 4": [0.1, 2.0]}}],
        objectives=[{"max_g": "2..5 eV"}, {"strain": "elastic"}],
        constraints=[{"absorption_within": "0.8 %"}],
        verify=2,
        verify_random=5,
        engine={"dtype": "float32", "tolerance": 0.003},
    )
    target = tmp_path_factory.mktemp("page") / "out"
    screen(settings, target, model=checkpoint)
    return target


@pytest.fixture(scope="module")
def seen(folder) -> Seen:
    return Seen((folder / REPORT).read_text())


def test_nothing_is_fetched_and_nothing_from_users_is_code(folder, seen):
    assert {tag for tag, _ in seen.elements}.isdisjoint({"link", "iframe", "object", "base", "form", "a"})
    for _, attributes in seen.elements:
        assert not [key for key in attributes if key.startswith("on")]
        assert "href" not in attributes
        assert str(attributes.get("src", "data:")).startswith("data:")
    text = (folder / REPORT).read_text()
    assert not re.findall(r"https?://(?!www\.w3\.org)", text)
    assert "default-src 'none'" in text
    assert "<script>alert" not in text
    assert EVIL in seen.texts
    assert [each for each in seen.all("script") if "type" not in each] == [{}, {}]


def test_the_table_holds_the_ranked_candidates_in_their_order(folder, seen):
    ranked = Results(folder).ranked
    rows = [row for row in seen.cells if len(row) > 8 and row[0].isdigit()]
    assert [row[-1] for row in rows] == [each.name for each in ranked]
    assert [each.get("class") for each in seen.all("table")].count("sortable") == 1
    best = ranked[0]
    value, std = best.values["max_g"]
    assert f"{value:.4g} ± {std:.2g}" in rows[0]
    shear = best.recipe["distortions"]["shear"]
    assert (f"shear {shear:+.3g} %" if shear else "shear 0 %") in rows[0][1]
    assert all(each.sign and each.sign in row[2] for each, row in zip(ranked, rows, strict=True))
    dropped = json.loads((folder / "run.json").read_text())["counts"]["dropped"]
    assert dropped
    for reason, drop in dropped.items():
        assert [str(drop["count"]), reason, drop["example"]] in seen.cells
    beyond = [each for each in ranked if each.cells["feasible"] == "no"]
    assert beyond
    assert all("violates absorption_change" in row[2] for row in rows[len(ranked) - len(beyond) :])


def test_pictures_are_complete_and_show_parent_and_engine(folder, seen):
    results = Results(folder)
    shown = results.top_candidates(100)
    pictures = {str(each["alt"]): str(each["src"]) for each in seen.all("img")}
    for name, source in pictures.items():
        kind, _, code = source.partition(",")
        assert kind == "data:image/svg+xml", name
        assert ElementTree.fromstring(unquote(code)).tag.endswith("svg")
    assert {f"spectra of {each.ranked.name}" for each in shown} <= pictures.keys()
    assert {"strain against max_g", "predicted against verified score"} <= pictures.keys()
    labelled = {path.stem for path in (folder / "verified").glob("*.json")}
    for each in shown:
        assert each.spectrum is not None
        assert each.spectrum.delta_epsilon_std is not None
        name = "ag3_SCH3" if "SCH3" in each.ranked.name else "ag3_SH"
        parent = json.loads((folder / f"spectra/parent_{name}.json").read_text())["spectrum"]
        assert each.parent is not None
        np.testing.assert_allclose(each.parent.epsilon, parent["epsilon"])
        assert (each.verified is not None) == (each.ranked.name in labelled)


def test_of_many_lines_the_first_are_held_against_labels(folder):
    results = Results(folder)
    results.lines += [{**results.lines[-1], "name": "further"}] * 3
    pictures = parity_pictures(results)
    for name, picture in zip(("score", "max_g", "strain", "absorption_change"), pictures, strict=True):
        assert f'alt="predicted against verified {name}"' in picture


def test_the_verification_says_what_verified_json_says(folder, seen):
    statistics = json.loads((folder / "verified.json").read_text())["statistics"]
    random = statistics["lines"]["max_g"]["random"]
    row = next(row for row in seen.cells if row[:3] == ["max_g", "", "random"])
    assert row[3] == str(random["count"]) == "5"
    assert float(row[5]) == pytest.approx(random["mean_absolute_error"], rel=1e-2)
    assert f"(Spearman) {statistics['score']['random']['spearman']:.2f}" in " ".join(seen.texts)


def test_structures_keep_their_shape_and_hand_in_the_view(folder, seen):
    atoms = Results(folder).top_candidates(1)[0].atoms
    number = Results(folder).ranked[0].number
    text = (folder / REPORT).read_text()
    block = re.search(rf'id="molecule-{number}">(.*?)</script>', text, re.DOTALL)
    assert block is not None
    data = json.loads(block[1])
    drawn = np.array(data["positions"]).reshape(-1, 3)
    np.testing.assert_allclose(_distances(drawn), _distances(atoms.positions), atol=3e-3)
    assert data["labels"][0] == f"{atoms.symbols[0]}1"
    assert f"three-dimensional view of {atoms.info['name']}" in text
    assert atoms.info["name"] == Results(folder).ranked[0].name
    assert len(data["colours"]["element"]) == len(data["radii"]) == len(atoms)
    assert {"data-of": f"molecule-{number}", "class": "view"} in seen.all("div")


def test_a_view_is_turned_but_never_mirrored():
    rng = np.random.default_rng(5)
    for _ in range(8):
        x = rng.normal(size=(4, 3)) * [1.0, 3.0, 2.0]
        y = broadside(x)
        before, after = (np.linalg.det(p[1:] - p[0]) for p in (x, y))
        assert after == pytest.approx(before)
        extent = (y**2).sum(axis=0)
        assert extent[0] >= extent[1] >= extent[2]


def test_colours_follow_sign_and_size():
    low, small, zero, high = signed_colours(np.array([-2.0, -0.5, 0.0, 2.0]), 2.0)
    assert int(low[5:], 16) > int(low[1:3], 16)
    assert int(high[1:3], 16) > int(high[5:], 16)
    assert zero[1:3] == zero[3:5] == zero[5:]
    assert int(low[1:3], 16) < int(small[1:3], 16) < int(zero[1:3], 16)
    assert set(signed_colours(np.zeros(3), 0.0)) == {zero}
    assert element_colours(Atoms("OO"))[0] == element_colours(Atoms("O"))[0] != element_colours(Atoms("S"))[0]


def test_markup_escapes_whatever_is_not_markup():
    cell = tag("td", EVIL, data_v=EVIL, class_=None)
    seen = Seen(page(EVIL, [table([EVIL], [[EVIL], [cell]]), data_block("d", {"x": EVIL}), Markup("<b>b</b>")], []))
    assert [each for each, _ in seen.elements].count("script") == 1
    assert [each for each, _ in seen.elements].count("b") == 1
    assert seen.cells == [[EVIL], [EVIL], [EVIL]]
    assert seen.all("td")[1] == {"data-v": EVIL, "data-h": EVIL}
    block = re.search(r'id="d">(.*?)</script>', data_block("d", {"x": EVIL}))
    assert block is not None
    assert json.loads(block[1]) == {"x": EVIL}
    atoms = build("ag2")
    atoms.info["name"] = EVIL
    view = Seen(viewer(atoms, "m", {"a": element_colours(atoms), "b": ["#000000"] * len(atoms)}, [EVIL] * len(atoms)))
    assert [each for each, _ in view.elements] == ["div", "canvas", "div", "select", "option", "option", "script"]


def test_the_report_is_made_again_from_the_folder_alone(folder, tmp_path):
    before = (folder / REPORT).read_text()
    (folder / REPORT).unlink()
    assert write_report(folder).read_text() == before
    with pytest.raises(InputFileError, match=r"no run\.json"):
        write_report(tmp_path)
    run = json.loads((folder / "run.json").read_text())
    copied = Path(shutil.copytree(folder, tmp_path / "copied"))
    for partial in ({"counts": {}}, {"provenance": None}, {"front": 1}):
        (copied / "run.json").write_text(json.dumps(run | partial))
        with pytest.raises(InputFileError, match=r"run\.json or another file is damaged or incomplete"):
            write_report(copied)
    (tmp_path / "run.json").write_text('{"status": "running"}')
    with pytest.raises(InputFileError, match=r"has no ranked\.csv, its status is 'running'"):
        write_report(tmp_path)
    (tmp_path / "ranked.csv").write_text("rank\n1\n")
    with pytest.raises(InputFileError, match="are damaged"):
        write_report(tmp_path)


def test_candidates_of_a_user_have_the_reference_beside_them(checkpoint, make_screen, tmp_path):
    from clusterml.structure.distort.apply import scan

    mine = scan(build("ag3"), "shear", [1.0, 2.0])
    for atoms in mine:
        atoms.info["name"] = EVIL
    settings = make_screen(parents={}, distortions=[], objectives=[{"cd_at": "3 eV", "goal": "magnitude"}])
    done = screen(settings, tmp_path / "o", model=checkpoint, candidates=mine, reference=build("ag3"))
    shown = Results(done.folder).top_candidates(5)
    assert len(shown) == 2
    assert all(each.parent is not None and each.verified is None for each in shown)
    seen = Seen((done.folder / REPORT).read_text())
    assert len([each for each in seen.all("script") if "type" not in each]) == 2
    assert not [alt for each in seen.all("img") if "against" in (alt := str(each["alt"]))]


def _distances(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - points[None], axis=2)

"""The page in a real browser against a real server, as a reader uses it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ase.io import write

import clusterml
from clusterml.io.shipped import QUICK_MODEL
from clusterml.structure.write import extxyz

from .conftest import GAPLESS, Server, drag, ring_of, show, slide, with_donor

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGE = Path(clusterml.__file__).parent / "server" / "page"


MAIN_SPECTRUM = """import("./js/answer.js").then(({ mainResult }) => mainResult().result.spectrum)"""


def cd_by_energy(spectrum: dict[str, Any]) -> dict[float, float]:
    """CD at the energies that network and engine have in common, in eV."""
    pairs = zip(spectrum["energy_ev"], spectrum["delta_epsilon"], strict=True)
    return {round(energy, 3): value for energy, value in pairs if 1.5 < energy < 5.2}


def cd(page: Page) -> list[float]:
    """The CD that is shown."""
    values: list[float] = page.evaluate("""import("./js/store.js").then(
        ({ session }) => session.prediction.spectrum.delta_epsilon)""")
    return values


def link_of(page: Page) -> str:
    """The link to what is shown, which the address follows."""
    link: str = page.evaluate("""import("./js/link.js").then(({ makeLink }) => makeLink()).then(({ link }) => link)""")
    page.wait_for_url(link)
    return link


def test_files_of_the_page_load_nothing_from_elsewhere():
    files = [path for path in PAGE.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    assert len(files) > 10
    for path in files:
        text = path.read_text().replace("http://www.w3.org/", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        assert "eval(" not in text, path


def test_a_file_is_shown_with_its_spectrum(page, server):
    text = server.http.post("/v1/inspect", json={"build": {"name": "ag3", "thiolate": "SH"}}).json()["geometry"]["xyz"]
    page.set_input_files("#file", {"name": "ring.xyz", "mimeType": "text/plain", "buffer": text.encode()})
    page.wait_for_selector("#worth .worth")
    assert page.inner_text("#title") == "ring"
    assert page.inner_text("#composition").split("\n")[0].startswith("Ag3H3S3")
    assert page.locator("#plot-svg path").count() >= 2
    page.click("#tab-holds")
    assert "3 SH" in page.inner_text("#holds")


def test_an_achiral_frame_is_not_called_an_achiral_cluster(page):
    ring = clusterml.build("ag3", thiolate="SCH3")
    ring.set_cell([25.0, 25.0, 25.0])
    ring.center()
    text = BytesIO()
    write(text, ring, format="cif")
    page.set_input_files("#file", {"name": "ring.cif", "mimeType": "text/plain", "buffer": text.getvalue()})
    page.wait_for_selector("#worth .worth")
    page.click("#tab-holds")
    words = page.inner_text("#holds")
    assert "the frame of cluster 1 (metals and donor atoms) is achiral, whatever its ligands are" in words
    assert "P 1, achiral frames" in words


def test_a_file_that_cannot_be_read_says_why_and_what_is_shown_stays(page):
    show(page, "ag12_sch3_hcoo")
    title = page.inner_text("#title")
    page.click("#other")
    page.set_input_files("#file", {"name": "bad.xyz", "mimeType": "text/plain", "buffer": b"hello"})
    page.wait_for_selector("#problem:not([hidden])")
    words = page.inner_text("#problem")
    assert "bad.xyz: line 1 should be the number of atoms" in words
    assert "An xyz file has the number of atoms, a comment line" in words
    assert page.inner_text("#title") == title


def test_a_slider_turns_the_cd_of_an_achiral_cluster_around(page):
    show(page, "ag25_sch3")
    assert "no CD" in page.inner_text("#worth")
    slide(page, "motif-twist", 3)
    right = cd(page)
    assert max(map(abs, right)) > 1.0
    slide(page, "motif-twist", -3)
    left = cd(page)
    assert left == pytest.approx([-value for value in right], abs=1e-3 * max(map(abs, right)))
    page.click("#modes-mirror")
    page.wait_for_selector("#busy:not(.seen)", state="attached")
    assert page.locator("#mode-motif-twist").input_value() == "3"
    assert cd(page) == pytest.approx(right, abs=1e-3 * max(map(abs, right)))
    page.click("#modes-reset")
    page.wait_for_selector("#worth :text('no CD')")


def test_a_link_reproduces_the_state(page, browser):
    show(page, "ag29_sh_ph3_R")
    page.locator("#mode-breathing").fill("2")
    slide(page, "crown-rotation", -3)
    page.check("#axis-ev", force=True)
    link, expected = link_of(page), cd(page)
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("html[data-ready]")
    assert cd(page) == pytest.approx(expected, abs=1e-3 * max(map(abs, expected)))
    assert page.locator("#mode-breathing").input_value() == "2"
    assert page.is_checked("#axis-ev")


def test_a_measured_spectrum_is_laid_over(page, server, tmp_path):
    """The spectrum itself, shifted by 0.2 eV and ten times as weak, stands for a measurement."""
    show(page, "ag29_sh_ph3_R")
    answer = server.http.post("/v1/predict", json={"shipped": "ag29_sh_ph3_R", "model": QUICK_MODEL}).json()["spectrum"]
    rows = zip(answer["energy_ev"], answer["epsilon"], answer["delta_epsilon"], strict=True)
    lines = [f"{e + 0.2:.3f},{absorption / 10:.6g},{cd_ / 10:.6g}" for e, absorption, cd_ in rows if e > 1.0]
    measured = tmp_path / "<i>sample.csv"
    measured.write_text("\n".join(["energy_ev,epsilon,delta_epsilon", *lines]) + "\n")
    page.set_input_files("#measured-file", measured)
    page.wait_for_selector("#measured dl")
    words = page.inner_text("#measured")
    assert "Network, shifted by +0.2 eV" in words
    assert words.count("cosine 1.00") == 2
    assert "<i>sample.csv (× 10)" in page.inner_text("#legend")
    page.click("#other")
    page.select_option("#shipped", "ag29_sh_ph3_S")  # the other hand, beside the same measurement
    page.wait_for_selector("#measured :text('cosine −1.00')")


@pytest.mark.slow
def test_published_bands_are_marked(page, server):
    show(page, "ag29_bdt_ph3_R")
    page.select_option("#published", "Ag29-BDT")
    page.wait_for_selector("#bands table")
    prediction = server.http.post("/v1/predict", json={"shipped": "ag29_bdt_ph3_R", "model": QUICK_MODEL}).text
    body = {"a": {"name": "a.json", "text": prediction}, "b": "bands:Ag29-BDT"}
    expected = server.http.post("/v1/compare", json=body).json()
    assert page.locator("#bands tbody tr").count() == expected["n_measured"]
    assert f"{expected['n_matched']} of {expected['n_measured']} bands match" in page.inner_text("#bands")
    assert page.locator("#plot-svg line title").count() == expected["n_measured"]


@pytest.mark.slow
def test_what_a_measurement_lacks_is_asked_for(page, tmp_path):
    show(page, "ag12_sch3_hcoo")
    measured = tmp_path / "sample.csv"
    measured.write_text("wavelength_nm,absorbance\n" + "".join(f"{nm},{1 / nm}\n" for nm in range(300, 700, 5)))
    page.set_input_files("#measured-file", measured)
    page.wait_for_selector("#problem:not([hidden])")
    assert "needs the concentration (mol/L) and the path (cm)" in page.inner_text("#problem")
    page.fill("#measured-concentration", "2e-5")
    page.press("#measured-concentration", "Tab")
    page.fill("#measured-path", "1")
    page.press("#measured-path", "Tab")
    page.wait_for_selector("#measured dl")
    assert page.is_hidden("#problem")


def test_downloads(page, server):
    show(page, "ag25_sch3")
    texts = {}
    for words in ("Spectrum as CSV", "Spectrum as JCAMP-DX", "Result as JSON", "Picture as SVG", "Picture as PNG"):
        page.click("summary:text('Download')")
        with page.expect_download() as download:
            page.click(f"#downloads button:text('{words}')")
        path = download.value.path()
        texts[download.value.suggested_filename.rpartition(".")[2]] = path.read_bytes()
    expected = server.http.post("/v1/predict", json={"shipped": "ag25_sch3", "model": QUICK_MODEL}).json()
    assert texts["csv"].startswith(b"energy_ev,wavelength_nm,epsilon_l_mol_cm")
    assert b"##JCAMP-DX=4.24" in texts["jdx"]
    values = json.loads(texts["json"])["spectrum"]["delta_epsilon"]
    assert values == pytest.approx(expected["spectrum"]["delta_epsilon"], rel=1e-3, abs=1e-2)
    assert texts["svg"].startswith(b"<svg")
    assert b"Wavelength / nm" in texts["svg"]
    assert texts["png"].startswith(b"\x89PNG")


@pytest.mark.slow
def test_ligands_are_exchanged_site_by_site(page):
    show(page, "ag12_sch3_hcoo")
    page.click("#tab-exchange")
    page.select_option("#exchange-old", "HCOO")
    page.select_option("#exchange-new", "CF3COO")
    page.wait_for_selector(".site:text-is('5')")
    looks: list[dict[str, Any]] = []
    page.on("request", lambda each: looks.append(each.post_data_json) if "/v1/substitute" in each.url else None)
    for number in ("2", "5"):
        page.click(f".site:text-is('{number}')")
        page.wait_for_selector(f".site[aria-pressed=true]:text-is('{number}')")
    page.wait_for_selector("#busy:not(.seen)", state="attached")
    page.click("#tab-holds")
    assert "4 HCOO, 2 CF3COO" in page.inner_text("#holds")
    assert looks
    assert all("new" in body for body in looks)  # the sites are known
    page.click("#command-open")
    assert "--from HCOO --to CF3COO --sites 2,5" in page.inner_text("#command")


@pytest.mark.slow
def test_the_engine_draws_over_the_network(page):
    show(page, "ag12_sch3_hcoo")
    page.click("#engine-start")
    page.wait_for_selector("#engine:has-text('cosine with it')")
    assert "engine" in page.inner_text("#legend")


@pytest.mark.parametrize("donor", ["Se", pytest.param("Te", marks=pytest.mark.slow)])
def test_the_engine_computes_what_the_network_does_not_know(page, server, donor):
    """Selenium is out of its domain, and tellurium it cannot take in at all; nobody presses a button."""
    page.set_input_files("#file", ring_of(donor, server))
    page.wait_for_selector("#legend:has-text('engine')")
    assert "network" not in page.inner_text("#legend")
    words = page.inner_text("#worth")
    assert "the spectrum is the engine's" in words
    assert f"gfn1-pbe was not fitted to {donor}" in words
    assert page.is_hidden("#problem")
    job = server.http.get("/v1/jobs").json()[0]
    drawn = page.evaluate(MAIN_SPECTRUM)["epsilon"]
    assert drawn == server.http.get(f"/v1/jobs/{job['id']}").json()["result"]["spectrum"]["epsilon"]
    page.click("#command-open")
    assert "--engine never" not in page.inner_text("#command")


def test_the_engine_asks_before_it_takes_long(page, server):
    def object_to(route):
        answer = route.fetch()
        said = answer.json()
        if "engine" in said:
            said["engine"] |= {"objection": "it would take about 3 h and 5.0 GB", "charge_is_open": True}
        route.fulfill(response=answer, json=said)

    jobs = server.http.get("/v1/jobs").json()
    page.route("**/v1/distort", object_to)
    page.set_input_files("#file", ring_of("Se", server, "asked.xyz"))
    page.wait_for_selector("#engine:has-text('It has not begun by itself: it would take about 3 h and 5.0 GB.')")
    assert "No spectrum yet: the engine has to compute it." in page.inner_text("#plot")
    assert "but it would take about 3 h" in page.inner_text("#worth")
    assert "strongest CD" not in page.inner_text("#worth")
    page.click("button:text('guess')")
    assert "network, which does not know this structure" in page.inner_text("#legend")
    assert page.is_checked("#show-network input")
    assert server.http.get("/v1/jobs").json() == jobs
    assert page.is_visible("#engine button:text('2−: 2 superatom electrons')")
    page.click("#engine-start")
    page.wait_for_selector("#legend:has-text('engine')")


def test_a_charge_that_leaves_a_radical_asks_for_another(page, server):
    ring = ring_of("S", server)
    ring["buffer"], count = re.subn(rb"\bcharge=\S+", b"charge=1", ring["buffer"])
    assert count == 1
    page.set_input_files("#file", ring)
    page.wait_for_selector("#worth:has-text('charge +1 gives')")
    page.wait_for_selector("#problem:not([hidden])")
    page.click("#worth button:text('0: 0 superatom electrons')")
    page.wait_for_selector("#legend:has-text('network')")
    assert page.is_hidden("#problem")


@pytest.mark.slow
def test_the_network_that_does_not_know_is_drawn_only_when_asked_for(page, server):
    page.set_input_files("#file", ring_of("Se", server))
    page.wait_for_selector("#legend:has-text('engine')")
    assert page.locator("#legend .entry").count() == 1
    page.click("summary:text('Show')")
    page.check("#show-network input")
    page.wait_for_selector("#legend:has-text('network, which does not know this structure')")
    page.uncheck("#show-network input")
    page.keyboard.press("Escape")
    page.locator("#mode-breathing").fill("2")
    page.wait_for_selector(".worth.live:has-text('by a network that does not know this cluster')")
    page.wait_for_selector("#legend:has-text('engine, gfn1-pbe'):has-text('not distorted')")


@pytest.mark.slow
def test_a_job_whose_structure_is_left_is_cancelled(page, server):
    """Unless its link was copied."""
    text = server.http.post("/v1/inspect", json={"shipped": "ag25_sch3"}).json()["geometry"]["xyz"]
    for number, copied in enumerate((False, True)):
        if number:
            page.click("#other")
        buffer = with_donor("Se", text)
        page.set_input_files("#file", {"name": f"selenium{number}.xyz", "mimeType": "text/plain", "buffer": buffer})
        page.wait_for_selector(f"#title:has-text('selenium{number}')")
        page.wait_for_selector("#engine:has-text('Computing.')")
        if copied:
            page.evaluate("""import("./js/store.js").then(({ emit }) => emit("linked"))""")
        page.click("#other")
        page.set_input_files("#file", ring_of("Te", server))
        page.wait_for_selector("#title:has-text('ring')")
        page.wait_for_selector("#engine:has-text('Computing'), #engine:has-text('Waits'), #legend:has-text('engine')")
        jobs = {job["name"]: job for job in server.http.get("/v1/jobs").json()}
        assert (jobs[f"selenium{number}"]["state"] == "cancelled") is not copied
    server.http.delete(f"/v1/jobs/{jobs['selenium1']['id']}")


@pytest.mark.slow
def test_how_chiral_the_parts_are(page, server):
    page.set_input_files("#file", ring_of("Ag", server))
    page.wait_for_selector("#worth .worth")
    page.click("#tab-chirality")
    page.click("#measure")
    page.wait_for_selector("#panel-chirality :text('CCM: 0 (achiral) to 100')")
    assert "whole" in page.inner_text("#panel-chirality")


SHARES = """import("./js/store.js").then(({ session }) => session.shares?.per_atom ?? null)"""
BY_ENGINE = ":text('by the engine: GFN1-PBE linear response')"


def asked(page: Page) -> list[dict[str, Any]]:
    """The requests for shares, as they come."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda each: bodies.append(each.post_data_json) if "/v1/explain" in each.url else None)
    return bodies


def test_atoms_are_coloured_by_the_engines_shares_of_what_is_shown(page, server):
    bodies = asked(page)
    show(page, "ag29_sh_ph3_R")
    page.click("#tab-chirality")
    assert "by the engine" in page.inner_text("#panel-chirality")
    assert bodies == []
    page.select_option("#colour", "share")
    page.wait_for_selector("#view-legend:has-text('Computing the shares of the CD, by the engine')")
    page.wait_for_selector(f"#view-legend {BY_ENGINE}")
    right = page.evaluate(SHARES)
    assert right == server.http.post("/v1/explain", json=bodies[0]).json()["contributions"]["per_atom"]
    assert "model" not in bodies[0]
    words = page.inner_text("#panel-chirality")
    assert "Together" in words
    assert "±" not in words  # that of networks
    page.click("#command-open")
    shell = page.inner_text("#command pre >> nth=0")
    assert re.search(r"clusterml explain \S+/ag29_sh_ph3_R.xyz --band \S+ --orbitals gfn1-pbe$", shell, re.MULTILINE)
    page.keyboard.press("Escape")
    low, high = (float(page.input_value(f"#band-{end}")) for end in (0, 1))
    page.click("#other")
    show(page, "ag29_sh_ph3_S")
    page.wait_for_selector("#title:has-text('hand S')")
    page.wait_for_selector(f"#view-legend {BY_ENGINE}")
    page.fill("#band-0", str(low))
    page.fill("#band-1", str(high))
    with page.expect_response("**/v1/explain"):
        page.click("button:text('Attribute this CD to atoms')")
    page.wait_for_selector(f"#view-legend {BY_ENGINE}")
    size = max(map(abs, right))
    assert sorted(page.evaluate(SHARES)) == pytest.approx(sorted(-share for share in right), abs=1e-2 * size)


def test_shares_are_asked_for_when_a_slider_is_released(page):
    bodies = asked(page)
    show(page, "ag12_sch3_hcoo")
    page.select_option("#colour", "share")
    page.wait_for_selector(f"#view-legend {BY_ENGINE}")
    drag(page, "breathing")
    page.wait_for_selector("#view-legend:has-text('The shares follow when the slider rests.')")
    page.wait_for_selector(".worth.live", state="detached")  # it is held, and the prediction there
    page.wait_for_timeout(300)
    assert len(bodies) == 1
    assert page.evaluate(SHARES) is None
    page.mouse.up()
    page.wait_for_selector(f"#view-legend {BY_ENGINE}")
    assert len(bodies) == 2
    assert "file" in bodies[1]


def test_where_the_engine_has_no_shares_the_networks_are_offered(page):
    bodies, text = asked(page), extxyz(GAPLESS)
    page.set_input_files("#file", {"name": "bare.xyz", "mimeType": "text/plain", "buffer": text.encode()})
    page.wait_for_selector("#worth .worth")
    page.select_option("#colour", "share")
    refused = "#view-legend :text('The engine has no shares here: the HOMO-LUMO gap of GFN1-PBE is 0.00')"
    page.wait_for_selector(refused)
    page.click("#view-legend button:text('Shares by the network')")
    page.wait_for_selector(f"#view-legend .note:text('By the network {QUICK_MODEL}')")
    assert bodies[-1]["model"] == QUICK_MODEL
    assert "orbitals" not in bodies[-1]
    page.click("#view-legend button:text('Shares by the engine')")
    page.wait_for_selector(refused)
    page.select_option("#colour", "element")
    assert page.locator("#view-legend .note").count() == 0


@pytest.mark.slow
def test_commands_give_what_is_shown(page, tmp_path):
    """The shell and the Python that the page shows, run as they stand: they too let the engine decide its sign."""
    show(page, "ag29_sh_ph3_R")
    page.click("#tab-exchange")
    page.select_option("#exchange-old", "PH3")
    page.select_option("#exchange-new", "PMe3")
    page.click(".site:text-is('2')")
    page.wait_for_selector(".site[aria-pressed=true]:text-is('2')")
    page.wait_for_selector("#busy:not(.seen)", state="attached")
    page.click("#tab-distort")
    slide(page, "breathing", 1.5)
    slide(page, "motif-twist", -3)
    page.click("#command-open")
    shell, python = page.locator("#command pre").all_inner_texts()
    assert "--from PH3 --to PMe3 --sites 2" in shell
    assert "--mode mixture --amount 1 --weight breathing=1.5 --weight motif-twist=-3" in shell
    page.wait_for_selector("#legend:has-text('engine, gfn1-pbe')")
    expected = cd_by_energy(page.evaluate(MAIN_SPECTRUM))
    close = pytest.approx(expected, abs=1e-3 * max(map(abs, expected.values())))
    code = f"{python}\nimport json\nprint(json.dumps(answer.to_dict()['spectrum']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert cd_by_energy(json.loads(done.stdout)) == close
    lines = shell.replace("clusterml ", f"{sys.executable} -m clusterml ")
    subprocess.run(["bash", "-ec", lines], cwd=tmp_path, check=True, capture_output=True)
    result = json.loads((tmp_path / "results" / "distorted.json").read_text())
    assert cd_by_energy(result["spectrum"]) == close


def test_bands_of_another_width(page, server, browser):
    """Network, engine, commands and link have the width that the reader wrote; none narrower than the network's."""
    show(page, "ag29_sh_ph3_R")
    narrow = max(map(abs, cd(page)))
    page.click("summary:text('Show')")
    page.fill("#fwhm", "0.1")
    page.press("#fwhm", "Tab")
    page.wait_for_selector("#news:has-text('Bands are 0.2 to 5 eV wide')")
    page.fill("#fwhm", "0.4")
    page.press("#fwhm", "Tab")
    page.wait_for_function(
        "n => import('./js/store.js').then(({ session: { prediction } }) =>"
        " Boolean(prediction) && Math.max(...prediction.spectrum.delta_epsilon.map(Math.abs)) < n)",
        arg=0.9 * narrow,
    )
    page.wait_for_selector("#legend:has-text('engine, gfn1-pbe')")
    engine = page.evaluate("import('./js/store.js').then(({ session }) => session.engine.spectrum)")
    assert engine["fwhm_ev"] == 0.4
    page.click("#command-open")
    shell, python = page.locator("#command pre").all_inner_texts()
    assert "--fwhm 0.4" in shell
    assert "fwhm_ev=0.4" in python
    other = browser.new_page()
    other.goto(link_of(page))
    other.wait_for_selector("#engine:has-text('cosine with it')")  # network and engine are both there
    assert cd(other) == cd(page)


def test_a_thermal_mean_is_by_the_network_of_the_static_spectrum(page):
    show(page, "ag12_sch3_hcoo")
    page.click("#tab-holds")
    with page.expect_request("**/v1/predict") as asked:
        page.get_by_label("Thermal motion").select_option("8")
    assert (asked.value.post_data_json["model"], asked.value.post_data_json["ensemble"]) == (QUICK_MODEL, 8)
    page.wait_for_selector("#legend:has-text('thermal mean of 8 snapshots')")
    page.click("#command-open")
    assert f"--model {QUICK_MODEL} --ensemble 8" in page.inner_text("#command")


def test_nothing_is_wider_than_the_page(page):
    show(page, "ag29_sh_ph3_R")
    for width in (1440, 375):
        page.set_viewport_size({"width": width, "height": 812})
        for tab in ("distort", "exchange", "chirality", "holds"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") == width, tab


def test_keys_turn_the_structure_and_the_mouse_zooms_the_axis(page):
    show(page, "ag25_sch3")
    before = page.evaluate("document.getElementById('view').toDataURL()")
    page.focus("#view")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(100)
    assert page.evaluate("document.getElementById('view').toDataURL()") != before
    box = page.locator("#plot").bounding_box()
    left, top = box["x"] + 200, box["y"] + 100
    page.mouse.move(left, top)
    assert "nm" in page.inner_text("#readout")
    page.mouse.down()
    page.mouse.move(left + 100, top, steps=3)
    page.mouse.up()
    low, high = (float(page.locator(f"#range-{end}").input_value()) for end in ("from", "to"))
    assert 240 < low < high < 900
    page.mouse.dblclick(left, top)
    assert float(page.locator("#range-to").input_value()) > high
    page.focus("#tab-distort")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-exchange", "aria-selected") == "true"


@pytest.mark.slow
def test_a_token_is_asked_for_once(browser, tmp_path):
    guarded = Server(tmp_path, token="open-sesame-open-sesame-7")
    context = browser.new_context()
    try:
        opened = context.new_page()
        opened.goto(guarded.url)
        opened.fill("#token-value", "wrong")
        opened.click("#token button[value=ok]")
        opened.wait_for_selector("#token-words:text('That was not its token.')")
        opened.keyboard.press("Escape")
        opened.wait_for_selector("#problem:has-text('the token is missing or wrong')")
        opened.wait_for_selector("#token[open]", state="detached")
        opened.reload()
        opened.fill("#token-value", "open-sesame-open-sesame-7")
        opened.click("#token button[value=ok]")
        opened.wait_for_selector("html[data-ready]")
        opened.wait_for_selector("#shipped option:nth-child(1)", state="attached")
        assert opened.locator("#shipped option").count() > 30
    finally:
        context.close()
        guarded.close()


@pytest.mark.slow
def test_a_dropped_file_and_the_engine_are_found_again_by_the_link(page, server):
    text = server.http.post("/v1/inspect", json={"build": {"name": "ag3", "thiolate": "SH"}}).json()["geometry"]["xyz"]
    page.set_input_files("#file", {"name": "ring.xyz", "mimeType": "text/plain", "buffer": text.encode()})
    page.wait_for_selector("#worth .worth")
    page.click("#engine-start")
    page.wait_for_selector("#engine:has-text('cosine with it')")
    link = link_of(page)
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#engine:has-text('cosine with it')")
    assert page.inner_text("#title") == "ring"

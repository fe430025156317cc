"""What the page does when answers come late, in another order or not at all, and with what readers type amiss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .conftest import drag, ring_of, show, slide, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOLD = """(part) => {
  const plain = window.plain ??= window.fetch;
  [window.held, window.there] = [[], 0];
  window.fetch = async (path, how) => {
    const isHeld = window.held && String(path).endsWith(part);
    const released = isHeld && new Promise((resolve) => window.held.push(resolve));
    const answer = await plain(path, how);
    window.there += Boolean(isHeld);
    await released;
    return answer;
  };
}"""
CHARGES = """import("./js/store.js").then(({ change }) => import("./js/structure.js").then(({ settleAnew }) => {
  for (const charge of [0, 2]) { change({ charge }); settleAnew(); }
}))"""
WORDS = """import("./js/store.js").then(({ session, state }) => WHAT)"""
MEASURES = {"parts": [], "template": None, "warnings": ["measured"]}
ROWS = "".join(f"{nm},{1000 - nm},{nm - 450}\n" for nm in range(300, 700, 5))
MEASURED = {
    "name": "sample.csv",
    "mimeType": "text/csv",
    "buffer": f"wavelength_nm,epsilon,delta_epsilon\n{ROWS}".encode(),
}


def hold(page: Page, part: str) -> None:
    """Keep answers to paths that end so from the page until they are released."""
    page.evaluate(HOLD, part)


def wait_for_held(page: Page, count: int) -> None:
    """Until so many answers are there, in the order of their requests."""
    wait_for(lambda: page.evaluate(f"window.there >= {count}"))


def release(page: Page, *places: int) -> None:
    """Let the page have these answers, one after the other."""
    for place in places:
        page.evaluate(f"window.held[{place}]()")
        page.wait_for_timeout(200)


def release_all(page: Page) -> None:
    """Let the page have every answer from now on."""
    page.evaluate("{ const all = window.held; window.held = null; all.forEach((resolve) => resolve()); }")


def known(page: Page, what: str) -> Any:
    """What the page knows: an expression of ``session`` and ``state``."""
    return page.evaluate(WORDS.replace("WHAT", what))


def requests_to(page: Page, path: str) -> list[dict[str, Any]]:
    """The bodies of requests to ``path``, as they come."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda each: bodies.append(each.post_data_json) if each.url.endswith(path) else None)
    return bodies


def test_of_several_predictions_the_newest_counts(page):
    show(page, "ag12_sch3_hcoo")
    hold(page, "v1/distort")
    page.evaluate(CHARGES)
    wait_for_held(page, 2)
    release(page, 1, 0)
    assert known(page, "[state.charge, session.prediction.charge]") == [2, 2]


def test_measures_wait_for_the_mirrored_structure_and_are_dropped_when_a_slider_moves(page):
    show(page, "ag12_sch3_hcoo")
    slide(page, "breathing", 2)
    before = known(page, "session.geometry.xyz")
    bodies = requests_to(page, "/v1/chirality")
    page.route("**/v1/chirality", lambda route: route.fulfill(json=MEASURES))
    hold(page, "v1/distort")
    page.click("#modes-mirror")
    page.click("#tab-chirality")
    page.click("#measure")
    wait_for_held(page, 1)
    page.wait_for_timeout(200)
    assert bodies == []
    release_all(page)
    page.wait_for_selector("#panel-chirality .note:text('measured')")
    assert bodies[0]["file"]["text"] == known(page, "session.geometry.xyz") != before
    page.click("#tab-distort")
    slide(page, "breathing", 1)
    page.click("#tab-chirality")
    hold(page, "v1/chirality")
    page.click("#measure")
    wait_for_held(page, 1)
    page.click("#tab-distort")
    slide(page, "breathing", 0)
    release_all(page)
    page.wait_for_timeout(200)
    assert known(page, "session.chirality ?? null") is None


def test_a_prediction_that_fails_is_tried_again_when_it_is_needed(page):
    show(page, "ag12_sch3_hcoo")
    refusal = {"error": "ServerError", "problem": "there is no room", "remedy": "ask again"}

    def refuse(route):
        is_frame = route.request.post_data_json.get("quick")
        route.continue_() if is_frame else route.fulfill(status=422, json=refusal)

    page.route("**/v1/distort", refuse)
    page.locator("#mode-breathing").fill("2")
    page.wait_for_selector("#problem:has-text('There is no room'), #problem:has-text('there is no room')")
    page.wait_for_selector("#busy:not(.seen)", state="attached")
    page.wait_for_timeout(1000)
    assert not known(page, "Boolean(session.isQuick)")
    page.unroute("**/v1/distort")
    with page.expect_download() as download:
        page.click("summary:text('Download')")
        page.click("#downloads button:text('Structure as xyz')")
    assert download.value.path().read_text() == known(page, "session.geometry.xyz")
    assert known(page, "session.prediction.spectrum.epsilon_std?.length") > 0


@pytest.mark.parametrize("late_fails", [True, False])
def test_of_several_structures_the_last_one_is_shown(page, late_fails):
    """The first answer comes last, and is a refusal or not."""
    show(page, "ag12_sch3_hcoo")
    hold(page, "v1/inspect")
    sources = [{"file": {"name": "bad.xyz", "text": "hello"}} if late_fails else {"shipped": "ag25_sch3"}]
    sources.append({"build": {"name": "ag3", "thiolate": "SH"}})
    page.evaluate(
        """(all) => { import("./js/structure.js").then(({ open }) => all.forEach((each) => open(each))); }""", sources
    )
    wait_for_held(page, 2)
    release(page, 1, 0)
    page.wait_for_selector("#title:text-is('ag3')")
    page.wait_for_selector("#worth .worth")
    assert known(page, "[state.source, session.base]") == [sources[1], sources[1]]
    assert page.is_hidden("#problem")


def test_a_structure_that_fails_leaves_the_one_that_is_shown_and_its_sliders(page):
    show(page, "ag12_sch3_hcoo")
    slide(page, "breathing", 2)
    hold(page, "v1/inspect")
    opened = """import("./js/structure.js").then(({ open }) => { open({ shipped: "ag25_sch3" });
        open({ file: { name: "bad.xyz", text: "hello" } }); })"""
    page.evaluate(opened)
    wait_for_held(page, 2)
    release(page, 1, 0)
    page.wait_for_selector("#problem:has-text('bad.xyz')")
    assert known(page, "[state.source, session.base, state.distortions]") == [
        {"shipped": "ag12_sch3_hcoo"}, {"shipped": "ag12_sch3_hcoo"}, {"breathing": 2},
    ]  # fmt: skip


def test_a_model_can_be_picked_again(page):
    show(page, "ag12_sch3_hcoo")
    slide(page, "breathing", 2)
    page.click("#other")
    page.select_option("#shipped", "ag12_sch3_hcoo")
    wait_for(lambda: page.input_value("#mode-breathing") == "0")
    assert page.input_value("#shipped") == ""  # where the same one is another choice


def test_a_thermal_mean_of_what_is_not_shown_any_more_is_dropped(page):
    show(page, "ag12_sch3_hcoo")
    mean = known(page, "session.prediction")
    page.route("**/v1/predict", lambda route: route.fulfill(json=mean))
    hold(page, "v1/predict")
    page.click("#tab-holds")
    page.get_by_label("Thermal motion").select_option("8")
    wait_for_held(page, 1)
    page.click("#tab-distort")
    page.locator("#mode-breathing").fill("2")
    page.wait_for_selector(".worth.live")
    release(page, 0)
    assert known(page, "session.thermal ?? null") is None
    release_all(page)
    page.wait_for_selector("#legend:has-text('thermal mean of 8 snapshots')")


def test_a_measured_spectrum_that_is_removed_while_it_is_read_stays_away(page):
    show(page, "ag12_sch3_hcoo")
    page.set_input_files("#measured-file", MEASURED)
    page.wait_for_selector("#measured dl")
    hold(page, "v1/spectrum")
    page.click("#measured summary")
    page.fill("#measured-path", "2")
    page.press("#measured-path", "Tab")
    wait_for_held(page, 1)
    page.fill("#measured-path", "3")
    page.press("#measured-path", "Tab")
    wait_for_held(page, 2)
    page.click("#measured button:text('Remove')")
    release(page, 1, 0)
    assert known(page, "[session.measured ?? null, session.comparison ?? null, state.measured]") == [None, None, None]
    assert "sample.csv" not in page.inner_text("#legend")


def test_what_is_no_number_or_no_range_is_said(page):
    show(page, "ag12_sch3_hcoo")
    page.set_input_files("#measured-file", MEASURED)
    page.wait_for_selector("#measured dl")
    page.click("#measured summary")
    page.fill("#measured-concentration", "1e-5 M")
    page.press("#measured-concentration", "Tab")
    page.wait_for_selector("#problem:has-text(\"'1e-5 M' is not a number\")")
    assert known(page, "state.measured.concentration ?? null") is None
    page.click("summary:text('Show')")
    page.fill("#range-from", "600")
    page.fill("#range-to", "400")
    page.press("#range-to", "Tab")
    assert known(page, "state.range") == [400, 600]
    page.fill("#range-to", "-3")
    page.press("#range-to", "Tab")
    page.wait_for_selector("#news:has-text('The axis runs between two different numbers above 0')")
    assert known(page, "state.range") == [400, 600]
    page.click("#tab-chirality")
    page.fill("#band-0", "")
    page.press("#band-0", "Enter")
    page.wait_for_selector("#news:has-text('The band runs between two different numbers above 0')")
    assert known(page, "state.band") is None


def test_the_readout_names_curves_and_ends_where_they_end(page):
    show(page, "ag12_sch3_hcoo")
    page.set_input_files("#measured-file", MEASURED)
    page.wait_for_selector("#measured dl")
    page.uncheck("#measured label:has-text('Draw the computed curves shifted') input")
    page.check("#axis-ev", force=True)
    page.evaluate(
        """import("./js/store.js").then(({ change, emit }) => { change({ range: [2, 9] }); emit("spectra"); })"""
    )
    box = page.locator("#plot").bounding_box()
    left, right = box["x"] + 46, box["x"] + box["width"] - 20
    page.mouse.move(left + 1 * (right - left) / 7, box["y"] + 100)
    place, network, measured = page.inner_text("#readout").split("\n")
    assert place == "413 nm, 3.00 eV"
    assert network.startswith("network:")
    assert measured.startswith("sample.csv:  ε 58")  # as measured, however high it is drawn
    page.mouse.move(right - 3, box["y"] + 100)
    _, network, measured = page.inner_text("#readout").split("\n")
    assert "ε –,  Δε –" in network
    assert "ε –,  Δε –" in measured


def test_measured_curves_are_scaled_where_both_are_known(page):
    """Beyond 4.13 eV, where nothing was measured, the computed absorption is higher."""
    show(page, "ag12_sch3_hcoo")
    page.set_input_files("#measured-file", MEASURED)
    page.wait_for_selector("#measured dl")
    factor, ours = page.evaluate("""Promise.all([import("./js/curves.js"), import("./js/store.js")]).then(
        ([{ curves, THEMES }, { session, show }]) => {
          show({ shift: false });
          const { energy_ev: energies, epsilon } = session.prediction.spectrum;
          const ends = [Math.min(...session.measured.energy_ev), Math.max(...session.measured.energy_ev)];
          const within = epsilon.filter((_, k) => energies[k] >= ends[0] && energies[k] <= ends[1]);
          const { factors } = curves(THEMES.light).find(({ name }) => name === "measured");
          return [factors.epsilon, Math.max(...within)];
        })""")
    assert factor == pytest.approx(ours / 700, rel=1e-6)


def test_the_curve_without_distortions_is_that_of_the_charge_and_shift_that_count(page):
    show(page, "ag12_sch3_hcoo")
    page.set_input_files("#measured-file", MEASURED)
    page.wait_for_selector("#measured dl")
    slide(page, "breathing", 2)
    wait_for(lambda: known(page, "session.comparison?.network?.shift_ev"))
    shown = """import("./js/curves.js").then(({ curves, THEMES }) => Object.fromEntries(
        curves(THEMES.light).map(({ name, shift }) => [name, shift])))"""
    shifts = page.evaluate(shown)
    assert shifts["rest"] == shifts["network"] != 0
    page.evaluate("""import("./js/store.js").then(({ change }) => change({ charge: 1 }))""")
    assert "rest" not in page.evaluate(shown)


@pytest.mark.parametrize(
    ("encoding", "prefix"), [("utf-8", b""), ("utf-8-sig", b""), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff"),
                             ("utf-16-le", b""), ("utf-16-be", b""), ("latin-1", b"")],
)  # fmt: skip
def test_files_are_read_in_the_encoding_of_their_instrument(page, encoding, prefix):
    text = "TITLE\tÄg 25 °C\nXUNITS\tµm\n"
    read = """(bytes) => import("./js/files.js").then(({ textOf }) => textOf(new Blob([new Uint8Array(bytes)])))"""
    text = text.replace("Ä", "A") if not prefix else text  # without a mark only plain beginnings are told
    assert page.evaluate(read, list(prefix + text.encode(encoding))) == text


def test_the_engine_waits_until_a_slider_is_released_and_its_job_is_found_again(page, server):
    """The stream of events breaks off at once the first time."""
    bodies, streams = requests_to(page, "/v1/label"), []

    def break_off(route):
        streams.append(route.request.url)
        route.fulfill(status=200, body="") if len(streams) == 1 else route.continue_()

    page.set_input_files("#file", ring_of("Se", server, "held.xyz"))
    page.wait_for_selector("#legend:has-text('engine')")
    page.route("**/events", break_off)
    before = len(bodies)
    drag(page, "breathing")
    page.wait_for_selector(".worth.live")
    page.wait_for_selector(".worth.live", state="detached")  # it is held, and the prediction there
    page.wait_for_timeout(300)
    assert len(bodies) == before
    page.mouse.up()
    page.wait_for_selector("#legend:has-text('engine')")
    assert len(bodies) == before + 1
    assert len(streams) >= 1
    assert page.is_hidden("#problem")


def test_without_a_curve_there_is_no_picture_to_save(page, server):
    def object_to(route):
        said = (answer := route.fetch()).json()
        if "engine" in said:
            said["engine"] |= {"objection": "it would take about 3 h and 5.0 GB"}
        route.fulfill(response=answer, json=said)

    page.route("**/v1/distort", object_to)
    page.set_input_files("#file", ring_of("Se", server, "unseen.xyz"))
    page.wait_for_selector("#no-spectrum:not([hidden])")
    for kind in ("SVG", "PNG"):
        page.click("summary:text('Download')")
        page.click(f"#downloads button:text('Picture as {kind}')")
        page.wait_for_selector("#problem:has-text('there is no spectrum to write yet')")
        page.click("#problem button")

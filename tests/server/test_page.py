"""The page in a real browser against a real server, as a reader uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from clusterml.server.app import page_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECONDS = 60
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium: that of the system, or playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as driver:
        try:
            running = driver.chromium.launch(executable_path=path, args=[*QUIET])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, server: Any) -> Iterator[Page]:
    """The page in a window of its own; it asks no other host, and no fault of it reaches the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    opened, faults, hosts = context.new_page(), [], set()
    opened.set_default_timeout(1000 * SECONDS)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: message.type == "error" and faults.append(message.text))
    opened.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    opened.goto(server.url)
    opened.wait_for_selector("html[data-ready]")
    yield opened
    context.close()
    refused = [words for words in faults if "the server responded with a status of 4" not in words]
    assert refused == []
    assert hosts - {""} == {urlsplit(server.url).netloc}


def show(page: Page, name: str) -> None:
    """Choose a structure that travels with the program, and wait for its spectrum."""
    page.select_option("#shipped", name)
    page.wait_for_selector("#worth .worth")


def cd(page: Page) -> list[float]:
    """The CD that is shown."""
    values: list[float] = page.evaluate("""import("./js/store.js").then(
        ({ session }) => session.prediction.spectrum.delta_epsilon)""")
    return values


def slide(page: Page, mode: str, amount: float) -> None:
    """Move a slider, and wait until the whole prediction is there."""
    page.locator(f"#mode-{mode}").fill(str(amount))
    page.wait_for_selector(".worth.live")
    page.wait_for_selector(".worth.live", state="detached")


def test_files_of_the_page_load_nothing_from_elsewhere():
    files = [path for path in page_folder().rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
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


def test_a_file_that_cannot_be_read_says_why_and_what_is_shown_stays(page):
    show(page, "ag12_sch3_hcoo")
    title = page.inner_text("#title")
    page.click("#other")
    page.set_input_files("#file", {"name": "bad.xyz", "mimeType": "text/plain", "buffer": b"hello"})
    page.wait_for_selector("#problem:not([hidden])")
    words = page.inner_text("#problem")
    assert "Bad.xyz: line 1 should be the number of atoms" in words
    assert "An xyz file has the number of atoms, a comment line" in words
    assert page.inner_text("#title") == title


def test_a_slider_turns_the_cd_of_an_achiral_cluster_around(page):
    show(page, "ag70_td_cl4")
    assert "no CD" in page.inner_text("#worth")
    slide(page, "trigon-rotation", 4)
    right = cd(page)
    assert max(map(abs, right)) > 1.0
    slide(page, "trigon-rotation", -4)
    assert cd(page) == pytest.approx([-value for value in right], abs=1e-3 * max(map(abs, right)))

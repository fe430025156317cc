"""The picture of the server's page in the documentation: docs/images/page.png, of at most 80 kB.

python scripts/make_page_picture.py        needs playwright and Chromium
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench_server import server
from make_figures import with_few_colours

TARGET = Path(__file__).resolve().parents[1] / "docs" / "images" / "page.png"
SIZE = {"width": 1240, "height": 900}
MOST_BYTES = 80_000


def main() -> None:
    with server() as (url, _), sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": SIZE["width"], "height": SIZE["height"]}, color_scheme="light")
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        arrange(page)
        shot = page.screenshot()
        browser.close()
    for colours in (256, 128, 96, 64, 48):
        content = with_few_colours(shot, colours)
        if len(content) <= MOST_BYTES:
            break
    else:
        sys.exit(f"{len(content) / 1000:.0f} kB with {colours} colours: more than {MOST_BYTES / 1000:.0f}")
    TARGET.write_bytes(content)
    print(f"{TARGET}: {len(content) / 1000:.0f} kB, {colours} colours")


def arrange(page: Page) -> None:
    """Ag25, whose motifs are twisted: both hands of it, its CD by the engine and that of its mirror image."""
    page.select_option("#shipped", "ag25_sch3")
    page.wait_for_selector("#worth .worth")
    page.locator("#mode-motif-twist").fill("3")
    page.wait_for_selector(".worth.live")
    page.wait_for_selector(".worth.live", state="detached")
    page.wait_for_selector("#legend:has-text('engine')")
    page.click("summary:text('Show')")
    page.check("[data-show=mirror]")
    page.click("#spectra-title")
    page.check("#hands")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    main()

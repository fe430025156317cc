"""A real server in a process of its own on a free port, and small structures to send."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from ase import Atoms
from ase.cluster import Icosahedron

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECONDS = 60
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
NEEDED = ("fastapi", "uvicorn", "multipart", "prometheus_client", "httpx")
"""What the tests of a running server are skipped without."""
RING = {"build": {"name": "ag3", "thiolate": "SH"}}
"""A model of nine atoms, as the API takes it."""
PAIR = "2\ncharge=0\nAg 0 0 0\nCl 0 0 2.3\n"
"""A molecule of two atoms as an xyz file, which the engine labels in a second."""

GAPLESS = Atoms(Icosahedron("Ag", 2), info={"charge": 1})
"""Thirteen silver atoms with twelve electrons: four of them in a level for ten."""


class Server:
    """``clusterml serve`` with ``options``, working in ``folder``."""

    def __init__(self, folder: Path, *options: str, token: str | None = None) -> None:
        for name in NEEDED:
            pytest.importorskip(name, reason="needs clusterml[server] and httpx")
        import httpx

        environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({} if token is None else {"CLUSTERML_TOKEN": token})
        command = [sys.executable, "-m", "clusterml", "serve", "--port", "0", "--device", "cpu", *options]
        self.log = folder / "server.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
        self.url, self.token = self._address(), token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=120.0)

    def _address(self) -> str:
        return wait_for(lambda: (match := re.search(r"http://\S+", self.log.read_text())) and match[0], self)

    def kill(self) -> None:
        """As the kernel does it where memory runs out."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.http.close()

    def close(self) -> None:
        """As a user ends it."""
        self.process.terminate()
        self.process.wait(30)
        self.http.close()


def wait_for(state: Callable[[], object], server: Server | None = None, seconds: float = 120.0):
    """What ``state`` gives once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := state():
            return value
        if server is not None and server.process.poll() is not None:
            pytest.fail(server.log.read_text())
        time.sleep(0.05)
    pytest.fail(f"not within {seconds} s" if server is None else server.log.read_text())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is open to this computer."""
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


@pytest.fixture(scope="session")
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


def slide(page: Page, mode: str, amount: float) -> None:
    """Move a slider, and wait until the whole prediction is there."""
    page.locator(f"#mode-{mode}").fill(str(amount))
    page.wait_for_selector(".worth.live")
    page.wait_for_selector(".worth.live", state="detached")


def drag(page: Page, mode: str) -> None:
    """Drag the slider of a mode to the right, and do not let go."""
    box = page.locator(f"#mode-{mode}").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], middle, steps=4)


def ring_of(donor: str, server: Server, name: str = "ring.xyz") -> dict[str, Any]:
    """A file of a ring of three silver atoms and three hydrogens with a ``donor``; with sulfur, networks know it."""
    text = server.http.post("/v1/inspect", json={"build": {"name": "ag3", "thiolate": "SH"}}).json()["geometry"]["xyz"]
    return {"name": name, "mimeType": "text/plain", "buffer": with_donor(donor, text)}


def with_donor(donor: str, text: str) -> bytes:
    """The extended xyz ``text`` with a ``donor`` in the place of each sulfur."""
    return re.sub(r"^S\b", donor, text, flags=re.MULTILINE).encode()

"""Load on a server: many clients at a time, and whether it answers all of them, how fast, and with how much memory.

    python scripts/bench_server.py                        50 clients for two minutes on a server of its own
    python scripts/bench_server.py --clients 10 --seconds 30
    python scripts/bench_server.py --frames               how many frames a second a program that follows a slider gets
    python scripts/bench_server.py --page                 the same for the page in headless Chromium (needs playwright)

Each client asks in turn for a prediction (of 9, 93 and 115 atoms), a distorted structure and what a file holds.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from clusterml import Client
from clusterml.errors import ClusterMLError
from clusterml.run.resources import available_cores

ASKS: dict[str, Callable[[Client, float], object]] = {
    "predict 9 atoms": lambda client, x: client.predict({"build": {"name": "ag3", "thiolate": "SH"}}),
    "predict 93 atoms": lambda client, x: client.predict({"shipped": "ag29_bdt_ph3_R"}),
    "predict 115 atoms": lambda client, x: client.predict({"shipped": "ag25_sch3"}),
    "distort 115 atoms": lambda client, x: client.distort({"shipped": "ag25_sch3"}, {"motif-twist": x}, quick=True),
    "inspect 93 atoms": lambda client, x: client.inspect({"shipped": "ag29_bdt_ph3_R"}),
}


@contextmanager
def server() -> Iterator[tuple[str, psutil.Process]]:
    """A server of its own: address and process."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "clusterml", "serve", "--port", "0", "--jobs-folder", f"{folder}/jobs"]
        with open(log, "w") as stream:
            process = subprocess.Popen(command, stderr=stream, stdout=stream)
        try:
            yield _address(log, process), psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()
            errors = log.read_text().splitlines()[1:]
            print("\n".join(errors) if errors else "the server's log is empty")


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    while process.poll() is None:
        if match := re.search(r"http://\S+", log.read_text()):
            try:
                if Client(match[0]).health()["ready"]:
                    return match[0]
            except ClusterMLError:
                pass
        time.sleep(0.2)
    raise SystemExit(log.read_text())


def load(url: str, process: psutil.Process, clients: int, seconds: float) -> None:
    """Print times of answers by kind, errors, and memory as it goes."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    errors: list[str] = []
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        client, rng = Client(url), random.Random(number)
        while time.monotonic() < end:
            name = rng.choice(list(ASKS))
            begin = time.perf_counter()
            try:
                ASKS[name](client, round(rng.uniform(-3.0, 3.0), 3))
                times[name].append(time.perf_counter() - begin)
            except ClusterMLError as error:
                errors.append(f"{name}: {error}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    memory = []
    while any(thread.is_alive() for thread in threads):
        memory.append(process.memory_info().rss / 1e6)
        time.sleep(2.0)
    print("| asked for | answers | median / s | 95 % / s | longest / s |\n|---|---|---|---|---|")
    for name, values in sorted(times.items()):
        ordered = sorted(values)
        middle, most = ordered[len(ordered) // 2], ordered[int(0.95 * (len(ordered) - 1))]
        print(f"| {name} | {len(values)} | {middle:.2f} | {most:.2f} | {ordered[-1]:.2f} |")
    total = sum(map(len, times.values()))
    print(f"{clients} clients, {seconds:g} s: {total} answers, {total / seconds:.1f} a second, {len(errors)} errors")
    print("memory / MB after each tenth:", " ".join(f"{value:.0f}" for value in memory[:: max(1, len(memory) // 10)]))
    print("\n".join(errors[:5]))


def frames(url: str, process: psutil.Process, count: int = 60) -> None:
    """Print the frames a second that one slider gets, with one network and with all, and the server's CPU time."""
    client = Client(url)
    parent = client.distort({"shipped": "ag25_sch3"}, {})["parent"]
    for quick, networks in ((True, "one network"), (False, "all networks")):
        begin, before = time.perf_counter(), process.cpu_times()
        for number in range(count):
            client.distort({"parent": parent}, {"motif-twist": 0.1 * number - 3.0, "breathing": 0.5}, quick=quick)
        rate, after = count / (time.perf_counter() - begin), process.cpu_times()
        cpu = 1000.0 * (after.user + after.system - before.user - before.system) / count
        print(f"115 atoms, two modes, {networks}: {rate:.1f} frames a second, {cpu:.0f} ms of a core each")


def frames_of_page(url: str, process: psutil.Process, seconds: float = 10.0) -> None:
    """Print the frames a second that a slider of the page gets while it swings, and the server's CPU time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        path = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(url)
        page.wait_for_selector("html[data-ready]")
        page.select_option("#shipped", "ag25_sch3")
        page.wait_for_selector("#worth .worth")
        page.evaluate(
            """import("./js/store.js").then(({ on }) => { window.drawn = 0; on("geometry", () => window.drawn++); })"""
        )
        page.click(".mode[data-mode=motif-twist] button")
        page.wait_for_timeout(1000)
        first, before = page.evaluate("window.drawn"), process.cpu_times()
        page.wait_for_timeout(1000 * seconds)
        count, after = page.evaluate("window.drawn") - first, process.cpu_times()
        browser.close()
    cpu = 1000.0 * (after.user + after.system - before.user - before.system) / count
    print(f"115 atoms in the page: {count / seconds:.1f} frames a second, {cpu:.0f} ms of a core of the server each")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--frames", action="store_true")
    parser.add_argument("--page", action="store_true")
    options = parser.parse_args()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"{platform.processor() or platform.machine()}, {available_cores()} cores, {threads} threads;", end=" ")
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with server() as (url, process):
        if options.frames:
            frames(url, process)
        elif options.page:
            frames_of_page(url, process)
        else:
            load(url, process, options.clients, options.seconds)


if __name__ == "__main__":
    main()

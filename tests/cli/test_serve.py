"""``clusterml serve`` where it cannot begin; a server that runs is in tests/server."""

from __future__ import annotations

import sys


def test_without_the_extra_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "clusterml.server.run", raising=False)
    done = run("serve")
    assert done.code == 2
    assert done.err == "error: serve needs FastAPI and uvicorn (pip install 'clusterml[server]')\n"


def test_other_computers_need_a_token(run, monkeypatch):
    monkeypatch.delenv("CLUSTERML_TOKEN", raising=False)
    done = run("serve", "--host", "0.0.0.0")
    assert done.code == 2
    assert "there is no token" in done.err
    assert "--port is 99999" in run("serve", "--port", "99999").err
    assert "--most-atoms is 0 (give a number above 0)" in run("serve", "--most-atoms", "0").err

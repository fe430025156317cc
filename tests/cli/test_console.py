"""What reaches a terminal: no escape sequence of anybody's but ours, and text that is shown as it is."""

from __future__ import annotations

import hashlib
import io
import json
import sys

import pytest
import typer

from clusterml.cli.console import PrintableStream, error_console, printable_output, table_console
from clusterml.errors import counted, printable
from clusterml.io.json import json_text

EVIL = "\x1b[2J\x1b]0;owned\x07ag25\x1b[31m[red]x[/red]\x9b5A\u202egpj.x\rhidden"
SHOWN = "ag25[red]x[/red]gpj.x\nhidden"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A function that puts a terminal in place of both streams, and returns it."""
    monkeypatch.setenv("TERM", "xterm-256color")

    def install():
        stream = Terminal()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return install


def test_all_that_is_printed_is_printable(terminal):
    stream = terminal()
    with printable_output():
        print(EVIL)
        typer.echo(EVIL)
        typer.echo(EVIL, err=True)
        sys.stderr.writelines([EVIL, "\n"])
        assert sys.stdout.isatty()
    assert stream.getvalue() == f"{SHOWN}\n" * 4
    assert sys.stdout is stream


def test_tables_and_bars_keep_their_own_sequences_only(terminal):
    from rich.progress import Progress, TextColumn
    from rich.table import Table

    stream = terminal()
    with printable_output():
        table = Table("name", title=EVIL)
        table.add_row(EVIL, style="bold")
        table_console().print(table)
        shown = stream.getvalue()
        with Progress(TextColumn("{task.description}", markup=False), console=error_console()) as bar:
            bar.add_task(EVIL)
    assert "\x1b[1m" in shown  # rich's bold
    assert "[red]x[/red]" in shown
    bars = stream.getvalue().removeprefix(shown)
    assert "\x1b[?25l" in bars  # rich hides the cursor
    for text in (shown, bars):
        assert [evil for evil in ("\x1b[2J", "\x1b]0", "\x1b[31m", "\x9b", "\u202e", "\x07") if evil in text] == []


def test_the_bytes_below_are_out_of_reach():
    stream = PrintableStream(io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace"))
    assert not hasattr(stream, "buffer")
    assert stream.encoding == "ascii"


def test_json_holds_control_characters_as_escapes_that_come_back():
    text = json_text({"name": EVIL})
    assert printable(text) == text
    assert json.loads(text)["name"] == EVIL


def test_a_card_a_file_name_and_a_usage_error_are_printable(run, tmp_path):
    from safetensors.torch import save
    from torch import zeros

    folder = tmp_path / "net"
    folder.mkdir()
    weights = save({"a": zeros(2)})
    (folder / "model.safetensors").write_bytes(weights)
    member = {"file": "model.safetensors", "sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}
    spec = {"schema_version": 2, "program": "clusterml", "version": "1", "network": {}, "members": [member]}
    (folder / "spec.json").write_text(json.dumps(spec))
    (folder / "card.md").write_text(f"# {EVIL}\n")
    card = run("models", folder)
    assert card.out.startswith(f"# {SHOWN}")
    for words in (("inspect", f"{EVIL}.xyz"), (EVIL,), ("inspect", "x.xyz", f"--{EVIL}")):
        done = run(*words)
        assert done.code in (1, 2)
        assert "\x1b" not in done.err + done.out
        assert "\u202e" not in done.err + done.out


def test_things_are_counted_with_a_plural():
    assert [counted(n, "atom") for n in (0, 1, 2)] == ["0 atoms", "1 atom", "2 atoms"]

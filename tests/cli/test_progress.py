"""Progress where stderr is no terminal: lines with the time, a log, a reminder, and what Ctrl-C says."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from clusterml.batch.inputs import expand
from clusterml.batch.structures import Count, read_structures
from clusterml.cli import progress
from clusterml.cli.progress import LOG_NAME, reporter
from clusterml.run.progress import State
from clusterml.structure.options import ReadOptions
from helpers import Heard


@pytest.mark.parametrize(
    ("state", "seconds", "before", "line"),
    [
        (State("jobs"), 9.0, 0, "jobs"),
        (State("jobs", 0, 4, "nothing yet"), 9.0, 0, "jobs: 0 of 4; nothing yet"),
        (State("jobs", 3, None, "3 done"), 6.0, 0, "jobs: 3; 3 done"),
        (State("jobs", 3, 9), 6.0, 0, "jobs: 3 of 9; 30/min, 12 s left"),
        (State("jobs", 5, 9), 6.0, 2, "jobs: 5 of 9; 30/min, 8 s left"),
        (State("jobs", 2, 9), 6.0, 2, "jobs: 2 of 9"),
        (State("jobs", 1, 301), 36.0, 0, "jobs: 1 of 301; 1.67/min, 3 h 00 min left"),
        (State("jobs", 3, 9, "", (1.0, 40.0)), 6.0, 0, "jobs: 3 of 9; 30/min, 4 min left"),
        (State("jobs", 9, 9, "all"), 4.5, 0, "jobs: 9 of 9; all"),
    ],
)
def test_a_state_is_one_line(state, seconds, before, line):
    assert state.line(seconds, before) == line


def test_lines_come_at_the_start_and_in_intervals(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(State, "_pace", lambda *_: "")
    folder = tmp_path / "out"
    with reporter(folder / LOG_NAME) as shown:
        shown.show(State("first", 0, 9))
        shown.show(State("first", 1, 9))  # too soon for another line
        assert not folder.exists()
        folder.mkdir()
        shown.show(State("second", 2, 9))
        shown.say("warning: thin ice")
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        shown.show(State("second", 3, 9))
        monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.0)
        shown.remind()
    lines = ["first: 0 of 9", "second: 2 of 9", "warning: thin ice", "second: 3 of 9", "second: 3 of 9; still working"]
    err = capsys.readouterr().err.splitlines()
    assert [line if line.startswith("warning") else line[20:] for line in err] == lines
    log = (folder / "clusterml.log").read_text().splitlines()
    assert [line[20:] for line in log] == lines
    assert all(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S") for line in log)


def test_the_log_says_how_far_it_came_in_the_end(tmp_path, capsys):
    with reporter(tmp_path / LOG_NAME) as shown:
        for done in range(10):
            shown.show(State("labels", done, 9))
    with reporter(tmp_path / LOG_NAME) as shown:
        shown.show(State("files", 0, 2))
        shown.show(State("files", 2, 2))
        shown.log("files: 1 done, 1 failed")
    lines = ["labels: 0 of 9", "labels: 9 of 9", "files: 0 of 2", "files: 1 done, 1 failed"]
    assert [line[20:] for line in capsys.readouterr().err.splitlines()] == lines
    assert [line[20:] for line in (tmp_path / LOG_NAME).read_text().splitlines()] == lines


def test_silence_is_broken(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_OF_SILENCE", 0.01)
    with reporter() as shown:
        shown.show(State("a long step"))
        deadline = time.monotonic() + 30.0
        while "still working" not in (tail := capsys.readouterr().err) and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "a long step; still working" in tail


def test_an_interruption_says_what_is_kept(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt), reporter(tmp_path / LOG_NAME, kept="all is well; go on with --resume"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "interrupted: all is well; go on with --resume\n"
    assert (tmp_path / "clusterml.log").read_text()[20:] == "interrupted: all is well; go on with --resume\n"


def test_other_processes_are_quiet(tmp_path, capsys):
    with reporter(tmp_path / LOG_NAME, quiet=True) as shown:
        shown.show(State("batches", 1, 2))
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_the_log_does_not_follow_a_link(tmp_path):
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "clusterml.log").symlink_to(tmp_path / "precious")
    with reporter(tmp_path / LOG_NAME) as shown:
        shown.log("a line")
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_terminal_gets_a_bar(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with reporter(tmp_path / LOG_NAME) as shown:
        shown.show(State("jobs", 1, 4, "one rejected"))
        shown.say("warning: [bold]thin ice")
    text = terminal.getvalue()
    assert "1/4" in text
    assert "one rejected" in text
    assert "warning: [bold]thin ice\n" in text.replace("\r", "")
    assert len(Path(tmp_path, "clusterml.log").read_text().splitlines()) == 2


ON = "go on with the same command and --resume"


@pytest.mark.parametrize(
    ("target", "words", "message"),
    [
        ("dataset.runner.generate", ("dataset", "generate", "c.yaml", "-o", "d"), f"records are in d; {ON}"),
        ("screening.run.screen", ("screen", "shipped:configs/screen/small.yaml", "-o", "s"), f"s; {ON}"),
        ("training.run.train", ("train", "run.yaml", "-o", "t"), f"the last checkpoint is in t; {ON}"),
        ("engine.relax.relax", ("relax", "agh.xyz"), ".checkpoint.json; the same command goes on from it"),
        (
            "batch.predict.predict_files",
            ("predict", "agh.xyz", "-o", "p"),
            "are in p; go on with the same command and --resume",
        ),
    ],
)
def test_every_verb_says_what_ctrl_c_leaves(run, xyz, monkeypatch, target, words, message):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"clusterml.{target}", interrupted)
    monkeypatch.setattr("clusterml.training.config.load_config", lambda *_: None)
    xyz("agh")
    done = run(*words)
    assert done.code == 130
    (line,) = done.err.splitlines()
    assert line.startswith("interrupted: ")
    assert line.endswith(message)


def test_the_work_ahead_grows_with_the_square_of_the_size(tmp_path):
    for name, count in (("a", 5), ("b", 10), ("c", 40)):
        rows = "".join(f"Ag {2.9 * k:9.4f} 0.0 0.0\n" for k in range(count))
        (tmp_path / f"{name}.xyz").write_text(f"{count}\n\n{rows}")
    (tmp_path / "bb.xyz").write_text("nonsense\n")
    inputs, kept = expand([tmp_path])[0], Heard()
    count = Count("label", inputs, kept)
    for _ in read_structures(inputs, ReadOptions(), count):
        count.finish()
    assert [(state.done, state.total) for state in kept.states] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [state.work[0] for state in kept.states] == [25.0, 125.0, 125.0, 1725.0]
    assert kept.states[0].work[1] == pytest.approx(1700.0, rel=0.1)  # b and c, by the sizes of their files
    assert kept.states[2].work[1] == pytest.approx(1600.0, rel=0.1)
    assert kept.states[3].work[1] == 0.0


def test_the_end_is_estimated_by_the_work_and_not_by_the_number_of_files():
    assert State("label", 1, 2, work=(25.0, 1600.0)).line(10.0).endswith("; 6/min, 11 min left")
    assert State("label", 1, 2).line(10.0).endswith("; 6/min, 10 s left")


def test_words_are_told_with_how_far_the_work_is(tmp_path):
    kept = Heard()
    count = Count("label", expand([tmp_path / "a.xyz", tmp_path / "b.xyz"])[0], kept)
    count.read(3, further=False)
    count.note("a: 3 atoms")
    count.finish()
    assert [state.line() for state in kept.states] == ["label: 0 of 2; a: 3 atoms", "label: 1 of 2"]

from __future__ import annotations

import io
import os

import pytest

from clusterml.errors import ClusterMLError, InputFileError, OutputError, printable
from clusterml.io.files import (
    make_folder,
    read_bounded,
    read_stream,
    read_text,
    sha256,
    sha256_of_file,
    write_text,
)


def test_a_file_is_read_up_to_its_bound(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(InputFileError, match=r"a\.txt is larger than 4 bytes"):
        read_bounded(path, 4)
    assert read_stream(io.BytesIO(b"12345"), 5, "standard input") == b"12345"
    with open("/dev/zero", "rb") as endless, pytest.raises(InputFileError, match="standard input is larger than 1 MiB"):
        read_stream(endless, 1024**2, "standard input")


def test_a_checksum_is_that_of_the_bytes_within_the_bound(tmp_path):
    path, known = tmp_path / "a.txt", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    path.write_text("abc")
    assert sha256("abc") == sha256(b"abc") == sha256_of_file(path, 3) == known
    with pytest.raises(InputFileError, match="larger than 2 bytes"):
        sha256_of_file(path, 2)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(InputFileError, match="symbolic link"):
        sha256_of_file(tmp_path / "link", links=False)


def test_a_sparse_file_of_20_gb_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.txt"
    with path.open("wb") as handle:
        handle.truncate(20 * 10**9)
    with pytest.raises(InputFileError, match="larger than 64 MiB"):
        read_text(path)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path / "pipe", "a pipe"), ("/dev/zero", "a device"), (tmp_path, "a folder")):
        with pytest.raises(InputFileError, match=f"is {what}"):
            read_bounded(path)
    for name in ("gone", "nul\0byte"):
        with pytest.raises(InputFileError, match=r"there is no such file|cannot be read"):
            read_bounded(tmp_path / name)


def test_links_are_followed_only_where_they_may_be(tmp_path):
    (tmp_path / "a").write_text("text")
    (tmp_path / "link").symlink_to("a")
    assert read_bounded(tmp_path / "link") == b"text"
    with pytest.raises(InputFileError, match="symbolic link"):
        read_bounded(tmp_path / "link", links=False)


def test_writing_replaces_a_link_and_never_what_it_points_to(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "out.csv").symlink_to(tmp_path / "precious")
    write_text(tmp_path / "out.csv", "new")
    assert (tmp_path / "precious").read_text() == "precious"
    assert (tmp_path / "out.csv").read_text() == "new"
    assert not (tmp_path / "out.csv").is_symlink()
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    write_text(tmp_path / "gone.csv", "new")
    assert not (tmp_path / "nowhere").exists()


def test_no_file_takes_the_place_of_a_device_a_pipe_or_a_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/null")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "device", "folder", "..", "nul\0byte"):
        with pytest.raises(OutputError, match="cannot be written"):
            write_text(tmp_path / name, "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["device", "folder", "pipe"]


def test_the_folder_of_results_may_be_a_link_but_none_inside(tmp_path):
    (tmp_path / "scratch").mkdir()
    (tmp_path / "results").symlink_to("scratch")
    results = make_folder(tmp_path / "results")
    assert make_folder(results / "a" / "b", within=results).is_dir()
    (tmp_path / "elsewhere").mkdir()
    (results / "spectra").symlink_to(tmp_path / "elsewhere")
    for path in (results / "spectra", results / "spectra" / "deeper"):
        with pytest.raises(OutputError, match="spectra is a symbolic link"):
            make_folder(path, within=results)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, Ag₂₅ é µ\ttab\n", "plain, Ag₂₅ é µ\ttab\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "xlink"),
        ("\x1b]52;c;cm0gLXJm: is what follows still told?", "52;c;cm0gLXJm: is what follows still told?"),
        ("a\x1b[2K\x1b[1Ab\x1bc", "ab"),
        ("a\x9b31mb\x9dc", "abc"),
        ("\x1bP+q544e\x1b\\d", "d"),
        ("seen\rhidden\r\nnext", "seen\nhidden\nnext"),
        ("a\x00b\x07c\x08d\x7fe", "abcde"),
        ("cif\u202efdp.exe\u2066", "ciffdp.exe"),
    ],
)
def test_what_is_shown_holds_no_escape_sequences(text, shown):
    assert printable(text) == shown
    assert str(ClusterMLError(text)) == " ".join(shown.split())

"""Small structures as files, and the command run as a user runs it but within this process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from clusterml.cli.main import main

DATA = Path(__file__).resolve().parents[1] / "data" / "engine"


class Done(NamedTuple):
    """``err``: stderr without the lines of progress, which are ``progress`` without their times."""

    code: int
    out: str
    err: str
    progress: list[str]


STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
"""What a line of progress begins with where stderr is no terminal."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Done]:
    """Arguments -> exit code, stdout and stderr of ``clusterml`` in an empty folder, on one thread."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def command(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        code = end.value.code
        out, err = capsys.readouterr()
        lines = err.splitlines(keepends=True)
        progress = [STAMP.sub("", line).rstrip("\n") for line in lines if STAMP.match(line)]
        rest = "".join(line for line in lines if not STAMP.match(line))
        return Done(code if isinstance(code, int) else int(code is not None), out, rest, progress)

    return command


@pytest.fixture
def xyz(tmp_path: Path) -> Callable[..., Path]:
    """Name of a molecule (several names: frames) -> an xyz file with it in the test's folder."""

    def write(*names: str, to: str | None = None, comment: str | None = None) -> Path:
        text = ""
        for name in names:
            data = json.loads((DATA / f"{name}.json").read_text())
            symbols, positions = data["symbols"], np.array(data["xyz_angstrom"])
            rows = "".join(f"{s} {x:.8f} {y:.8f} {z:.8f}\n" for s, (x, y, z) in zip(symbols, positions, strict=True))
            text += f"{len(symbols)}\n{comment if comment is not None else 'charge=' + str(data['charge'])}\n{rows}"
        path = tmp_path / (to or f"{names[0]}.xyz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def cif(tmp_path: Path) -> Callable[[str], Path]:
    """Name of a molecule -> a P1 crystal of it in a box of 20 A, as CIF."""

    def write(name: str) -> Path:
        data = json.loads((DATA / f"{name}.json").read_text())
        positions = np.array(data["xyz_angstrom"])
        inside = (positions - positions.mean(axis=0)) / 20.0 + 0.5
        rows = "".join(
            f"{s}{i} {s} {x:.8f} {y:.8f} {z:.8f}\n"
            for i, (s, (x, y, z)) in enumerate(zip(data["symbols"], inside, strict=True), start=1)
        )
        lengths = "".join(f"_cell_length_{k} 20.0\n" for k in "abc")
        angles = "".join(f"_cell_angle_{k} 90\n" for k in ("alpha", "beta", "gamma"))
        columns = "".join(f"_atom_site_{k}\n" for k in ("label", "type_symbol", "fract_x", "fract_y", "fract_z"))
        path = tmp_path / f"{name}.cif"
        path.write_text(
            f"data_{name}\n{lengths}{angles}_space_group_name_H-M_alt 'P 1'\n"
            f"loop_\n_space_group_symop_operation_xyz\n'x,y,z'\nloop_\n{columns}{rows}"
        )
        return path

    return write

"""The table of docs/reference/security.md: every row names files of tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "reference" / "security.md").read_text().splitlines()
    if line.startswith("| ")
][1:]


def test_every_attack_has_an_answer_and_a_test():
    assert len(ROWS) > 20
    for attack, answer, tests in ROWS:
        named = re.findall(r"`(tests/[^`]+\.py)`", tests)
        assert attack
        assert answer
        assert named, attack
        for path in named:
            assert (ROOT / path).is_file(), path

"""The table in docs/architecture.md names every module, in the row where the order of imports has it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.meta.test_imports import ROWS

DOCUMENT = Path(__file__).parents[2] / "docs" / "architecture.md"


def test_the_table_of_modules_is_true():
    rows = re.findall(r"^\| (\d+) \| `(\w+)[./]\S*` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    documented = [frozenset(name for number, name in rows if int(number) == row) for row in range(1, len(ROWS) + 1)]
    assert documented == list(ROWS)
    assert [int(number) for number, _ in rows] == sorted(int(number) for number, _ in rows)


def test_the_picture_uses_names_of_files():
    text = DOCUMENT.read_text(encoding="utf-8")
    picture = text.split("```")[1]
    modules = {name for row in ROWS for name in row}
    assert set(re.findall(r"(\w+)\.pyx?\b", picture)) <= modules

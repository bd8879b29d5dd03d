"""Field 6509: each documented letter, and undocumented letters."""

from __future__ import annotations

import pytest

from cpapi_fast.protocol.availability import Availability


@pytest.mark.parametrize(
    ("letters", "word", "is_live", "has_data"),
    [
        ("RpB", "live", True, True),
        ("RB", "live", True, True),
        ("S", "live", True, True),
        ("DPB", "delayed", False, True),
        ("ZBd", "frozen", False, True),
        ("YB", "frozen delayed", False, True),
        ("N", "not subscribed", False, False),
        ("O", "not agreed", False, False),
        ("iB", "not agreed", False, False),
        ("v", "VDR exempt", False, True),
        ("Q1", "Q1", False, True),
        ("", "unknown", False, True),
    ],
)
def test_the_first_letter_decides(letters: str, word: str, is_live: bool, has_data: bool) -> None:
    parsed = Availability.parse(letters)
    assert (parsed.letters, parsed.word, parsed.is_live, parsed.has_data) == (letters, word, is_live, has_data)
    assert parsed.meaning

"""Redacted texts contain no session id and no account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.redaction import PREVIEW_LENGTH, preview, redact

SESSION = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f'{{"session":"{SESSION}"}}', SESSION),
        (SESSION.upper(), SESSION.upper()),
        (f"id {SESSION[:20]} cut", SESSION[:20]),
        ('{"session" : "short"}', "short"),
        ('{"session":"a\\"b,c"}', "b,c"),
        ('{"session":"cut off', "cut off"),
        ("session=abc; path=/", "abc"),
        ("sessionId: abc", "abc"),
        ('{"userId":123456789}', "123456789"),
        ('{"user":"somebody"}', "somebody"),
        ('{"MAC":"00:11:22:33:44:55"}', "00:11:22:33:44:55"),
        ("the account U1234567 is", "U1234567"),
        ("the account DU1234567 is", "DU1234567"),
        ('["DFI1234567"]', "DFI1234567"),
        ("pnl of DU1234567.Core", "DU1234567"),
        ("du1234567", "du1234567"),
        ("DU1234567C", "DU1234567"),
        ("5c1f3e0a-1234-4abc-8def-0123456789ab", "4abc"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2ln", "eyJzdWIiOiIxMjM0NTY3ODkwIn0"),
        ('{"topic":"ssd+F1234","result":[]}', "F1234"),
        ('sld+Joe.Smith+{"keys":[]}', "Joe.Smith"),
        ("<input name=token value=x>session:'a b'", "a b"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert secret not in preview(text.encode())


def test_known_secrets_are_redacted() -> None:
    assert redact("it is geheim here", ["geheim"]) == "it is [redacted] here"
    # One within the other, in either order.
    for secrets in (["geheim", "geheimer"], ["geheimer", "geheim"]):
        assert redact("geheimer geheim", secrets) == "[redacted] [redacted]"


def test_ordinary_words_stay() -> None:
    text = '{"error":"no bridge","code":500,"connected":false,"conid":265598,"31":"271.67","topic":"smd+265598"} spl+{}'
    assert redact(text, ["", "1", "no"]) == text


def test_a_preview_is_short_and_printable() -> None:
    assert preview(b"") == ""
    assert preview(b"a\r\n\tb\x00c  d\x1b[31m") == r"a b\x00c d\x1b[31m"
    assert preview(b"\xff\xfe") == "\ufffd\ufffd"
    assert preview(b"word " * 1000) == ("word " * 1000)[: PREVIEW_LENGTH - 1] + "…"
    assert preview(b"word " * 24).endswith("word")


def test_no_part_of_a_secret_remains_at_the_cut() -> None:
    for shift in range(60):
        text = "x " * ((PREVIEW_LENGTH - shift) // 2) + SESSION
        assert "0123" not in preview(text.encode())


@given(st.text(), st.text("0123456789abcdef", min_size=16, max_size=64), st.text())
def test_a_session_id_is_always_redacted(before: str, session: str, after: str) -> None:
    assert session not in redact(before + session + after)
    assert session not in preview((before + session + after).encode("utf-8", "replace"), [session])

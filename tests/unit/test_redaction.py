"""Redacted texts contain no session id and no account."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cpapi_fast import redaction
from cpapi_fast.redaction import PREVIEW_LENGTH, preview, printable, redact

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


# --- long bodies: only their start is read ---------------------------------------------------------------------------

#: Parts of bodies: secrets of every kind, what surrounds them, and text that is none.
PARTS = st.sampled_from(
    [
        SESSION,
        "U1234567",
        "DU7654321C",
        "5c1f3e0a-1234-4abc-8def-0123456789ab",
        "geheim mit Leerzeichen",
        "geheim",
        '"session":"',
        "'token': '",
        "user=",
        "account : ",
        "spl+",
        "ssd+Joe.Smith",
        'sld+Ünder+{"keys":[]}',
        '"',
        "'",
        "\\",
        '\\"',
        "\\u00e4",
        ",",
        "}",
        " ",
        "\n\t",
        "word ",
        "é",
        "\U0001f600",
        "\x1b[31m",
        "ab12",
        "=" * 9,
    ]
)
KNOWN = ("geheim mit Leerzeichen", "geheim", "Leerzeichen-ab12")


@pytest.fixture
def small_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of a few hundred characters are long ones."""
    monkeypatch.setattr(redaction, "_WINDOW_LENGTH", 16)
    monkeypatch.setattr(redaction, "_MAX_WINDOW_LENGTH", 256)


def preview_of_the_whole(body: bytes) -> str:
    """A preview that redacts the whole body before it cuts."""
    line = printable(" ".join(redact(body.decode("utf-8", "replace"), KNOWN)[: 4 * PREVIEW_LENGTH].split()))
    return line if len(line) <= PREVIEW_LENGTH else line[: PREVIEW_LENGTH - 1] + "…"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PARTS | st.text(max_size=5), max_size=120).map("".join))
def test_the_start_of_a_redacted_body_is_the_redacted_start(small_window: None, text: str) -> None:
    body = text.encode("utf-8", "replace")
    whole = redact(body.decode("utf-8", "replace"), KNOWN)
    start, is_whole = redaction._redacted_start(body, KNOWN)
    assert start == whole if is_whole else whole.startswith(start)
    shown, expected = preview(body, KNOWN), preview_of_the_whole(body)
    if is_whole or len(start) >= 4 * PREVIEW_LENGTH:
        assert shown == expected
    else:
        assert len(shown) <= PREVIEW_LENGTH
        assert expected.startswith(shown.removesuffix("…").rstrip()[:-1])
    # A text is cut in characters instead of bytes.
    assert redact(text, KNOWN).startswith(redaction._redacted_start(text, KNOWN)[0])


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"' + b"x" * 3_000_000 + b'"}',
        b'{"error":"' + b"word " * 600_000 + b'"}',
        b'{"session":"' + b"word " * 600_000 + b'"}',
        b"session" + b" " * 3_000_000,
        b"\xff" * 3_000_000,
        b"U1234567 " * 300_000,
        b"user=a " * 400_000,
    ],
    ids=lambda body: repr(body[:14]),
)
def test_the_work_for_a_preview_does_not_grow_with_the_body(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    redacted: list[int] = []

    def counting(text: str, secrets: tuple[str, ...] = ()) -> str:
        redacted.append(len(text))
        return redact(text, secrets)

    monkeypatch.setattr(redaction, "redact", counting)
    for source in (body, body.decode("utf-8", "replace")):
        redacted.clear()
        line = preview(source)
        assert len(line) <= PREVIEW_LENGTH
        assert line.endswith("…") or line == "session"
        assert sum(redacted) <= 2 * redaction._MAX_WINDOW_LENGTH
        assert max(redacted) <= redaction._MAX_WINDOW_LENGTH


def test_a_long_body_is_shown_up_to_its_long_secret() -> None:
    body = b'{"error":"no bridge","session":"' + b"word " * 600_000 + b'"}'
    assert preview(body) == '{"error":"no bridge","session":[redacted] …'
    assert preview(b"0123456789abcdef" * 100_000) == "…"

"""What `tail` shows: every text and every line as a pure function of a view, for terminals of any size."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from cpapi_fast.cli.screen import Line
from cpapi_fast.cli.tail import Row, View, lines, plain, quote_line, state_line, time_text
from cpapi_fast.cli.tail.text import state_word
from cpapi_fast.cli.tail.view import age_text, event_text, label, shown
from cpapi_fast.cli.tail_command import ChangeLog
from cpapi_fast.events import Backfill, Bar, Cause, FeedState, Gap, StateChange

S = FeedState
COLUMNS = ("last", "bid", "ask", "ask size", "bid size", "volume")


def row(name: str = "265598", **changes: Any) -> Row:
    return replace(
        Row(
            name=name,
            symbol="AAPL",
            values=("271.81", "271.80", "271.82", "500", "1,300", "12.2M"),
            fresh=(True, False, False, False, False, False),
            availability="live",
            age_s=0.4,
            state=S.STREAMING,
            is_in_gap=False,
            ticks=17,
            gaps=0,
        ),
        **changes,
    )


def view(*rows: Row, **changes: Any) -> View:
    return replace(
        View(
            where="https://localhost:5000/v1/api",
            state=S.STREAMING,
            state_age_s=75.0,
            cause=Cause.DATA,
            detail="",
            advice="nothing to do",
            next_try_s=None,
            frames=1234,
            frames_per_s=12.4,
            gaps=0,
            connections=1,
            columns=COLUMNS,
            rows=rows or (row(), row("8314", symbol="IBM")),
            events=("12:00:00 feed ready", "12:00:01 feed streaming: data"),
        ),
        **changes,
    )


def lost(**changes: Any) -> View:
    """A view 42 s after the connection was lost."""
    return view(
        row(state=S.DISCONNECTED, age_s=42.0, is_in_gap=True),
        state=S.DISCONNECTED,
        cause=Cause.CONNECTION_LOST,
        next_try_s=3.2,
        advice="nothing to do: it connects again by itself",
        **changes,
    )


def text_of(found: list[Line]) -> list[str]:
    return [plain(line) for line in found]


def style_of(found: list[Line], text: str) -> str:
    (style,) = {style for line in found for piece, style in line if text in piece}
    return style


# Texts


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (None, "never"),
        (-0.1, "0.0 s"),
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (99.4, "99 s"),
        (99.6, "2 min"),
        (3600.0, "60 min"),
        (5969.0, "99 min"),
        (5970.0, "2 h"),
        (90_000.0, "25 h"),
    ],
)
def test_ages(age_s: float | None, text: str) -> None:
    assert age_text(age_s) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("271.81", "271.81"),
        (0.56, "0.56"),
        ("\x1b[31mred\x07\r\n", r"\x1b[31mred\x07\r\n"),
        ("x" * 30, "x" * 23 + "…"),
        ("x" * 24, "x" * 24),
        ("", ""),
    ],
)
def test_values_are_fit_for_a_terminal(value: object, text: str) -> None:
    assert shown(value) == text


def test_heads_of_columns() -> None:
    assert [label(code) for code in ("31", "7059", "7295", "99999")] == ["last", "last size", "open", "99999"]


NS = 1_777_552_119_000_000_000


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (StateChange(NS, S.READY, S.OPEN, Cause.READY, "x"), "feed ready"),
        (StateChange(NS, S.OPEN, S.CONNECTING, Cause.SOCKET_OPENED, "x"), "feed open: socket opened"),
        (
            StateChange(NS, S.STALE, S.STREAMING, Cause.SUBSCRIPTION_SILENT, "x", "smd+1", "for 3 s"),
            "smd+1 stale: subscription silent: for 3 s",
        ),
        (
            Gap("smd+1", NS - 2_500_000_000, NS, Cause.CONNECTION_LOST),
            "gap in smd+1, 2.5 s: connection lost",
        ),
        (Gap(None, NS, None, Cause.STOPPED, 1200), "gap in all subscriptions, open end, 1,200 frames: stopped"),
        (
            Backfill(Gap("smd+1", 1, NS, Cause.RETRY), (Bar(1, 1.0, 1.0, 1.0, 1.0, 1.0),), "smh"),
            "history for the gap in smd+1: 1 bars from smh",
        ),
        (
            Backfill(Gap(None, 1, NS, Cause.RETRY), (), "rest", "no\x1b"),
            "history for the gap in all subscriptions: none (no\\x1b)",
        ),
    ],
)
def test_events_as_texts(event: Any, text: str) -> None:
    assert event_text(event, NS) == f"{time_text(NS)} {text}"
    assert re.fullmatch(r"\d\d:\d\d:\d\d", time_text(NS))


@pytest.mark.parametrize(
    ("state", "feed_state", "word"),
    [
        (S.STREAMING, S.STREAMING, "streaming"),
        (S.STALE, S.STREAMING, "stale"),
        (S.OPEN, S.STREAMING, "waiting"),
        (S.DISCONNECTED, S.READY, "not subscribed"),
        (S.DISCONNECTED, S.CONNECTING, "cut off"),
        (S.DISCONNECTED, S.LOGIN_REQUIRED, "cut off"),
    ],
)
def test_names_of_states(state: FeedState, feed_state: FeedState, word: str) -> None:
    assert state_word(row(state=state), feed_state) == word


# The table


def test_a_wide_terminal() -> None:
    found = lines(view(), 200, 40)
    assert text_of(found) == [
        "cpapi-fast tail  https://localhost:5000/v1/api",
        "STREAMING for 75 s  12 frames/s  1,234 frames  0 gaps  1 connection",
        "cause  data",
        "action nothing to do",
        "last   12:00:01 feed streaming: data",
        "",
        "conid   symbol    last     bid     ask  ask size  bid size  volume  6509      age  state      ticks  gaps",
        "265598  AAPL    271.81  271.80  271.82       500     1,300   12.2M  live  0.4 s    streaming     17     0",
        "8314    IBM     271.81  271.80  271.82       500     1,300   12.2M  live  0.4 s    streaming     17     0",
    ]
    assert style_of(found, "STREAMING") == "green"
    assert style_of(found, "271.81") == "bold", "what came just now"
    assert style_of(found, "271.80") == ""


def test_a_lost_connection_keeps_the_values_and_marks_their_age() -> None:
    found = lines(lost(), 200, 40)
    text = text_of(found)
    assert text[1].startswith("DISCONNECTED for 75 s")
    assert text[2] == "cause  connection lost, next attempt in 3.2 s"
    assert text[3] == "action nothing to do: it connects again by itself"
    assert text[7] == (
        "265598  AAPL    271.81  271.80  271.82       500     1,300   12.2M  live  42 s !  cut off     17     0"
    )
    assert style_of(found, "42 s") == style_of(found, "DISCONNECTED") == "bold red"
    assert style_of(found, "271.81") == "dim", "no longer fresh, whatever it was before"


def test_a_connection_attempt() -> None:
    text = text_of(lines(replace(lost(), next_try_s=None), 200, 40))
    assert text[2] == "cause  connection lost, trying now"


def test_details_come_after_the_next_attempt() -> None:
    found = lines(lost(detail="no route to host"), 200, 40)
    assert text_of(found)[2] == "cause  connection lost, next attempt in 3.2 s: no route to host"


def test_a_row_before_its_first_frame() -> None:
    empty = row(values=("",) * 6, fresh=(False,) * 6, symbol="", availability="", age_s=None, state=S.OPEN, ticks=0)
    assert text_of(lines(view(empty), 200, 40))[-1].split() == ["265598", "never", "!", "waiting", "0", "0"]


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (200, "conid symbol last bid ask ask size bid size volume 6509 age state ticks gaps"),
        (96, "conid symbol last bid ask ask size bid size volume 6509 age state"),
        (80, "conid symbol last bid ask ask size 6509 age state"),
        (60, "conid symbol last bid ask 6509 age"),
        (40, "conid last bid ask age"),
        (32, "conid last bid age"),
        (25, "conid last age"),
        (16, "conid age"),
        (8, "conid"),
    ],
)
def test_columns_that_do_not_fit_are_left_out(width: int, heads: str) -> None:
    assert " ".join(text_of(lines(view(), width, 40))[6].split()) == heads


@pytest.mark.parametrize("height", range(1, 30))
@pytest.mark.parametrize("width", [1, 2, 7, 20, 33, 80, 200])
def test_a_view_is_never_larger_than_the_terminal(width: int, height: int) -> None:
    rows = tuple(row(str(number), state=S.STALE if number % 2 else S.STREAMING) for number in range(12))
    for shown_view in (view(*rows), lost(), view(rows=())):
        found = lines(shown_view, width, height)
        assert 1 <= len(found) <= height
        assert all(sum(len(text) for text, _ in line) <= width for line in found)


def test_rows_that_do_not_fit_are_left_out_and_counted() -> None:
    rows = tuple(row(str(number)) for number in range(1, 51))
    text = text_of(lines(view(*rows), 80, 24))
    assert len(text) == 24
    assert text[-1] == "… and 34 more"
    assert text[-2].startswith("16 ")
    assert len(text_of(lines(view(*rows), 80, 57))) == 57
    assert text_of(lines(view(*rows), 80, 57))[-1].startswith("50 ")


def test_a_low_terminal_has_the_state_and_the_quotes() -> None:
    text = text_of(lines(lost(), 80, 5))
    assert text[0] == "DISCONNECTED for 75 s: connection lost, next attempt in 3.2 s"
    assert text[1].startswith("conid")
    assert text[2].startswith("265598")


def test_plain_ascii_where_the_terminal_has_nothing_else() -> None:
    """Everything but the ellipsis is ASCII anyway."""
    for shown_view in (lost(detail="x" * 300), view(*[row()] * 50)):
        everything = [text_of(lines(shown_view, 40, height, "...")) for height in (8, 20)]
        assert "".join("".join(text) for text in everything).isascii()
        assert any(line.endswith("...") for text in everything for line in text)
        with_one_character = "".join("".join(text_of(lines(shown_view, 40, height))) for height in (8, 20))
        assert "…" in with_one_character
        assert with_one_character.replace("…", "").isascii()


@pytest.mark.parametrize("width", range(4, 60))
def test_what_is_cut_ends_with_an_ellipsis(width: int) -> None:
    """And everything else is complete."""
    advice = "Log in to the gateway in a browser. The feed continues automatically."
    found = view(
        row("28812380;;;8314/1,8894/-1"), row("265598@OVERNIGHT"), state=S.LOGIN_REQUIRED, advice=advice,
        cause=Cause.NOT_LOGGED_IN, detail="Access Denied",
    )  # fmt: skip
    wide = {text for height in (24, 5) for text in text_of(lines(found, 500, height))}
    for height in (24, 5):
        for text in text_of(lines(found, width, height))[: 5 if height > 10 else 2]:
            assert text in wide or text.endswith("…"), text
            assert len(text) <= width


def test_a_low_terminal_has_what_a_person_has_to_do() -> None:
    for state, cause in ((S.LOGIN_REQUIRED, Cause.NOT_LOGGED_IN), (S.COMPETING, Cause.COMPETING)):
        text = text_of(lines(view(state=state, cause=cause, advice="Log in to the gateway."), 40, 5))
        assert text[1] == "action Log in to the gateway."
        assert text[2].startswith("conid")
        assert text[3].startswith("265598")
    text = text_of(lines(view(state=S.LOGIN_REQUIRED, cause=Cause.NOT_LOGGED_IN, advice="Log in."), 20, 5))
    assert text[:2] == ["LOGIN REQUIRED for …", "action Log in."]


def test_a_long_name_does_not_push_the_prices_out() -> None:
    rows = (row("28812380;;;8314/1,8894/-1"), row("8314"))
    for width, name in ((200, "28812380;;;8314/1,8894/-1"), (60, "28812380;;;8314/1,8…"), (40, "28812380;;;8…")):
        text = text_of(lines(view(*rows), width, 24))
        assert any(line.startswith(f"{name}  ") for line in text), text
        assert "271.81" in text[7], "the price"


def test_the_marks_of_a_last_price_are_shown() -> None:
    for last in ("C271.81", "H271.81"):
        shown_row = row(values=(last, "271.80", "271.82", "500", "1,300", "12.2M"))
        for width in (200, 40, 25):
            assert last in "".join(text_of(lines(view(shown_row), width, 24)))
        assert f"last={last}" in quote_line(shown_row, COLUMNS, S.STREAMING, "12:00:00")


# Lines where there is no terminal


def test_a_quote_as_a_line() -> None:
    assert quote_line(row(), COLUMNS, S.STREAMING, "12:00:00") == (
        "12:00:00 265598 AAPL last=271.81 bid=271.80 ask=271.82 ask_size=500 bid_size=1,300 volume=12.2M live age 0.4 s"
    )
    cut_off = row(values=("1",) + ("",) * 5, availability="", symbol="", state=S.DISCONNECTED, age_s=9.0)
    assert quote_line(cut_off, COLUMNS, S.DISCONNECTED, "12:00:00") == "12:00:00 265598 last=1 age 9.0 s cut off"


def test_the_state_as_a_line() -> None:
    assert state_line(lost()) == (
        "DISCONNECTED for 75 s: connection lost, next attempt in 3.2 s; nothing to do: it connects again by itself"
    )


def test_a_log_has_only_changes() -> None:
    log = ChangeLog()
    first = log.lines(view(), 2, "12:00:02")
    assert first[:2] == ["12:00:00 feed ready", "12:00:01 feed streaming: data"]
    assert [line.split()[1] for line in first[2:]] == ["265598", "8314"]
    assert log.lines(view(), 2, "12:00:03") == []
    ticked = log.lines(view(row(ticks=18), row("8314", symbol="IBM")), 2, "12:00:04")
    assert [line.split()[1] for line in ticked] == ["265598"]
    after = log.lines(lost(events=("a", "b", "c")), 3, "12:00:05")
    assert after[0] == "c"
    assert after[1].startswith("12:00:05 DISCONNECTED for 75 s: connection lost")
    assert log.lines(lost(), 3, "12:00:06")[:1] != after[1:2], "a state is reported once"
    other = log.lines(replace(lost(), cause=Cause.UNREACHABLE), 3, "12:00:07")
    assert other[0].startswith("12:00:07 DISCONNECTED for 75 s: unreachable"), "a new cause is reported"


def test_a_log_that_missed_events_has_those_that_are_kept() -> None:
    assert ChangeLog().lines(view(rows=(), events=("y", "z")), 500, "12:00:00") == ["y", "z"]

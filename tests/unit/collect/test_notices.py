"""Notices: data stops and why, once; data is back; a slow disk; and nothing in normal operation."""

from __future__ import annotations

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.collect.notices import Notices
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.run_events import DiskChange, FileChange, OutputFailure, OutputGap, RecordedEvent
from tests.support.hostile import HOSTILE_TEXTS, assert_harmless


def change(state: str, cause: str, subscription: str | None = None, detail: str = "") -> StateChange:
    return StateChange(1, FeedState(state), FeedState.OPEN, Cause(cause), "do this", subscription, detail)


def notices_of(*events: RecordedEvent) -> list[str]:
    texts: list[str] = []
    notices = Notices(texts.append, Clock())
    for event in events:
        notices.on_event(event)
    return texts


UP = [
    change("connecting", "started"),
    change("open", "socket_opened"),
    change("ready", "ready"),
    change("authenticated", "logged_in"),
    change("streaming", "data"),
]


def test_no_notices_in_normal_operation() -> None:
    assert notices_of(*UP, change("streaming", "data", "smd+1"), change("disconnected", "stopped")) == []
    assert notices_of(*UP, Gap("smd+1", 1, 2, Cause.SUBSCRIPTION_SILENT)) == []


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (change("disconnected", "connection_lost"), "disconnected (connection lost); do this"),
        (change("login_required", "not_logged_in"), "login required (not logged in); do this"),
        (change("competing", "competing"), "competing (competing); do this"),
        (change("stale", "all_stale"), "stale (all stale); do this"),
        (
            change("disconnected", "unreachable", detail="no server"),
            "disconnected (unreachable: no server); do this",
        ),
    ],
)
def test_a_state_without_data_is_reported_once_and_so_is_its_end(event: StateChange, texts: str) -> None:
    notices: list[str] = []
    reporter = Notices(notices.append, Clock())
    for item in (*UP, event, change("connecting", "retry"), event):
        reporter.on_event(item)
    assert notices == [texts]
    assert reporter.is_in_trouble
    assert reporter.last_trouble is event
    for item in UP[1:]:
        reporter.on_event(item)
    assert len(notices) == 2
    assert notices[1].startswith("data again after 0.")
    assert not reporter.is_in_trouble
    reporter.on_event(event)
    assert notices[2] == texts, "a new one is reported again"


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("ready", "ready_timeout"),
        ("ready", "session_ended"),
        ("ready", "gateway_error"),
        ("connecting", "unreachable"),
        ("disconnected", "rate_limited"),
    ],
)
def test_failures_are_reported_in_any_state(state: str, cause: str) -> None:
    first, second = notices_of(change(state, cause), change("streaming", "data"))
    assert first == f"{state} ({cause.replace('_', ' ')}); do this"
    assert second.startswith("data again after 0.0 s")


def test_the_last_failure_is_in_the_text_of_the_end() -> None:
    notices = Notices(lambda _text: None, Clock())
    for event in UP:
        notices.on_event(event)
    assert notices.end_text == ""
    notices.on_event(change("ready", "session_ended"))
    notices.on_event(change("ready", "gateway_error", detail="HTTP 503"))
    notices.on_event(change("disconnected", "stopped"))
    assert notices.end_text.startswith("no data for the last 0.")
    assert notices.end_text.endswith("s: ready (gateway error: HTTP 503); do this")
    assert notices.last_change == change("ready", "gateway_error", detail="HTTP 503")


def test_the_first_stale_subscriptions_are_reported_one_by_one() -> None:
    events = [change("stale", "subscription_silent", f"smd+{number}") for number in range(100)]
    texts = notices_of(*events[:2], change("streaming", "data", "smd+1"))
    assert texts == [
        "smd+0 is stale (subscription silent); do this",
        "smd+1 is stale (subscription silent); do this",
        "smd+1 has data again",
    ]
    texts = notices_of(*events)
    assert len(texts) == 6
    assert texts[-1] == "more subscriptions are stale; the events list all of them"


@pytest.mark.parametrize(
    ("change", "lost", "policy", "text"),
    [
        ("deleted", 1200, "recreate", "deleted /data/a; 1,200 frames in it are lost; a new file follows"),
        ("moved", 0, "recreate", "moved /data/a; its frames are not lost; a new file follows"),
        ("changed", 1, "fail", "changed /data/a; 1 frames in it are lost; the run ends"),
    ],
)
def test_a_lost_file(change: str, lost: int, policy: str, text: str) -> None:
    assert notices_of(FileChange(1, "/data/a", change, "frames", lost, policy)) == [f"another program has {text}"]


def test_a_slow_disk() -> None:
    texts = notices_of(
        DiskChange(1, True, "block", output="quotes"),
        DiskChange(2, False, "block", 1234.56, "quotes"),
        DiskChange(3, True, "drop_newest", output="own"),
    )
    assert texts[0] == "the output quotes is slower than the data; the socket is not read until it has caught up"
    assert texts[1] == "the output quotes has caught up with the data after 1,234.6 s"
    assert texts[2] == "the output own is slower than the data; frames beyond its limit are dropped (drop_newest)"


def test_frames_that_an_output_drops() -> None:
    gaps = [OutputGap(1, "own", "queue full", 0, count, 0, 1, 2) for count in (1200, 5)]
    assert notices_of(*gaps) == ["frames dropped so far: 1,200 of own (queue full)"], "of many, the first"


def test_an_output_that_fails_and_works_again() -> None:
    texts = notices_of(
        OutputFailure(1, "own", True, "retry", "OSError: away"),
        OutputFailure(2, "own", False, "retry", duration_s=12.34),
        OutputFailure(3, "own", True, "drop", "ValueError"),
        OutputFailure(4, "quotes", True, "stop", "the error of the run"),
    )
    assert texts == [
        "the output own has failed: OSError: away; it is tried again; the other outputs continue",
        "the output own works again after 12.3 s",
        "the output own has failed: ValueError; what it cannot write is dropped; the other outputs continue",
    ]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_notice_is_one_printable_line(text: str) -> None:
    events = [change("disconnected", "unreachable", detail=text), change("stale", "subscription_silent", text, text)]
    notices = notices_of(*events)
    assert len(notices) == 2
    for notice in notices:
        assert_harmless(notice.encode())
        assert "\n" not in notice
        assert "EVIL" in notice

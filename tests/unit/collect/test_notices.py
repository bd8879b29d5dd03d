"""What a person hears: no data and why, once; data again; a slow disk; and nothing while all is well."""

from __future__ import annotations

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.collect.notices import Notices
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.contract import DiskChange, RecordedEvent


def change(state: str, cause: str, subscription: str | None = None, detail: str = "") -> StateChange:
    return StateChange(1, FeedState(state), FeedState.OPEN, Cause(cause), "do this", subscription, detail)


def lost(count: int) -> Gap:
    return Gap(None, 1, 2, Cause.CONSUMER_OVERFLOW, count)


def heard(*events: RecordedEvent) -> list[str]:
    said: list[str] = []
    notices = Notices(said.append, Clock())
    for event in events:
        notices.on_event(event)
    return said


UP = [
    change("connecting", "started"),
    change("open", "socket_opened"),
    change("ready", "ready"),
    change("authenticated", "logged_in"),
    change("streaming", "data"),
]


def test_nothing_while_all_is_well() -> None:
    assert heard(*UP, change("streaming", "data", "smd+1"), change("disconnected", "stopped")) == []
    assert heard(*UP, Gap("smd+1", 1, 2, Cause.SUBSCRIPTION_SILENT)) == []


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (change("disconnected", "connection_lost"), "disconnected (connection lost); do this"),
        (change("login_required", "not_logged_in"), "login required (not logged in); do this"),
        (change("competing", "competing"), "competing (competing); do this"),
        (change("stale", "all_stale"), "stale (all stale); do this"),
        (
            change("disconnected", "unreachable", detail="nobody there"),
            "disconnected (unreachable: nobody there); do this",
        ),
    ],
)
def test_trouble_is_told_once_and_its_end(event: StateChange, said: str) -> None:
    notices: list[str] = []
    teller = Notices(notices.append, Clock())
    for item in (*UP, event, change("connecting", "retry"), event):
        teller.on_event(item)
    assert notices == [said]
    assert teller.is_in_trouble
    assert teller.last_trouble is event
    for item in UP[1:]:
        teller.on_event(item)
    assert len(notices) == 2
    assert notices[1].startswith("data comes again, after 0.")
    assert not teller.is_in_trouble
    teller.on_event(event)
    assert notices[2] == said, "a new one is told again"


def test_what_is_worth_a_word_without_being_trouble() -> None:
    assert heard(change("ready", "ready_timeout"), change("streaming", "data")) == ["ready (ready timeout); do this"]


def test_stale_subscriptions_are_told_and_not_all_of_a_hundred() -> None:
    events = [change("stale", "subscription_silent", f"smd+{number}") for number in range(100)]
    said = heard(*events[:2], change("streaming", "data", "smd+1"))
    assert said == [
        "smd+0 is stale (subscription silent); do this",
        "smd+1 is stale (subscription silent); do this",
        "smd+1 has data again",
    ]
    said = heard(*events)
    assert len(said) == 6
    assert said[-1] == "more subscriptions are stale; the file of events has them all"


def test_a_slow_disk() -> None:
    said = heard(DiskChange(1, True, "hold"), DiskChange(2, False, "hold"), DiskChange(3, True, "drop_newest"))
    assert said[0].endswith("the gateway is kept waiting until it has caught up")
    assert said[1] == "the disk has caught up"
    assert said[2].endswith("is dropped (drop_newest)")
    said = heard(lost(1200), lost(5))
    assert said == ["1,200 frames were dropped so far, since the disk is slower than the data"]

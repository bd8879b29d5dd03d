"""The lines of `--log-format`: one per record, whatever a text contains."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest

from cpapi_fast.cli.service.log_output import LogOutput, log_to, stderr_in
from cpapi_fast.console import tell
from cpapi_fast.events import Cause, FeedState, Gap, Standstill, StandstillReason, StateChange
from cpapi_fast.feed.feed_log import LOGGER, FeedLog
from tests.support.hostile import HOSTILE_TEXTS

STREAMING, DISCONNECTED = FeedState.STREAMING, FeedState.DISCONNECTED


class Lines:
    def __init__(self, form: Any, level: str = "info") -> None:
        self.texts: list[str] = []
        self.context = log_to(
            LogOutput(form, lambda text: text.replace("competing=", "--competing "), self.texts.append), level
        )

    def __enter__(self) -> list[str]:
        self.context.__enter__()
        return self.texts

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(None, None, None)


def change(detail: str = "", subscription: str | None = None) -> StateChange:
    return StateChange(1, DISCONNECTED, STREAMING, Cause.CONNECTION_LOST, "do it", subscription, detail)


def test_a_change_in_json() -> None:
    with Lines("json") as lines:
        FeedLog("feed of x", lambda: 1.5).on_change(change("use competing=reclaim"))
        FeedLog("feed of x", lambda: 1.5).on_next_try()
    first, second = map(json.loads, lines)
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info", "message": "feed of x: disconnected (connection lost: use --competing reclaim)",
        "event": "state_change", "state": "disconnected", "previous": "streaming", "cause": "connection_lost",
        "topic": None, "detail": "use competing=reclaim", "advice": "do it", "next_attempt_s": 1.5,
    }  # fmt: skip
    assert (second["event"], second["next_attempt_s"]) == ("retry", 1.5)
    assert LOGGER.handlers == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_hostile_text_is_one_line(form: str, text: str) -> None:
    with Lines(form) as lines:
        FeedLog("feed").on_change(change(text))
        LOGGER.warning("%s", text)
        LOGGER.error("x", exc_info=ValueError(text))
    for line in lines:
        if form == "json":
            assert line.isascii()
            assert "\n" not in line
            json.loads(line)
    assert len(lines) == 3


def test_no_line_shows_an_account() -> None:
    gap = Gap("ssd+U1234567", 1, 2, Cause.CONNECTION_LOST)
    with Lines("json", "debug") as lines:
        log = FeedLog("feed")
        log.on_change(change("for U1234567", "spl+U1234567"))
        log.on_event(gap)
        LOGGER.debug("/portfolio/%s", "U1234567")
    assert len(lines) == 3
    assert "1234567" not in "".join(lines)


async def test_gaps_of_one_moment_are_one_record_for_each_cause() -> None:
    with Lines("json", "warning") as lines:
        log = FeedLog("feed")
        for conid in range(8):
            log.on_event(Gap(f"smd+{conid}", 1_000_000_000 + conid, 3_500_000_000 - conid, Cause.CONNECTION_LOST))
        log.on_event(Gap(None, 0, None, Cause.CONSUMER_OVERFLOW, 7))
        log.on_event(Gap("smd+9", 0, None, Cause.STOPPED))
        log.on_event(Standstill(0, 2_000_000_000, StandstillReason.SUSPEND))
        await asyncio.sleep(0)
        log.close()
    standstill, lost, overflow = map(json.loads, lines)
    assert (standstill["event"], standstill["seconds"], standstill["reason"]) == ("standstill", 2.0, "suspend")
    assert lost["topics"] == [f"smd+{conid}" for conid in range(8)]
    assert (lost["start"], lost["end"]) == ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:03.500Z")
    assert lost["message"].startswith("feed: gap of 2.500 s from 1970-01-01T00:00:01.000Z (connection lost): smd+0, ")
    assert lost["message"].endswith("smd+4 and 3 more")
    assert (overflow["topics"], overflow["frames_dropped"], overflow["end"]) == (["all topics"], 7, None)


def test_levels() -> None:
    with Lines("text", "warning") as lines:
        FeedLog("feed").on_change(change())
        LOGGER.info("x")
        LOGGER.warning("y")
    assert [line.split(" ", 1)[1] for line in lines] == ["WARNING y"]
    assert LOGGER.level == logging.NOTSET


def test_all_of_stderr_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    with stderr_in("json"):
        tell("cpapi-fast: error: no U1234567\x1b", "cpapi-fast: warning: w", "cpapi-fast: hello")
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["level"], one["message"]) for one in found] == [
        ("error", "no [redacted]\x1b"), ("warning", "w"), ("info", "hello"),
    ]  # fmt: skip
    with stderr_in("text"):
        tell("plain")
    assert capsys.readouterr().err == "plain\n"

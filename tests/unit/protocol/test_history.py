"""Valid periods and bars, and the bars of responses."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.events import Bar
from cpapi_fast.protocol.history import (
    MAX_BARS,
    History,
    bar_length_s,
    check_period,
    rest_source,
    span_back,
    start_time_text,
)
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.simulator import history as gateway_history

ROW = {"o": 187.02, "c": 187.1, "h": 187.15, "l": 187, "v": 12.5, "t": 1_767_277_800_000}
MINUTE_NS = 60_000_000_000


def an_answer(*rows: object, **members: object) -> dict[str, Any]:
    return {
        "serverId": "340001",
        "barLength": 60,
        "mdAvailability": "S",
        "volumeFactor": 1,
        "data": list(rows),
    } | members


# Arguments


@pytest.mark.parametrize(
    "period", ["1min", "30min", "1h", "8h", "1d", "1000d", "1w", "792w", "1m", "182m", "1y", "15y"]
)
def test_valid_periods(period: str) -> None:
    assert check_period(period) == period
    assert gateway_history.period_s(period) > 0


@pytest.mark.parametrize(
    "period",
    [
        "0min",
        "31min",
        "9h",
        "1001d",
        "793w",
        "183m",
        "16y",
        "",
        "min",
        "1",
        "01d",
        "1D",
        "1 d",
        "-1d",
        "1d\n",
        "\u0661d",
    ],
)
def test_invalid_periods(period: str) -> None:
    with pytest.raises(SubscriptionError, match="1min to 30min"):
        check_period(period)


@pytest.mark.parametrize("value", [None, 5, b"1d", ["1d"]])
def test_a_period_or_bar_that_is_not_a_str(value: Any) -> None:
    with pytest.raises(SubscriptionError, match=type(value).__name__):
        check_period(value)
    with pytest.raises(SubscriptionError, match=type(value).__name__):
        bar_length_s(value)


@pytest.mark.parametrize(
    ("bar", "seconds"),
    [("1min", 60), ("30min", 1_800), ("1h", 3_600), ("8h", 28_800), ("1d", 86_400), ("1w", 604_800), ("1m", 2_592_000)],
)
def test_valid_bars(bar: str, seconds: int) -> None:
    assert bar_length_s(bar) == seconds
    assert gateway_history.bar_s(bar) == seconds


@pytest.mark.parametrize("bar", ["4min", "60min", "5h", "2d", "1y", "1S", "5", "", "x" * 1000])
def test_invalid_bars(bar: str) -> None:
    with pytest.raises(SubscriptionError, match="a bar must be one of") as caught:
        bar_length_s(bar)
    assert len(str(caught.value)) < 200


def test_sources() -> None:
    assert [rest_source(name) for name in ("trades", "midpoint", "bid_ask")] == ["Last", "Midpoint", "Bid_Ask"]
    for wrong in ("Last", "", None, ["trades"]):
        with pytest.raises(SubscriptionError, match="trades, midpoint, bid_ask"):
            rest_source(wrong)  # type: ignore[arg-type]


def test_a_start_time_is_sent_in_utc() -> None:
    moment = datetime(2026, 1, 2, 9, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert start_time_text(moment) == "20260102-14:30:00"
    for wrong in (moment.replace(tzinfo=None), "20260102-14:30:00", None):
        with pytest.raises(SubscriptionError, match="time zone"):
            start_time_text(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5.0, ("1min", "1min")),
        (0.0, ("1min", "1min")),
        (0.5, ("2min", "1min")),
        (60.0, ("2min", "1min")),
        (1_740.0, ("30min", "1min")),
        (1_741.0, ("1h", "1min")),
        (3_541.0, ("2h", "1min")),
        (28_740.0, ("8h", "1min")),
        (28_741.0, ("2d", "3min")),
        (86_400.0 * 3, ("5d", "10min")),
        (86_400.0 * 300, ("302d", "8h")),
        (86_400.0 * 5_000, ("1000d", "1d")),
    ],
)
def test_the_span_for_a_time_back(seconds: float, expected: tuple[str, str]) -> None:
    assert span_back(seconds) == expected


def test_every_span_is_valid_reaches_back_and_fits_one_response() -> None:
    for minutes in (*range(1, 700), *range(700, 1_400_000, 997)):
        period, bar = span_back(minutes * 60.0)
        length_s = gateway_history.period_s(check_period(period))
        assert length_s >= minutes * 60.0
        assert length_s <= MAX_BARS * bar_length_s(bar)


# Responses


def test_the_bars_of_a_response() -> None:
    found = History.parse(an_answer(ROW | {"t": 1_767_277_860_000}, ROW))
    assert found.bars == (
        Bar(1_767_277_800_000_000_000, 187.02, 187.15, 187, 187.1, 12.5),
        Bar(1_767_277_860_000_000_000, 187.02, 187.15, 187, 187.1, 12.5),
    )
    assert (found.bar_s, found.server_id, found.availability) == (60, "340001", "S")
    assert "340001" in repr(found)
    assert "volumeFactor" not in repr(found)


def test_an_epoch_in_seconds_is_the_same_time() -> None:
    assert History.parse(an_answer(ROW | {"t": 1_767_277_800})).bars == History.parse(an_answer(ROW)).bars


def test_reported_volumes_are_multiplied() -> None:
    """As over REST, where 266616.18 with a factor of 100 was a day of 26 million shares."""
    (bar,) = History.parse(an_answer(ROW | {"v": 266616.18}, volumeFactor=100)).bars
    assert bar.volume == pytest.approx(26_661_618.0)


def test_optional_members_of_a_response() -> None:
    row = {name: value for name, value in ROW.items() if name != "v"}
    found = History.parse({"data": [row]})
    assert (found.bar_s, found.server_id, found.availability) == (None, None, "")
    assert found.bars[0].volume == 0.0
    assert History.parse({"data": [], "serverId": 5, "mdAvailability": None, "barLength": 0}).bar_s is None


@pytest.mark.parametrize(
    ("payload", "problem"),
    [
        ([], "not a JSON object"),
        (None, "not a JSON object"),
        ({"error": "Chart data unavailable"}, "data is not a list"),
        (an_answer(5), "no bar has a time"),
        (an_answer(ROW | {"o": []}), "no bar has a time"),
        (an_answer(ROW | {"t": None}), "no bar has a time"),
        (an_answer(ROW | {"t": 1e300}), "no bar has a time"),
        (an_answer({"o": 1}), "no bar has a time"),
    ],
)
def test_a_response_with_an_unexpected_shape(payload: object, problem: str) -> None:
    with pytest.raises(ShapeError, match=problem):
        History.parse(payload)


def test_what_nobody_needs_may_have_another_type() -> None:
    odd = {"barLength": [], "serverId": 5, "mdAvailability": {}, "volumeFactor": "2", "symbol": None, "text": 1.5}
    found = History.parse(an_answer(ROW | {"o": "187.02"}, ROW | {"c": None}, None, ROW | {"v": "x"}, **odd))
    assert [bar.open for bar in found.bars] == [187.02, 187.02]
    assert found.bars[0].volume == 25.0
    assert math.isnan(found.bars[1].volume)
    assert (found.bar_s, found.server_id, found.availability) == (None, None, "")
    assert set(found.odd) == {"barLength", "serverId", "mdAvailability", "volumeFactor", "data.o", "data.v"}
    assert math.isnan(History.parse(an_answer(ROW, volumeFactor=[1])).bars[0].volume)


def test_the_recorded_shape() -> None:
    lines = (Path(__file__).parents[2] / "data" / "other.jsonl").read_bytes().splitlines()
    (line,) = [line for line in lines if b'"topic":"smh+' in line]
    found = History.parse(json.loads(line))
    assert (found.server_id, found.bar_s, len(found.bars)) == ("90210", 300, 2)
    assert found.bars[1].start_ns - found.bars[0].start_ns == 5 * MINUTE_NS


def test_the_bars_that_cover_a_time() -> None:
    rows = [ROW | {"t": ROW["t"] + minute * 60_000} for minute in range(5)]
    found = History.parse(an_answer(*rows))
    start_ns = int(ROW["t"]) * 1_000_000

    def minutes(first_ns: int, last_ns: int) -> list[int]:
        covering = found.covering(start_ns + first_ns, start_ns + last_ns, bar_s=1.0)
        return [(bar.start_ns - start_ns) // MINUTE_NS for bar in covering]

    assert minutes(0, 0) == [0]
    assert minutes(MINUTE_NS - 1, MINUTE_NS - 1) == [0]
    assert minutes(MINUTE_NS - 1, MINUTE_NS) == [0, 1]
    assert minutes(MINUTE_NS, 3 * MINUTE_NS - 1) == [1, 2]
    assert minutes(-MINUTE_NS, 9 * MINUTE_NS) == [0, 1, 2, 3, 4]
    assert minutes(-2, -1) == minutes(5 * MINUTE_NS, 9 * MINUTE_NS) == []
    unsaid = History.parse({"data": rows})
    assert len(unsaid.covering(start_ns + MINUTE_NS - 1, start_ns + MINUTE_NS - 1, bar_s=60.0)) == 1

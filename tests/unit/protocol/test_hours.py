"""Trading hours and the reset window, as times of day in a time zone."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.protocol.hours import DailyWindow, TradingHours

NEW_YORK = "America/New_York"


def at(text: str, zone: str = NEW_YORK) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-03-06 09:29:59", False),
        ("2026-03-06 09:30", True),
        ("2026-03-06 15:59:59", True),
        ("2026-03-06 16:00", False),
        # A Saturday; and the first Monday of summer time, whose sessions are an hour earlier elsewhere.
        ("2026-03-07 10:00", False),
        ("2026-03-09 09:30", True),
        ("2026-03-09 09:29", False),
        # A holiday, on a Friday.
        ("2026-07-03 10:00", False),
    ],
)
def test_trading_hours_are_open_only_in_their_sessions(moment: str, is_open: bool):
    hours = TradingHours.weekdays("09:30", "16:00", NEW_YORK, holidays=[dt.date(2026, 7, 3)])
    assert hours.is_open(at(moment)) is is_open


def test_sessions_that_overlap_or_touch_are_one():
    hours = TradingHours(
        ((0, "12:00", "13:00"), (0, "09:00", "17:00"), (0, "17:00", "24:00"), (1, "00:00", "02:00")), "UTC"
    )
    for hour, is_open in (
        (8, False),
        (9, True),
        (12, True),
        (14, True),
        (17, True),
        (23, True),
        (25, True),
        (26, False),
    ):
        assert hours.is_open(at("2026-03-02 00:00", "UTC") + hour * 3_600_000_000_000) is is_open, hour


def test_a_window_may_span_midnight():
    window = DailyWindow("23:40", "00:45", NEW_YORK)
    held = {
        text: window.holds(at(f"2026-03-06 {text}")) for text in ("23:39", "23:40", "23:59", "00:00", "00:44", "00:45")
    }
    assert [text for text, is_held in held.items() if is_held] == ["23:40", "23:59", "00:00", "00:44"]
    assert DailyWindow("01:00", "02:00", "UTC").holds(at("2026-03-06 01:30", "UTC"))


@pytest.mark.parametrize(
    ("sessions", "zone"),
    [
        ((), "UTC"),
        (((0, "9:30am", "16:00"),), "UTC"),
        (((0, "16:00", "09:30"),), "UTC"),
        (((7, "09:30", "16:00"),), "UTC"),
        (((0, "09:30", "24:01"),), "UTC"),
        (((0, "09:30", "16:00"),), "Mars/Olympus"),
    ],
)
def test_invalid_values_are_refused(sessions: tuple[tuple[int, str, str], ...], zone: str):
    with pytest.raises(ConfigError):
        TradingHours(sessions, zone)


def test_the_cached_result_is_valid_for_one_minute():
    hours = TradingHours.weekdays("09:30", "16:00", "UTC")
    nine_s = 1_767_603_600  # Monday, 2026-01-05
    for _ in range(2):
        for minute, is_open in ((29, False), (30, True)):
            for second in (0, 30, 59):
                assert hours.is_open((nine_s + minute * 60 + second) * 1_000_000_000) is is_open

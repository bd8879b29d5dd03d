"""The trading hours that follow from a schedule: what it covers, and nothing beyond."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.protocol.contracts.schedule import TradingSchedule
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.protocol.shape import ShapeError

from .bodies import SCHEDULE, changed

ZONE = "America/New_York"
MONDAY = dt.date(2026, 11, 30)


def at(date: dt.date, time: str) -> int:
    """A local time of a date in seconds since the Unix epoch; 24:00 and later are on the next day."""
    hour, minute = map(int, time.split(":"))
    moment = dt.datetime(date.year, date.month, date.day, tzinfo=zoneinfo.ZoneInfo(ZONE))
    return int((moment + dt.timedelta(hours=hour, minutes=minute)).timestamp())


def schedule_of(days: dict[dt.date, list[tuple[str, str]]], time_zone: str = ZONE) -> TradingSchedule:
    return TradingSchedule.parse(
        {
            "exchange_time_zone": time_zone,
            "schedules": {
                date.strftime("%Y%m%d"): {
                    "liquid_hours": [],
                    "extended_hours": [{"opening": at(date, start), "closing": at(date, end)} for start, end in spans],
                }
                for date, spans in days.items()
            },
        }
    )


def day(offset: int) -> dt.date:
    return MONDAY + dt.timedelta(days=offset)


def is_open(hours: TradingHours | None, date: dt.date, time: str) -> bool:
    assert hours is not None
    return hours.is_open(at(date, time) * 1_000_000_000)


STOCK = {day(offset): [("04:00", "20:00")] for offset in (-3, 0, 1, 2, 3, 4)}


def test_a_week_of_a_stock() -> None:
    hours = schedule_of(STOCK).hours()
    assert hours == TradingHours.weekdays("04:00", "20:00", ZONE)
    assert (is_open(hours, day(0), "12:00"), is_open(hours, day(0), "03:59")) == (True, False)
    assert not is_open(hours, day(5), "12:00")
    # Next week as well, and after the change of the clocks in March.
    assert is_open(hours, day(7 * 20), "04:00")
    assert not is_open(hours, day(7 * 20), "03:59")


def test_a_date_without_a_session_is_a_holiday_and_says_nothing_about_its_weekday() -> None:
    hours = schedule_of({date: spans for date, spans in STOCK.items() if date != day(1)}).hours()
    assert hours is not None
    assert hours.holidays == {day(1)}
    assert not is_open(hours, day(1), "12:00")
    # Unknown, so a feed watches it as before.
    assert is_open(hours, day(8), "23:00")
    assert not is_open(hours, day(7), "23:00")


def test_weekdays_beyond_the_schedule_count_as_open() -> None:
    hours = schedule_of({day(0): [("09:30", "16:00")], day(1): [("09:30", "16:00")]}).hours()
    assert not is_open(hours, day(0), "17:00")
    assert is_open(hours, day(2), "03:00")
    assert is_open(hours, day(5), "03:00")


def test_sessions_that_span_midnight() -> None:
    """Futures: from 18:00 of the day before to 17:00."""
    future = {day(offset): [("-6:00", "17:00")] for offset in (-3, 0, 1, 2, 3, 4)}
    hours = schedule_of(future).hours()
    assert not is_open(hours, day(0), "17:30")
    assert is_open(hours, day(0), "18:00")
    assert is_open(hours, day(-1), "18:00")
    assert not is_open(hours, day(-1), "17:00")
    assert not is_open(hours, day(5), "12:00")
    # The evening of the last date belongs to a trading day that the schedule does not have. Another Friday tells it.
    assert not is_open(hours, day(4), "18:00")
    del future[day(-3)]
    assert is_open(schedule_of(future).hours(), day(4), "18:00")


def test_sessions_are_merged_and_a_lunch_break_is_kept() -> None:
    sessions = [("09:00", "11:30"), ("12:30", "15:00"), ("10:00", "11:30")]
    found = schedule_of({day(offset): sessions for offset in range(5)}).hours()
    assert found is not None
    assert [session for session in found.sessions if session[0] == 0] == [(0, "09:00", "11:30"), (0, "12:30", "15:00")]


@pytest.mark.parametrize(
    "schedule",
    [
        schedule_of({}),
        schedule_of({day(offset): [("00:00", "24:00")] for offset in range(9)}),
        schedule_of(STOCK, "Nowhere/Land"),
        schedule_of(STOCK, ""),
        schedule_of({day(0): []}),
    ],
)
def test_no_hours(schedule: TradingSchedule) -> None:
    assert schedule.hours() is None


@given(changed(SCHEDULE))
def test_any_change_of_a_schedule_has_valid_hours_or_none(body: Any) -> None:
    try:
        schedule = TradingSchedule.parse(body)
    except ShapeError:
        return
    hours = schedule.hours()
    if hours is None:
        return
    # In every session the market is open.
    for one in (session for trading_day in schedule.days for session in trading_day.sessions):
        assert hours.is_open(int(one.start.timestamp()) * 1_000_000_000)


@given(st.dictionaries(st.integers(0, 8), st.lists(st.tuples(st.integers(0, 47), st.integers(1, 48)), max_size=3)))
def test_the_market_is_open_in_each_session(days: dict[int, list[tuple[int, int]]]) -> None:
    def text(half_hours: int) -> str:
        return f"{half_hours // 2:02}:{half_hours % 2 * 30:02}"

    spans = {
        day(offset): [(text(first), text(first + length)) for first, length in one] for offset, one in days.items()
    }
    schedule = schedule_of(spans)
    hours = schedule.hours()
    for one in (session for trading_day in schedule.days for session in trading_day.sessions):
        for moment in (one.start, one.end - dt.timedelta(minutes=1)):
            assert hours is None or hours.is_open(int(moment.timestamp()) * 1_000_000_000)

"""The trading hours that follow from a schedule: what it covers, and nothing beyond."""

from __future__ import annotations

import datetime as dt
import importlib.resources
import os
import subprocess
import sys
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import ConfigError
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


# A schedule that cannot be read in part


def body_of(days: dict[dt.date, list[tuple[str, str]]]) -> dict[str, Any]:
    return schedule_of(days).raw


def name_of(date: dt.date) -> str:
    return date.strftime("%Y%m%d")


def damage_session(value: Any) -> Callable[[dict[str, Any]], None]:
    def change(days: dict[str, Any]) -> None:
        days[name_of(day(2))]["extended_hours"][0]["opening"] = value

    return change


def damage_day(value: Any) -> Callable[[dict[str, Any]], None]:
    def change(days: dict[str, Any]) -> None:
        days[name_of(day(2))] = value

    return change


def rename_day(days: dict[str, Any]) -> None:
    days["2026-12-02"] = days.pop(name_of(day(2)))


DAMAGES = [
    *map(damage_session, (None, "x", [], at(day(2), "04:00") * 1000, 0, 10**400)),
    *map(damage_day, (None, 5, [], {"liquid_hours": "x"}, {"extended_hours": [5]}, {"extended_hours": [{}]})),
    rename_day,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_session_is_no_holiday(damage: Callable[[dict[str, Any]], None]) -> None:
    body = body_of(STOCK)
    damage(body["schedules"])
    schedule = TradingSchedule.parse(body)
    assert schedule.odd
    moment = dt.datetime.fromtimestamp(at(day(2), "12:00"), dt.UTC)
    assert schedule.is_open(moment) is None
    hours = schedule.hours()
    assert hours is not None
    assert hours.holidays == frozenset()
    assert is_open(hours, day(2), "12:00")
    # Neither is the weekend certain to be closed, because the day may have been one of it.
    assert is_open(hours, day(5), "12:00")
    # What could be read tells when the market is closed.
    assert not is_open(hours, day(0), "21:00")


def test_sessions_that_cannot_be_true_cost_nothing() -> None:
    endless = [{"opening": 0, "closing": 99_999_999_999}] * 10_000
    body = body_of(STOCK)
    for number in range(20_000):
        body["schedules"][name_of(dt.date(1970, 1, 1) + dt.timedelta(days=number))] = {"liquid_hours": endless}
    # Without the bounds it takes hours.
    schedule = TradingSchedule.parse(body)
    assert schedule.hours() is None
    assert len(schedule.days) <= 121
    assert all(one.sessions == () and not one.is_whole for one in schedule.days)


def test_a_day_far_from_the_others_is_left_out() -> None:
    far = dt.date(1999, 1, 4)
    schedule = schedule_of(STOCK | {far: [("09:00", "17:00")]})
    assert far not in [one.date for one in schedule.days]
    assert schedule.odd == ("schedules",)
    assert not is_open(schedule.hours(), day(0), "21:00")


def test_a_session_that_ends_within_a_minute_is_open_in_it() -> None:
    sessions = {day(offset): [("00:00", "23:59")] for offset in range(9)}
    body = body_of(sessions)
    for one in body["schedules"].values():
        one["extended_hours"][0]["closing"] += 59
    assert TradingSchedule.parse(body).hours() is None


#: Prints the time zone of the hours of a schedule whose time zone has the name in each argument.
_ZONES_OF_HOURS = """
import sys
sys.modules["tzdata"] = None
from cpapi_fast.protocol.contracts.schedule import TradingSchedule
body = {body}
for name in sys.argv[1:]:
    schedule = TradingSchedule.parse(body | {{"exchange_time_zone": name}})
    hours = schedule.hours()
    print(name, schedule.is_zone_known, hours and hours.time_zone)
"""


def test_former_names_of_time_zones(tmp_path: Path) -> None:
    """A system without the former names has only the present ones."""
    for name in ("America/New_York", "America/Chicago", "Asia/Tokyo", "Asia/Kolkata"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        # A package of the test group, so that it does not matter where the system has its own.
        source = importlib.resources.files("tzdata") / "zoneinfo" / name
        (tmp_path / name).write_bytes(source.read_bytes())
    names = ["US/Eastern", "US/Central", "Japan", "Asia/Calcutta", "America/New_York", "Europe/Zurich", "GB"]
    found = subprocess.run(
        [sys.executable, "-c", _ZONES_OF_HOURS.format(body=body_of(STOCK)), *names],
        env=os.environ | {"PYTHONTZPATH": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == [
        "US/Eastern True America/New_York",
        "US/Central True America/Chicago",
        "Japan True Asia/Tokyo",
        "Asia/Calcutta True Asia/Kolkata",
        "America/New_York True America/New_York",
        "Europe/Zurich False None",
        "GB False None",
    ]


@pytest.mark.parametrize("moment", [dt.datetime(2026, 12, 2, 10), "2026-12-02", None, 5])
def test_a_time_without_a_zone_is_refused(moment: Any) -> None:
    with pytest.raises(ConfigError, match="with a time zone"):
        schedule_of(STOCK).is_open(moment)

"""The queries of docs/howto/read-files.md give the same and right values with DuckDB, polars and pandas."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.events import Cause, Gap
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from tests.support.batches import batch_of
from tests.support.files import quote
from tests.support.queries import check_query

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "read-files.md"

SECOND_NS = 1_000_000_000
#: 23:00 in New York, on December 31.
START_NS = 1_767_240_000 * SECOND_NS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both tables of three instruments in several files, with a gap within a second."""
    data = tmp_path / "data"
    data.mkdir()
    with QuotesWriter(data, roll_rows=3) as writer, TicksWriter(data, roll_rows=3) as ticks:

        def put(seconds: float, *frames: bytes) -> None:
            for one in (writer, ticks):
                one.write(batch_of(frames, START_NS + round(seconds * SECOND_NS)))

        put(0, quote(1, _31="10", _84="10", _86="11", _6509="RpB"), quote(2, _84="5", _86="6", _6509="DPB"))
        put(0.1, quote(1, _86="12"), quote(1, _84="11"), quote(2, _31="C5.5"))
        put(2.1, quote(1, _84="20"))
        writer.observe_event(Gap(None, 1, None, Cause.CONNECTION_LOST))
        put(2.2, quote(1, _84="30"))
        put(2.3, quote(1, _86="40", _6509="RpB"), b'{"topic":"smd+1@NYSE","84":"1","86":"2","6509":"RpB"}')
        put(3600, quote(1, _31="41", _86="42"))
        put(7200, quote(1, _86="N/A"))
        # A day without a trade, and one with a price of a halt before the prior close.
        for day, frame in ((1, quote(1, _86="43")), (1, quote(2, _31="C10")), (2, quote(1, _31="H44"))):
            ticks.write(batch_of([frame], START_NS + day * 86_400 * SECOND_NS))
        ticks.write(batch_of([quote(1, _31="C45")], START_NS + 2 * 86_400 * SECOND_NS))
    assert len(writer.files) > 2
    monkeypatch.chdir(tmp_path)
    return data


def check(name: str, expected: list[tuple[Any, ...]], *keys: str) -> None:
    check_query(PAGE, name, expected, *keys)


def at(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(START_NS // SECOND_NS + seconds, datetime.UTC)


def test_one_second_mid_bars(folder: Path) -> None:
    expected = [
        (1, None, START_NS, at(0), 10.5, 11.5, 10.5, 11.5),
        (1, None, START_NS, at(2), 16.0, 16.0, 16.0, 16.0),
        # The second with the gap has a bar of each side.
        (1, None, START_NS + 2_200_000_000, at(2), 35.0, 35.0, 35.0, 35.0),
        (1, None, START_NS + 2_200_000_000, at(3600), 36.0, 36.0, 36.0, 36.0),
        (1, "1@NYSE", START_NS + 2_300_000_000, at(2), 1.5, 1.5, 1.5, 1.5),
        (2, None, START_NS, at(0), 5.5, 5.5, 5.5, 5.5),
    ]
    check("bars", expected, "conid", "target", "segment", "second", "open", "high", "low", "close")


def test_spread_of_live_quotes(folder: Path) -> None:
    spreads = [(10, 11), (10, 12), (11, 12), (20, 12), (30, 40), (30, 42)]
    mean = sum(ask - bid for bid, ask in spreads) / 6
    mean_bps = sum((ask - bid) / (ask + bid) for bid, ask in spreads) / 6 * 20000
    expected = [(1, None, mean, pytest.approx(mean_bps)), (1, "1@NYSE", 1.0, pytest.approx(20000 / 3))]
    check("spreads", expected, "conid", "target", "spread", "spread_bps")


def test_last_price_per_day_of_the_exchange(folder: Path) -> None:
    last, first = datetime.date(2025, 12, 31), datetime.date(2026, 1, 1)
    second = datetime.date(2026, 1, 2)
    expected = [(1, None, last, 10.0), (1, None, first, 41.0), (1, None, second, 44.0)]
    check("daily", expected, "conid", "target", "day", "last_price")

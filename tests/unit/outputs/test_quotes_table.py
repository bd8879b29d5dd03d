"""The table `quotes`: the whole state after each frame, no value across a gap, and no row for a repeated snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from cpapi_fast.errors import ConfigError, UsageError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.outputs.tables.collected_rows import CollectedRows
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from cpapi_fast.outputs.tables.rows import TableRows
from cpapi_fast.outputs.tables.schema import field_columns
from cpapi_fast.outputs.tables.subscription_states import SubscriptionStates
from tests.support.batches import batch_of
from tests.support.files import quote, table_rows


def gap(topic: str | None, first_good_ns: int | None = None) -> Gap:
    return Gap(topic, 1, first_good_ns, Cause.CONNECTION_LOST)


def changed(raw: bytes, **fields: object) -> bytes:
    """A frame with other values."""
    return orjson.dumps(orjson.loads(raw) | {name.removeprefix("_"): value for name, value in fields.items()})


def columns(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_values_are_carried_forward_within_a_subscription(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([quote(1, _31="C5", _84="4.9", _6509="RpB", _55="ABC"), quote(2, _84="7")], 10))
        writer.write(batch_of([quote(1, _86="5.1"), quote(2, _31="8"), quote(1, _31="5.2")], 20))
    names = ("received", "conid", "symbol", "availability", "last_price", "last_price_prefix", "bid_price", "ask_price")
    assert columns(table_rows(tmp_path), *names) == [
        (10, 1, "ABC", "RpB", 5.0, "C", 4.9, None),
        (10, 2, None, None, None, None, 7.0, None),
        (20, 1, "ABC", "RpB", 5.0, "C", 4.9, 5.1),
        (20, 2, None, None, 8.0, None, 7.0, None),
        (20, 1, "ABC", "RpB", 5.2, None, 4.9, 5.1),
    ]


@pytest.mark.parametrize("nothing", ["N/A", "", "-", None, "nonsense", [1]])
def test_a_value_that_is_withdrawn_is_not_carried_on(tmp_path: Path, nothing: object) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([quote(1, _31="H5", _84="4"), quote(1, _31=nothing), quote(1, _84="4.1")]))
    names = ("last_price", "last_price_prefix", "bid_price")
    assert columns(table_rows(tmp_path), *names) == [(5.0, "H", 4.0), (None, None, 4.0), (None, None, 4.1)]
    assert writer.mismatches == ({"last_price": 1} if nothing in ("nonsense", [1]) else {})


@pytest.mark.parametrize("topic", [None, "smd+1"])
def test_no_value_is_carried_across_a_gap(tmp_path: Path, topic: str | None) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([quote(1, _31="H5", _84="4.9", _6509="RpB", _55="ABC"), quote(2, _31="7")], 10))
        writer.observe_event(gap("smd+3"))
        writer.observe_event(StateChange(1, FeedState.STALE, FeedState.STREAMING, Cause.SUBSCRIPTION_SILENT, "wait"))
        writer.write(batch_of([quote(1, _86="5.1"), quote(2, _84="6.9")], 20))
        writer.observe_event(gap(topic))
        writer.write(batch_of([quote(1, _86="5.2"), quote(2, _84="6.8")], 30))
    names = ("conid", "segment", "symbol", "availability", "last_price", "last_price_prefix", "bid_price", "ask_price")
    assert columns(table_rows(tmp_path), *names) == [
        (1, 10, "ABC", "RpB", 5.0, "H", 4.9, None),
        (2, 10, None, None, 7.0, None, None, None),
        (1, 10, "ABC", "RpB", 5.0, "H", 4.9, 5.1),
        (2, 10, None, None, 7.0, None, 6.9, None),
        # The symbol of a contract does not change.
        (1, 30, "ABC", None, None, None, None, 5.2),
        (2, 10, None, None, 7.0, None, 6.8, None) if topic else (2, 30, None, None, None, None, 6.8, None),
    ]
    # What a screen shows stays, with its age.
    assert (writer.latest["1"].last, writer.latest["1"].availability) == (5.0, "RpB")


@pytest.mark.parametrize("topic", [None, "smd+1"])
@pytest.mark.parametrize("targets", [(), ("1",)])
def test_nothing_is_carried_across_the_later_one_of_joined_gaps(
    tmp_path: Path, topic: str | None, targets: tuple[str, ...]
) -> None:
    """A queue that is full of events joins gaps. The rows between them follow the joined gap."""
    with QuotesWriter(tmp_path, targets=targets) as writer:
        writer.observe_event(gap(topic, 30))
        for received_ns, field in ((10, "31"), (20, "84"), (30, "86"), (40, "31")):
            writer.write(batch_of([changed(quote(1), **{field: "5"})], received_ns))
        writer.observe_event(gap(topic, 40))
        writer.write(batch_of([quote(1, _84="5")], 40))
    assert columns(table_rows(tmp_path), "segment", "last_price", "bid_price", "ask_price") == [
        (10, 5.0, None, None),
        (10, 5.0, 5.0, None),
        (30, None, None, 5.0),
        (30, 5.0, None, 5.0),
        (40, None, 5.0, None),
    ]


def test_gaps_of_many_topics_take_no_room_without_a_bound() -> None:
    states = SubscriptionStates(1, [], 3, 100)
    for number in range(1_000):
        states.end_segments(f"smd+{number}", 5)
        states.end_segments("tic", 5)
    assert len(states) < 20


@pytest.mark.parametrize("state", [FeedState.DISCONNECTED, FeedState.CONNECTING, FeedState.OPEN])
def test_nothing_is_carried_to_another_connection(tmp_path: Path, state: FeedState) -> None:
    """Topics that nobody subscribed to have no gap."""
    with QuotesWriter(tmp_path, targets=["1"]) as writer:
        writer.write(batch_of([quote(1, _31="5"), quote(2, _31="6", _6509="RpB")], 10))
        of_one = StateChange(1, state, FeedState.STREAMING, Cause.CONNECTION_LOST, "wait", "smd+1")
        writer.observe_event(of_one)
        writer.write(batch_of([quote(1, _84="5"), quote(2, _84="6")], 20))
        writer.observe_event(StateChange(1, state, FeedState.STREAMING, Cause.CONNECTION_LOST, "wait"))
        writer.write(batch_of([quote(1, _86="5"), quote(2, _86="6")], 30))
    assert columns(table_rows(tmp_path)[2:], "segment", "availability", "last_price", "bid_price", "ask_price") == [
        (10, None, 5.0, 5.0, None),
        (10, "RpB", 6.0, 6.0, None),
        (30, None, None, None, 5.0),
        (30, None, None, None, 6.0),
    ]


def test_two_segments_never_have_the_same_number(tmp_path: Path) -> None:
    """Also if they begin in the same socket read, and if the system clock is set back."""
    with QuotesWriter(tmp_path) as writer:
        for received_ns in (10, 10, 10, 5):
            writer.write(batch_of([quote(1, _31="5")], received_ns))
            writer.observe_event(gap(None))
    assert columns(table_rows(tmp_path), "received", "segment") == [(10, 10), (10, 11), (10, 12), (5, 13)]


def test_ticks_do_not_carry_an_availability_across_a_gap(tmp_path: Path) -> None:
    with TicksWriter(tmp_path) as writer:
        writer.write(batch_of([quote(1, _31="5", _6509="RpB"), quote(1, _84="5")]))
        writer.observe_event(gap("smd+1"))
        writer.write(batch_of([quote(1, _31="6")]))
    assert columns(table_rows(tmp_path), "last_price", "availability") == [(5.0, "RpB"), (None, "RpB"), (6.0, None)]


SNAPSHOT = quote(1, _6509="RpB", _31="5", _84="4.9")


@pytest.mark.parametrize(
    ("second", "rows"),
    [
        (SNAPSHOT, 1),
        # The gateway sends the second one with its keys in another order.
        (orjson.dumps(dict(reversed(orjson.loads(SNAPSHOT).items()))), 1),
        (quote(1, _6509="RpB", _31="5"), 1),
        (changed(SNAPSHOT, _31="C5"), 2),
        (changed(SNAPSHOT, _31="N/A"), 2),
        (changed(SNAPSHOT, _86="5.1"), 2),
        (changed(SNAPSHOT, _6509="DPB"), 2),
        (changed(SNAPSHOT, __updated=1), 2),
        (changed(SNAPSHOT, __updated=None), 2),
        (quote(1, _31="5", _84="4.9"), 2),
    ],
)
def test_the_second_of_two_equal_snapshots_has_no_row(tmp_path: Path, second: bytes, rows: int) -> None:
    with QuotesWriter(tmp_path) as writer:
        writer.write(batch_of([SNAPSHOT, quote(2, _31="1")]))
        writer.write(batch_of([second]))
    assert [row["conid"] for row in table_rows(tmp_path)] == [1, 2, 1][: rows + 1]
    assert writer.counts.dropped == ({"repeated snapshot": 1} if rows == 1 else {})
    assert writer.counts.received == 3
    assert writer.latest["1"].rows == 2, "the frames of a subscription"


def test_only_pairs_of_snapshots_are_recognised(tmp_path: Path) -> None:
    with QuotesWriter(tmp_path) as writer:
        # A renewal sends another pair with the same event time, if nothing has happened since.
        writer.write(batch_of([SNAPSHOT] * 4))
        writer.observe_event(gap(None))
        writer.write(batch_of([SNAPSHOT] * 2))
    assert writer.counts.written == 3
    assert writer.counts.dropped == {"repeated snapshot": 3}


def test_texts_are_carried_on_when_the_decoder_begins_a_new_table(tmp_path: Path) -> None:
    """The texts of a decoder are bounded, so the codes of all texts change at some time."""
    count = 70_000
    with QuotesWriter(tmp_path, fields=["58", "7051"], group_rows=100_000) as writer:
        writer.write(batch_of([quote(1, _55="ABC", _6509="RpB", _7051="A company"), quote(2, _55="XYZ")]))
        for start in range(0, count, 7_000):
            writer.write(batch_of([quote(1, _58=f"text {number}") for number in range(start, start + 7_000)]))
        writer.write(batch_of([b'{"topic":"smd+1@NYSE","conid":1}', quote(1), quote(2)]))
    rows = table_rows(tmp_path)
    assert len(rows) == count + 5
    assert [row["text"] for row in rows[2:-3]] == [f"text {number}" for number in range(count)]
    assert {row["company_name"] for row in rows[2:-3]} == {"A company"}
    names = ("symbol", "target", "availability", "text", "company_name")
    assert columns(rows[-3:], *names) == [
        ("ABC", "1@NYSE", None, None, None),
        ("ABC", None, "RpB", f"text {count - 1}", "A company"),
        ("XYZ", None, None, None, None),
    ]


def test_topics_without_a_state_carry_nothing(tmp_path: Path) -> None:
    frames = [quote(number, _31="1") for number in range(1_000)]
    with QuotesWriter(tmp_path, targets=["5000"]) as writer:
        writer.write(batch_of(frames, 5))
        writer.write(
            batch_of([quote(4000, _31="1"), quote(4000, _84="2"), quote(5000, _31="1"), quote(5000, _84="2")], 9)
        )
        writer.write(batch_of([quote(999, _84="3")], 10))
    assert columns(table_rows(tmp_path)[1_000:], "conid", "segment", "last_price", "bid_price") == [
        (4000, 9, 1.0, None),
        (4000, 10, None, 2.0),
        (5000, 9, 1.0, None),
        (5000, 9, 1.0, 2.0),
        (999, 5, 1.0, 3.0),
    ]
    assert writer.rows_unlisted == 2


def test_memory_is_bounded_per_subscription() -> None:
    rows = TableRows([(column.code, column.name) for column in field_columns()], carries=True, capacity=100)
    for start in range(0, 20_000, 1_000):
        rows.begin(batch_of([quote(number, _31="1") for number in range(start, start + 1_000)]))
        while rows.left:
            rows.move(100)
            rows.take()
    assert len(rows.states) < 4_000
    assert rows.states.unlisted == 19_000


def test_wrong_use_is_an_error() -> None:
    fields = [(column.code, column.name) for column in field_columns()]
    for wrong, capacity in ((fields[1:], 1), ([], 1), (fields, 0)):
        with pytest.raises(ConfigError, match="rows need the fields"):
            TableRows(wrong, carries=False, capacity=capacity)
    for capacity in (2**62, 2**60, 2**59):
        rows = TableRows(fields, carries=False, capacity=capacity)
        rows.begin(batch_of([quote(1)]))
        with pytest.raises(MemoryError, match="columns of"):
            rows.move(5)
    rows = TableRows(fields, carries=False, capacity=1)
    assert (rows.move(5), rows.left, len(rows), rows.take()) == (0, 0, 0, [])
    assert rows.begin(batch_of([quote(1), quote(2)])) == 2
    assert (rows.move(5), rows.left, len(rows)) == (1, 1, 1)
    assert rows.move(5) == 0, "it is full"
    assert len(rows.take()) == 1
    assert (rows.move(5), rows.left) == (1, 0)
    (taken,) = rows.take()
    assert pa.record_batch(taken).num_rows == 1
    with pytest.raises(UsageError, match="exported once"):
        pa.record_batch(taken)
    with pytest.raises(TypeError, match=r"TableRows\.take"):
        CollectedRows()
    with pytest.raises(UsageError, match="not made by"):
        pa.record_batch(CollectedRows.__new__(CollectedRows))
    rows.begin(batch_of([quote(1)]))
    rows.forget()
    assert (rows.move(5), len(rows)) == (0, 0)
    states = SubscriptionStates(1, [], 1, 1)
    for entry in (-1, len(states)):
        with pytest.raises(IndexError):
            states.latest(entry, 0)

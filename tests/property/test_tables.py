"""The tables `ticks` and `quotes` equal their slow definition, for any frames and gaps, wherever groups end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.outputs.tables.market_data import QuotesWriter, TicksWriter
from tests.oracles.tables import SlowTable
from tests.support.files import table_rows

#: Several subscriptions of a conid, combinations that share one, and an unknown topic.
TARGETS = ("265598", "265598@NYSE", "265598@ARCA", "0;;;1/1,2/-1", "0;;;3/1,4/-1", "8314")

#: Numbers of all kinds, a text, and a field that the catalogue does not contain.
FIELDS = ("31", "84", "6008", "7184", "58", "7635", "999999")

NUMBERS = [
    "271.81", "C4,735.10", "H3", "12.2M", "0.54%", "1,30", "N/A", "-", "", "x", None, 0, 5, -1.5, True, [1], {"a": 1},
    2**53, 2**70, 1e300, "1e400", "nonsense \u20ac", "12345678901234567890123", "\\", "1",
]  # fmt: skip
TEXTS = [
    "IBM",
    "A\u20ac",
    'a "quoted" text',
    "",
    "-",
    "N/A",
    "x" * 40,
    "\u20ac" * 342,
    "y" * 1024,
    None,
    5,
    ["a"],
    "\ud7ff\\n",
]
AVAILABILITY = ["RpB", "DPB", "Z", "", None, 5]
UPDATED = [
    1777552273601,
    1777552273602,
    1777552273602,
    "1777552273601",
    1.5,
    None,
    "x",
    2**60,
    True,
    -62135596800000,
    -62135596800000.5,
    253402300799999.5,
    253402300800000,
]


@st.composite
def raws(draw: st.DrawFn) -> bytes:
    """A frame: a snapshot or a delta, sometimes not JSON, with keys in any order."""
    target = draw(st.sampled_from(TARGETS))
    members: dict[str, Any] = {"topic": f"smd+{target}", "server_id": "q1", "70": "1"}
    members |= {
        code: draw(st.sampled_from(TEXTS if code in ("58", "999999") else NUMBERS))
        for code in draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True))
    }
    if draw(st.integers(0, 2)) == 0:
        members["6509"] = draw(st.sampled_from(AVAILABILITY))
    if draw(st.integers(0, 3)) == 0:
        members["55"] = draw(st.sampled_from(TEXTS))
    if draw(st.integers(0, 9)):
        members["_updated"] = draw(st.sampled_from(UPDATED))
    raw = json.dumps({key: members[key] for key in draw(st.permutations(list(members)))}, ensure_ascii=False).encode()
    if draw(st.integers(0, 15)) == 0:
        # An escape in a key, which the fast path leaves to the slow one.
        raw = raw.replace(b'"31"', b'"\\u0033\\u0031"')
    if draw(st.integers(0, 15)) == 0:
        # Not JSON at a value that is read.
        raw = raw[:-1] + b',"31":nonsense}'
    return raw


@st.composite
def streams(draw: st.DrawFn) -> list[Batch | Gap | StateChange]:
    """Batches, in which snapshots are often repeated, with gaps and changes of state between them."""
    items: list[Batch | Gap | StateChange] = []
    received_ns = 1_777_552_273_601_000_000
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 7)) == 0:
            state = draw(st.sampled_from(FeedState))
            topic = draw(st.sampled_from([None, None, "smd+8314"]))
            items.append(StateChange(1, state, FeedState.STREAMING, Cause.CONNECTION_LOST, "wait", topic))
            continue
        if draw(st.integers(0, 3)) == 0:
            topic = draw(st.sampled_from([None, "smd+unknown", *(f"smd+{target}" for target in TARGETS)]))
            # Joined gaps are reported with the end of the last one, before rows between them.
            first_good_ns = draw(st.sampled_from([None, received_ns, received_ns + 1, received_ns + 1_000_000]))
            items.append(Gap(topic, 1, first_good_ns, Cause.CONNECTION_LOST))
            continue
        builder = BatchBuilder()
        count = 0
        for raw in draw(st.lists(raws(), min_size=1, max_size=12)):
            repeats = draw(st.sampled_from((1, 1, 2, 2, 3)))
            for _ in range(repeats):
                builder.append(raw)
            builder.append(b'{"topic":"system","hb":1}')
            count += repeats + 1
        # Two batches may have the same receive time.
        received_ns += draw(st.sampled_from((0, 1, 1_000_000)))
        late_ns = draw(st.one_of(st.none(), st.lists(st.integers(0, 2**40), min_size=count, max_size=count)))
        batch = builder.finish(received_ns, late_ns)
        assert batch is not None
        items.append(batch)
    return items


@pytest.mark.parametrize("writer_type", [TicksWriter, QuotesWriter])
@settings(max_examples=120, deadline=None)
@given(
    items=streams(), group_rows=st.integers(1, 40), roll_rows=st.integers(1, 80), targets=st.sampled_from([(), TARGETS])
)
def test_tables_equal_their_slow_definition(
    tmp_path_factory: pytest.TempPathFactory,
    writer_type: type[TicksWriter] | type[QuotesWriter],
    items: Sequence[Batch | Gap | StateChange],
    group_rows: int,
    roll_rows: int,
    targets: Sequence[str],
) -> None:
    folder = tmp_path_factory.mktemp("tables")
    slow = SlowTable(carries=writer_type is QuotesWriter, fields=FIELDS)
    with writer_type(folder, fields=FIELDS, group_rows=group_rows, roll_rows=roll_rows, targets=targets) as writer:
        for item in items:
            slow.put(item)
            if isinstance(item, (Gap, StateChange)):
                writer.observe_event(item)
            else:
                writer.write(item)
            counts = writer.counts
            assert counts.received == counts.written + counts.dropped_total + counts.pending
            assert counts.written + counts.pending == len(slow.rows)
    rows = table_rows(folder)
    for row, expected in zip(rows, slow.rows, strict=True):
        assert row == expected
    assert writer.counts.dropped == +slow.dropped
    assert writer.mismatches == +slow.mismatches

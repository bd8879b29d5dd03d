"""The tables of orders and accounts equal their slow definition, for any messages and events, wherever groups end."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.messages.orders import OrderUpdate
from cpapi_fast.outputs.run_events import OrderList
from cpapi_fast.outputs.tables.account_schema import AccountTableName
from cpapi_fast.outputs.tables.accounts import AccountWriter
from tests.oracles.account_tables import CHANNELS, SlowAccountTable, decoded, plain, read_back
from tests.support.account_frames import FRAMES, WRITERS
from tests.support.files import table_rows

#: Values in the place of any member, as JSON: other types, texts for numbers, and what only one decoder accepts.
VALUES = [
    "null", "[]", "{}", '""', '"-"', '"N/A"', '"1,234.5"', '"12.2M"', '"C4,735.10"', "5", "-5", "5.5", "1.0",
    "1", "0", "true", "false", '"0.54%"',
    '"1"', '"true"', '"B"', '"Filled"', '"new"', "9223372036854775807", "9223372036854775808",
    "-9223372036854775808", "18446744073709551616", '"9223372036854775808"', "253402300799999", "253402300800000",
    "253402300800", "1e300", "1e400", "2.0201311791131118E8", '"\\ud800"', '[1,{"a":null}]', '{"a":[1e400]}',
    '"DU7654321"', "1767225600000", '"1767225600000"',
]  # fmt: skip

#: Containers in the place of the updates.
BODIES = [
    "null",
    "[]",
    "{}",
    '"x"',
    "5",
    '[null,5,"x",[]]',
    '{"U1":5,"U2":null}',
    '{"U1234567.Core":{"dpl":1}}',
    "[{}]",
]

STATES = [(None, state) for state in FeedState] + [("sor", FeedState.STALE), ("sor", FeedState.STREAMING)]


def mutated(draw: st.DrawFn, row: dict[str, Any]) -> str:
    """An update as JSON: members left out, replaced, added and repeated."""
    members = [(key, json.dumps(value)) for key, value in row.items() if draw(st.integers(0, 5))]
    for _ in range(draw(st.integers(0, 3))):
        key = draw(st.sampled_from([*row, "acct", "account", "accountCode", "new"]))
        members.append((key, draw(st.sampled_from(VALUES))))
    if not draw(st.integers(0, 5)):
        members.append((draw(st.sampled_from(["acct", "account", "accountCode"])), '""'))
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in members) + "}"


@st.composite
def raws(draw: st.DrawFn, name: str) -> bytes:
    """A message of the table: as recorded, mutated, or broken."""
    recorded = json.loads(draw(st.sampled_from(FRAMES[name])))
    body = "result" if name in ("account_summary", "ledger") else "args"
    topic = json.dumps(recorded["topic"])
    if draw(st.integers(0, 7)) == 0:
        parts = [f'"{body}":{draw(st.sampled_from(BODIES))}'] if draw(st.booleans()) else []
    elif name == "pnl":
        rows = [f"{json.dumps(key)}:{mutated(draw, row)}" for key, row in recorded[body].items()]
        extra = draw(st.sampled_from([[], ['"U1.":{"upl":1}'], ['"":{"nl":"x"}'], ['"U2":5']]))
        parts = [f'"{body}":{{{",".join(rows + extra)}}}']
    else:
        rows = [mutated(draw, row) for row in recorded[body] for _ in range(draw(st.integers(1, 2)))]
        rows += draw(st.sampled_from([[], [], ["null"], ['"x"'], ["[]"]]))
        parts = [f'"{body}":[{",".join(rows)}]']
    if draw(st.integers(0, 15)) == 0:
        parts.append(draw(st.sampled_from(['"error":"unable to subscribe"', '"error":5', '"code":500'])))
    parts.insert(draw(st.integers(0, len(parts))), f'"topic":{topic}')
    raw = ("{" + ",".join(parts) + "}").encode()
    if draw(st.integers(0, 15)) == 0:
        raw = raw.replace(
            b'"topic"', draw(st.sampled_from([b'"a":nonsense,"topic"', b'"a":NaN,"topic"', b'"\x99":1,"topic"']))
        )
    return raw


@st.composite
def streams(draw: st.DrawFn, name: str) -> list[Batch | Gap | StateChange | OrderList]:
    """Batches in the order of time with events between them."""
    items: list[Batch | Gap | StateChange | OrderList] = []
    now_ns = 1_000
    for _ in range(draw(st.integers(1, 8))):
        now_ns += draw(st.sampled_from([0, 1, 10]))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            subscription, state = draw(st.sampled_from(STATES))
            items.append(StateChange(now_ns, state, state, Cause.DATA, "", subscription))
        elif kind == 1:
            topic = draw(st.sampled_from(["sor", None, "smd+1"]))
            cause = draw(st.sampled_from([Cause.CONNECTION_LOST, Cause.CONSUMER_OVERFLOW]))
            last_ns = now_ns - draw(st.sampled_from([1, 5, 500]))
            items.append(Gap(topic, last_ns, draw(st.sampled_from([None, now_ns, now_ns + 5])), cause))
        elif kind == 2 and name == "orders":
            rows = [
                decoded(mutated(draw, row).encode()) for row in json.loads(draw(st.sampled_from(FRAMES[name])))["args"]
            ]
            rows = rows[: draw(st.integers(0, len(rows)))]
            items.append(OrderList(now_ns, tuple(OrderUpdate(row) for row in rows)))
        else:
            builder = BatchBuilder()
            builder.append(b'{"topic":"system","hb":1}')
            for raw in draw(st.lists(raws(name), max_size=4)):
                builder.append(raw)
            builder.append(draw(raws(draw(st.sampled_from(list(FRAMES))))))
            batch = builder.finish(now_ns)
            assert batch is not None
            items.append(batch)
    return items


def written(
    writer_type: type[AccountWriter], items: Sequence[Batch | Gap | StateChange | OrderList], group: int, roll: int
) -> tuple[list[dict[str, Any]], AccountWriter]:
    with tempfile.TemporaryDirectory() as folder:
        with writer_type(folder, group_rows=group, roll_rows=roll) as writer:
            for item in items:
                if isinstance(item, Batch):
                    writer.write(item)
                elif hasattr(writer, "observe_event"):
                    writer.observe_event(item)
                counts = writer.counts
                assert counts.received == counts.written + counts.dropped_total + counts.pending
        return table_rows(Path(folder)), writer


@pytest.mark.parametrize("name", CHANNELS)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_stream(name: AccountTableName, data: st.DataObject) -> None:
    items = data.draw(streams(name))
    slow = SlowAccountTable(name)
    for item in items:
        slow.put(item)
    rows, writer = written(WRITERS[name], items, data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9)))
    assert [read_back(row) for row in rows] == [plain(row) for row in slow.rows]
    assert writer.counts.dropped == {reason: count for reason, count in slow.dropped.items() if count}
    assert writer.counts.received == slow.received
    assert writer.mismatches == {name: count for name, count in slow.mismatches.items() if count}

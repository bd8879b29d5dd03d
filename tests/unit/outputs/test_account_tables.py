"""Tables of orders, executions, P&L and accounts: the right row for each update, segments, repeats, and counts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cpapi_fast.errors import ConfigError, OutputError, UsageError
from cpapi_fast.events import Cause, FeedState, Gap, StateChange
from cpapi_fast.messages.orders import OrderUpdate
from cpapi_fast.outputs.event_log import event_line
from cpapi_fast.outputs.interface import EventObserver
from cpapi_fast.outputs.run_events import OrderList
from cpapi_fast.outputs.tables import order_rows
from cpapi_fast.outputs.tables.account_rows import LedgerRows
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES, AccountTableName, account_table_schema
from cpapi_fast.outputs.tables.accounts import (
    AccountSummaryWriter,
    AccountWriter,
    ExecutionsWriter,
    LedgerWriter,
    OrdersWriter,
    PnlWriter,
)
from cpapi_fast.outputs.tables.reader import read_table
from tests.support.account_frames import (
    FRAMES,
    ORDER,
    WRITERS,
    execution,
    full_order,
    ledger,
    order,
    pnl,
    summary,
)
from tests.support.batches import batch_of
from tests.support.clocks import HandClock
from tests.support.files import file_size_limit, quote, table_rows

LOST = StateChange(1, FeedState.DISCONNECTED, FeedState.STREAMING, Cause.CONNECTION_LOST, "")


def rows_of(folder: Path, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in table_rows(folder)]


def check_counts(writer: AccountWriter) -> None:
    counts = writer.counts
    assert counts.received == counts.written + counts.taken_away + counts.dropped_total + counts.pending


# --- what a row has --------------------------------------------------------------------------------------------------


def test_an_order_has_its_whole_state_after_each_update(tmp_path: Path) -> None:
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(), b'{"topic":"spl","args":{}}', quote(1)], 10))
        writer.write(batch_of([order(status="Filled", filledQuantity=3.0, avgPrice="189.90"), order()], 20))
    first, filled, repeated = table_rows(tmp_path)
    assert first == dict.fromkeys(account_table_schema("orders").names) | {
        "received": 10, "account": "DU1234567", "segment": 10, "is_listed": False, "order_id": 7, "conid": 8314,
        "conidex": "8314", "status": "PreSubmitted", "order_ccp_status": "Submitted", "side": "SELL",
        "order_type": "Limit", "orig_order_type": "LIMIT", "price": 190.0, "total_size": 3.0, "filled_quantity": 0.0,
        "remaining_quantity": 3.0, "size_and_fills": "0/3", "time_in_force": "GTC", "outside_rth": False,
        "order_desc": "Sell 3 IBM Limit 190.00, GTC", "description1": "IBM", "ticker": "IBM",
        "company_name": "INTL BUSINESS MACHINES CORP", "sec_type": "STK", "listing_exchange": "NYSE",
        "cash_ccy": "USD", "last_execution_time_text": "260101000000", "last_execution_time": 1767225600000,
        "supports_tax_opt": True, "is_event_trading": False, "bg_color": "#FFFFFF", "fg_color": "#0000CC",
    }  # fmt: skip
    changed = {"received": 20, "status": "Filled", "filled_quantity": 3.0, "avg_price": 189.9}
    assert filled == first | changed
    assert repeated == filled, "an update that changes nothing has a row"
    assert (writer.counts.received, writer.counts.written, writer.mismatches) == (3, 3, {})


def test_an_execution_has_a_row_and_one_with_its_commission(tmp_path: Path) -> None:
    frames = [b'{"topic":"str","args":[]}', execution(), execution(number=2), execution(commission="1.05")]
    with ExecutionsWriter(tmp_path) as writer:
        writer.write(batch_of(frames, 10))
    found = rows_of(
        tmp_path, "received", "account", "execution_id", "side", "size", "commission", "trade_time", "other"
    )
    one, two = "0000e0d5.00000001.01.01", "0000e0d5.00000002.01.01"
    assert found == [
        (10, "DU1234567", one, "B", 3.0, None, 1777472478000, None),
        (10, "DU1234567", two, "B", 3.0, None, 1777472478000, None),
        (10, "DU1234567", one, "B", 3.0, 1.05, 1777472478000, None),
    ]
    assert [row["order_id"] for row in table_rows(tmp_path)] == [1777439171105] * 3
    assert [row["account_code"] for row in table_rows(tmp_path)] == ["DU1234567"] * 3


def test_executions_that_are_sent_again_have_no_row(tmp_path: Path) -> None:
    """After a reconnect the gateway sends those of the last days again, first without and then with commission."""
    backlog = [execution(), execution(number=2), execution(commission="1.05"), execution(number=2, commission="2")]
    with ExecutionsWriter(tmp_path) as writer:
        writer.write(batch_of(backlog, 10))
        writer.write(batch_of([*backlog, execution(number=3), *backlog], 20))
        # A correction is a change.
        writer.write(batch_of([execution(price="190.01"), execution(price="190.01", commission=None)], 30))
    assert writer.counts.dropped == {"repeated execution": 9}
    assert rows_of(tmp_path, "received", "price", "commission") == [
        (10, 190.0, None), (10, 190.0, None), (10, 190.0, 1.05), (10, 190.0, 2.0), (20, 190.0, None),
        (30, 190.01, 1.05),
    ]  # fmt: skip
    assert (writer.counts.received, writer.counts.written) == (15, 6)


def test_executions_without_an_id_or_beyond_the_kept_ones_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_rows, "MOST_KEPT", 2)
    nameless = orjson.dumps({"topic": "str", "args": [{"size": 5}]})
    long_name = orjson.dumps({"topic": "str", "args": [{"execution_id": "x" * 300}]})
    many = [execution(number=number, trade_time_r=1777472478000 + number) for number in range(4)]
    with ExecutionsWriter(tmp_path) as writer:
        writer.write(batch_of([nameless, nameless, long_name, *many, *many]))
    assert writer.left_out == 5
    # Two are recognised, and two are too old for that.
    assert (writer.counts.written, writer.counts.dropped) == (9, {"repeated execution": 2})
    assert [row["execution_id"] for row in table_rows(tmp_path)][:3] == [None, None, "x" * 300]


def test_profit_and_loss_has_a_row_per_account_and_part(tmp_path: Path) -> None:
    two = b'{"topic":"spl","args":{"U1.Core":{"rowType":1,"dpl":2.0201311791131118E8},"DU22222.":{"upl":"1,234.5"}}}'
    with PnlWriter(tmp_path) as writer:
        writer.write(batch_of([pnl(dpl=1.5, nl=100, upl=2, el=3, uel=3.25, mv=4), two], 10))
    assert rows_of(tmp_path, "received", "account", "name", "row_type", "dpl", "upl", "nl", "el", "uel", "mv") == [
        (10, "DU1234567", "DU1234567.Core", 1, 1.5, 2.0, 100.0, 3.0, 3.25, 4.0),
        (10, "U1", "U1.Core", 1, 202013117.91131118, None, None, None, None, None),
        (10, "DU22222", "DU22222.", None, None, 1234.5, None, None, None, None),
    ]
    assert writer.counts.received == writer.counts.written == 3


def test_a_summary_has_a_row_per_value(tmp_path: Path) -> None:
    with AccountSummaryWriter(tmp_path) as writer:
        writer.write(batch_of([summary(NetLiquidation=1e6, AccountType="INDIVIDUAL"), summary("U7", Cushion=0.5)], 10))
    names = ("received", "account", "key", "currency", "monetary_value", "value", "severity", "timestamp")
    assert rows_of(tmp_path, *names) == [
        (10, "DU1234567", "NetLiquidation", "USD", 1e6, None, 0, 1767225600000),
        (10, "DU1234567", "AccountType", None, None, "INDIVIDUAL", 0, 1767225600000),
        (10, "U7", "Cushion", "USD", 0.5, None, 0, 1767225600000),
    ]


def test_a_ledger_has_a_row_per_currency(tmp_path: Path) -> None:
    with LedgerWriter(tmp_path) as writer:
        writer.write(batch_of([ledger(cashbalance=5.5, realizedPnl=-1, secondKey="USD"), ledger("BASE")], 10))
    names = ("account", "key", "second_key", "cash_balance", "realized_pnl", "unrealized_pnl", "timestamp")
    assert rows_of(tmp_path, *names) == [
        ("DU1234567", "LedgerListUSD", "USD", 5.5, -1.0, None, 1767225600000),
        ("DU1234567", "LedgerListBASE", None, None, None, None, 1767225600000),
    ]


def test_values_of_another_kind_are_null_and_kept_as_json(tmp_path: Path) -> None:
    """Nothing is guessed, and nothing is lost."""
    wrong = {
        "conid": "IBM", "status": 5, "price": ["x"], "outsideRTH": "maybe", "lastExecutionTime_r": 10**18,
        "totalSize": "lots", "new": {"a": [1, None]}, "ticker": 5, "conidex": 2**70,
    }  # fmt: skip
    with OrdersWriter(tmp_path) as writer:
        raw = json.dumps({"topic": "sor", "args": [{"acct": 5, "orderId": 2**63} | wrong]}).encode()
        writer.write(batch_of([raw, order(status="SomethingNew", account="U999")]))
    row, other = table_rows(tmp_path)
    assert json.loads(row.pop("other")) == {"acct": 5, "orderId": 2**63} | wrong
    assert {name: value for name, value in row.items() if value is not None} == {
        "received": 1, "segment": 1, "is_listed": False,
    }  # fmt: skip
    assert writer.mismatches == dict.fromkeys(
        ("account", "order_id", "conid", "status", "price", "outside_rth", "last_execution_time", "total_size",
         "ticker", "conidex"), 1,
    )  # fmt: skip
    # A status that the library does not know is a status. Two accounts that differ are both there.
    assert (other["status"], other["account"], other["other"]) == ("SomethingNew", "DU1234567", '{"account":"U999"}')


def test_a_wrong_value_that_rows_keep_counts_once(tmp_path: Path) -> None:
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([order(price=[1], account=5), *[order(isEventTrading="0")] * 9]))
        writer.observe_event(OrderList(5, (OrderUpdate({"orderId": 7, "totalSize": "lots"}),)))
        assert writer.mismatches == {"price": 1, "account": 1, "total_size": 1}
        writer.write(batch_of([order(price=[1])]))
        assert writer.mismatches == {"price": 2, "account": 1, "total_size": 1}
    assert {(row["price"], json.loads(row["other"])["price"][0]) for row in table_rows(tmp_path)} == {(None, 1)}


@pytest.mark.parametrize("name", ACCOUNT_TABLES)
@pytest.mark.parametrize(
    ("body", "updates"), [("[{},{}]", 2), ('{"a":{},"b":5,"c":{}}', 3), ('"x"', 1), ("null", 0), ("[]", 0)]
)
def test_updates_of_an_error_are_counted(tmp_path: Path, name: AccountTableName, body: str, updates: int) -> None:
    topic = {"orders": "sor", "executions": "str", "pnl": "spl", "account_summary": "ssd+U1", "ledger": "sld+U1"}[name]
    key = "result" if name in ("account_summary", "ledger") else "args"
    with WRITERS[name](tmp_path) as writer:
        writer.write(batch_of([f'{{"topic":"{topic}","{key}":{body},"error":"failed"}}'.encode()]))
        check_counts(writer)
    dropped = {"malformed": updates} if updates else {}
    assert (writer.counts.received, writer.counts.written, writer.counts.dropped) == (updates, 0, dropped)


def test_an_empty_text_is_no_account(tmp_path: Path) -> None:
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([order(acct="", account="DU9"), order(order_id=8, acct="", account="")]))
    assert rows_of(tmp_path, "account", "other") == [("DU9", None), (None, None)]
    assert writer.mismatches == {}


@pytest.mark.parametrize("text", ["", "-", "N/A", None])
def test_what_stands_for_no_value_is_nothing_wrong(tmp_path: Path, text: str | None) -> None:
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(price=text, lastExecutionTime_r=text, outsideRTH=text, conid=text)]))
    assert rows_of(tmp_path, "price", "last_execution_time", "outside_rth", "conid", "other") == [(None,) * 5]
    assert writer.mismatches == {}


def test_members_that_json_cannot_repeat(tmp_path: Path) -> None:
    deep = "[" * 900 + "]" * 900
    frames = [
        b'{"topic":"spl","args":{"U1.Core":{"new":1e400,"more":"\\ud800","dpl":1}}}',
        b'{"topic":"spl","args":{"U1.Core":{"new":%b,"dpl":2}}}' % deep.encode(),
        b'{"topic":"spl","args":{"\\ud800.Core":{"dpl":3}}}',
    ]
    with PnlWriter(tmp_path) as writer:
        writer.write(batch_of(frames))
    rows = table_rows(tmp_path)
    assert [row["dpl"] for row in rows] == [1.0, 2.0, 3.0]
    assert json.loads(rows[0]["other"]) == {"new": "1E+400", "more": "\ud800"}
    assert rows[2]["name"] == "\ufffd.Core"
    if rows[1]["other"] is None:
        assert writer.mismatches == {"other": 1}
    else:
        assert rows[1]["other"] == f'{{"new":{deep}}}'


@pytest.mark.parametrize("name", ACCOUNT_TABLES)
@pytest.mark.parametrize(
    ("body", "updates"),
    [(None, 1), ("null", 1), ("5", 1), ('"x"', 1), ("[]", 0), ("{}", 1), ("[null]", 1), ('[{},5,"x",[]]', 4)],
)
def test_updates_that_are_no_objects_are_counted(
    tmp_path: Path, name: AccountTableName, body: str | None, updates: int
) -> None:
    topic = {"orders": "sor", "executions": "str", "pnl": "spl", "account_summary": "ssd+U1", "ledger": "sld+U1"}[name]
    key = "result" if name in ("account_summary", "ledger") else "args"
    if name == "pnl" and body is not None and body[0] in "[{":
        # An object takes the place of the array.
        body = {"[]": "{}", "{}": "[]", "[null]": '{"U1":null}', '[{},5,"x",[]]': '{"U1":{},"a":5,"b":"x","c":[]}'}[
            body
        ]
    raw = f'{{{"" if body is None else f"{json.dumps(key)}:{body},"}"topic":"{topic}"}}'.encode()
    with WRITERS[name](tmp_path) as writer:
        writer.write(batch_of([raw]))
        check_counts(writer)
    rows = updates == 4
    assert writer.counts.received == updates
    assert writer.counts.written == rows
    assert writer.counts.dropped == ({"malformed": updates - rows} if updates - rows else {})


@pytest.mark.parametrize("name", ACCOUNT_TABLES)
def test_messages_that_are_not_json_and_errors(tmp_path: Path, name: AccountTableName) -> None:
    topic = orjson.loads(FRAMES[name][0])["topic"].encode()
    frames = [
        b'{"a":nonsense,"topic":"%b"}' % topic,
        b'{"error":"unable to subscribe","code":500,"topic":"%b"}' % topic,
        b"nonsense",
        b'{"topic":5}',
    ]
    with WRITERS[name](tmp_path) as writer:
        writer.write(batch_of(frames))
    assert (writer.counts.received, writer.counts.dropped, writer.files) == (1, {"malformed": 1}, [])


def test_repeated_keys_count_as_the_decoder_reads_them(tmp_path: Path) -> None:
    with PnlWriter(tmp_path) as writer:
        writer.write(batch_of([b'{"topic":"spl","args":{"U1.Core":{"dpl":1,"dpl":2},"U1.Core":{"dpl":3,"dpl":"x"}}}']))
    assert rows_of(tmp_path, "dpl", "other") == [(None, '{"dpl":"x"}')]


# --- segments of orders ----------------------------------------------------------------------------------------------


def listed(received_ns: int, **members: Any) -> OrderList:
    return OrderList(received_ns, (OrderUpdate(ORDER | members),))


def test_nothing_is_carried_across_an_interruption(tmp_path: Path) -> None:
    names = ("received", "segment", "is_listed", "order_id", "ticker", "status")
    with OrdersWriter(tmp_path) as writer:
        assert isinstance(writer, EventObserver)
        writer.write(batch_of([full_order()], 10))
        writer.observe_event(LOST)
        writer.write(batch_of([order(status="Submitted")], 20))
        # The list of all orders says again what is known. It has no member that is older than an update.
        older = {key: value for key, value in ORDER.items() if key != "status"}
        writer.observe_event(OrderList(30, (OrderUpdate(older),)))
        writer.write(batch_of([order(status="Filled")], 40))
    assert rows_of(tmp_path, *names) == [
        (10, 10, False, 7, "IBM", "PreSubmitted"),
        (20, 20, False, 7, None, "Submitted"),
        (30, 20, True, 7, "IBM", "Submitted"),
        (40, 20, False, 7, "IBM", "Filled"),
    ]
    assert (writer.counts.received, writer.counts.written) == (4, 4)


def test_a_further_list_in_a_segment_replaces_what_came_before(tmp_path: Path) -> None:
    """The first list of a session may be incomplete, and is followed by another one."""
    with OrdersWriter(tmp_path) as writer:
        writer.observe_event(listed(10, status="PreSubmitted"))
        writer.write(batch_of([order(status="Submitted", filledQuantity=0.0)], 20))
        writer.observe_event(listed(30, status="Filled", filledQuantity=3.0, remainingQuantity=0.0))
    names = ("is_listed", "segment", "status", "filled_quantity", "remaining_quantity")
    assert rows_of(tmp_path, *names) == [
        (True, 10, "PreSubmitted", 0.0, 3.0), (False, 10, "Submitted", 0.0, 3.0), (True, 10, "Filled", 3.0, 0.0),
    ]  # fmt: skip


def test_a_listed_order_that_made_room_for_others_is_as_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_rows, "MOST_KEPT", 2)
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(orderId=number, status="Filled") for number in range(3)], 5))
        writer.observe_event(listed(10, orderId=0, status="Filled"))
    assert rows_of(tmp_path, "order_id", "ticker", "status", "price")[-1] == (0, "IBM", "Filled", 190.0)


def test_ids_and_members_take_no_memory_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_rows, "MOST_KEPT", 10)
    with OrdersWriter(tmp_path, group_rows=100) as writer:
        used = []
        for part in range(3):
            for number in range(part * 2_000, part * 2_000 + 2_000):
                writer.write(batch_of([order(order_id=number, status="Filled"), order(**{f"new{number}": 1})]))
            used.append(kept_bytes(writer))
        assert used[2] < 2 * used[0]


def kept_bytes(writer: AccountWriter) -> int:
    """How many bytes the merged state of orders takes."""
    orders = writer._rows._orders  # type: ignore[attr-defined]
    return len(pickle.dumps({name: vars(orders)[name] for name in ("_since_request", "_finished", "_arrived")})) + sum(
        len(pickle.dumps(row)) for row in orders.store.rows.values()
    )


@pytest.mark.parametrize("state", FeedState)
def test_which_states_interrupt(tmp_path: Path, state: FeedState) -> None:
    kept = {FeedState.AUTHENTICATED, FeedState.STREAMING, FeedState.STALE}
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order()], 10))
        writer.observe_event(StateChange(1, state, FeedState.STREAMING, Cause.DATA, ""))
        writer.observe_event(StateChange(1, FeedState.STALE, FeedState.STREAMING, Cause.DATA, "", "smd+1"))
        writer.write(batch_of([order()], 20))
    assert rows_of(tmp_path, "segment", "ticker")[1] == ((10, "IBM") if state in kept else (20, None))


def test_a_refused_subscribe_interrupts(tmp_path: Path) -> None:
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order()], 10))
        writer.observe_event(
            StateChange(1, FeedState.STALE, FeedState.STREAMING, Cause.SUBSCRIPTION_REFUSED, "", "sor")
        )
        writer.write(batch_of([order()], 10))
    assert rows_of(tmp_path, "segment", "ticker") == [(10, "IBM"), (11, None)]


def test_gaps(tmp_path: Path) -> None:
    """A gap is reported before the first update after it, which may be after the list of all orders."""
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order()], 10))
        writer.observe_event(LOST)
        writer.observe_event(listed(30))
        writer.observe_event(Gap("sor", 10, 40, Cause.CONNECTION_LOST))
        writer.write(batch_of([order(status="Submitted")], 40))
        writer.observe_event(Gap("smd+1", 40, 50, Cause.CONNECTION_LOST))
        writer.write(batch_of([order()], 50))
        # Frames that were dropped may have been updates.
        writer.observe_event(Gap(None, 20, 60, Cause.CONSUMER_OVERFLOW, 5))
        writer.write(batch_of([order()], 55))
        writer.write(batch_of([order(ticker="IBM")], 60))
        writer.observe_event(Gap("sor", 60, 70, Cause.SESSION_ENDED))
        writer.write(batch_of([order()], 70))
    assert rows_of(tmp_path, "received", "segment", "ticker") == [
        (10, 10, "IBM"), (30, 30, "IBM"), (40, 30, "IBM"), (50, 30, "IBM"), (55, 55, None), (60, 60, "IBM"),
        (70, 70, None),
    ]  # fmt: skip


def test_orders_for_which_there_is_no_room_have_their_own_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_rows, "MOST_KEPT", 2)
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(orderId=number) for number in range(3)]))
        writer.write(batch_of([order(order_id=number, status="Submitted") for number in range(3)]))
        writer.write(batch_of([b'{"topic":"sor","args":[{"ticker":"IBM"}]}']))
    assert [ticker for (ticker,) in rows_of(tmp_path, "ticker")] == ["IBM"] * 5 + [None, "IBM"]
    assert writer.left_out == 3


def test_what_is_too_large_to_keep_is_in_its_own_row(tmp_path: Path) -> None:
    large = "x" * 40_000
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(), order(new=large, status="Submitted"), order(status="Filled")]))
        writer.observe_event(OrderList(5, (OrderUpdate({"orderId": 7, "new": large, "price": "1"}),)))
    found = rows_of(tmp_path, "ticker", "status", "price", "other")
    other = json.dumps({"new": large}, separators=(",", ":"))
    assert found == [
        ("IBM", "PreSubmitted", 190.0, None), ("IBM", "Submitted", 190.0, other), ("IBM", "Filled", 190.0, None),
        ("IBM", "Filled", 1.0, other),
    ]  # fmt: skip
    assert writer.left_out == 2


def test_an_execution_that_is_too_large_is_no_repeat(tmp_path: Path) -> None:
    with ExecutionsWriter(tmp_path) as writer:
        notes = ["x" * 40_000, "y" * 40_000]
        writer.write(batch_of([execution(), *[execution(note=note) for note in notes], execution()]))
    assert [row["other"] and json.loads(row["other"])["note"] for row in table_rows(tmp_path)] == [None, *notes]
    assert (writer.left_out, writer.counts.dropped) == (2, {"repeated execution": 1})


def test_an_empty_list_begins_a_segment(tmp_path: Path) -> None:
    """Otherwise the orders of before would look like the last known ones."""
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order()], 10))
        writer.observe_event(LOST)
        writer.observe_event(OrderList(20, ()))
        writer.write(batch_of([full_order(orderId=8)], 30))
    marker = dict.fromkeys(account_table_schema("orders").names) | {"received": 20, "segment": 20, "is_listed": True}
    rows = table_rows(tmp_path)
    assert rows[1] == marker
    assert [(row["order_id"], row["segment"]) for row in rows] == [(7, 10), (None, 20), (8, 20)]
    assert (writer.counts.received, writer.counts.written, writer.left_out) == (3, 3, 0)


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACCOUNT_TABLES)
def test_files_have_the_schema_and_are_private(tmp_path: Path, name: AccountTableName) -> None:
    with WRITERS[name](tmp_path, roll_rows=2, run="abc123", metadata={"a": "b"}) as writer:
        writer.write(batch_of(FRAMES[name] * 2))
    assert len(writer.files) > 1
    schema = account_table_schema(name)
    assert all(field.metadata[b"description"] for field in schema)
    for path in writer.files:
        found = pq.read_schema(path)
        assert found.equals(schema.with_metadata({**schema.metadata, "a": "b"}), check_metadata=True)
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.name.startswith(f"{name}-")
        assert path.name.endswith("-abc123.parquet")
    assert found.metadata[b"cpapi_fast.format"] == name.encode()
    assert found.field("received").type == pa.timestamp("ns", "UTC")
    table = read_table(writer.files)
    assert table.num_rows == writer.counts.written
    with WRITERS["pnl" if name != "pnl" else "orders"](tmp_path, "other") as other:
        other.write(batch_of(FRAMES[other.name]))
    with pytest.raises(ConfigError, match="they are different tables"):
        read_table([*writer.files, *other.files])


async def test_a_file_is_finished_when_it_is_due(tmp_path: Path) -> None:
    clock = HandClock()
    with PnlWriter(tmp_path, roll_interval_s=60.0, clock=clock) as writer:
        writer.write(batch_of([pnl(dpl=1)]))
        await clock.advance(59.0)
        assert writer.poll() == 1.0
        await clock.advance(1.0)
        writer.poll()
        assert (writer.counts.written, len(writer.files)) == (1, 1)
    with pytest.raises(UsageError, match="are closed"):
        writer.write(batch_of([pnl(dpl=1)]))


def test_a_deleted_file_is_counted(tmp_path: Path) -> None:
    with OrdersWriter(tmp_path, group_rows=1) as writer:
        writer.write(batch_of([full_order()]))
        next(tmp_path.glob("*.part")).unlink()
        writer.write(batch_of([order()]))
    assert (writer.counts.dropped, writer.counts.written) == ({"file deleted": 1}, 1)
    assert [change.change for change in writer.changes] == ["deleted"]
    check_counts(writer)


def test_a_full_disk(tmp_path: Path) -> None:
    with file_size_limit(2_000):
        writer = AccountSummaryWriter(tmp_path, group_rows=50)
        values = {f"Key{number}": number * 1.1 for number in range(120)}
        with pytest.raises(OutputError):
            writer.write(batch_of([summary(**values)]))
        check_counts(writer)
        assert writer.counts.dropped == {"write error": 120}
        with pytest.raises(OutputError):
            writer.write(batch_of([summary(**values)]))
        writer.discard(batch_of([summary(A=1.0)]))
        assert (writer.counts.received, writer.counts.dropped_total) == (241, 241)
        writer.close()


def test_a_list_after_an_error_is_not_written(tmp_path: Path) -> None:
    with file_size_limit(200):
        writer = OrdersWriter(tmp_path, group_rows=1)
        with pytest.raises(OutputError):
            writer.observe_event(listed(10))
        assert writer.counts.dropped == {"write error": 1}
        writer.observe_event(listed(20))
        writer.observe_event(OrderList(30, ()))
        assert (writer.counts.received, writer.counts.dropped) == (3, {"write error": 3})
        check_counts(writer)
        writer.close()


def test_large_texts_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Rows are written earlier when their texts are large."""
    with OrdersWriter(tmp_path) as writer:
        writer.write(batch_of([full_order(new="x" * 30_000)]))
        many = orjson.dumps({"topic": "sor", "args": [{"orderId": 7}] * 3_000})
        writer.write(batch_of([many]))
    assert writer.counts.written == 3_001
    file = pq.ParquetFile(writer.files[0])
    assert file.metadata.num_row_groups >= 3
    file.close()


def test_rows_without_a_batch() -> None:
    rows = LedgerRows()
    assert (rows.take(), len(rows), rows.left, rows.move(5)) == ([], 0, 0, 0)


def test_the_events_have_the_number_of_orders_in_a_list() -> None:
    assert orjson.loads(event_line(listed(1_767_277_800_123_000_000), 5)) == {
        "type": "order_list", "time": "2026-01-01T14:30:00.123+00:00", "row": 5,
        "received_ns": 1_767_277_800_123_000_000, "orders": 1,
    }  # fmt: skip


def test_reprs_have_no_account() -> None:
    assert repr(listed(10)) == "OrderList(1 orders)"

"""KeptState: orders over sparse updates, executions once, rows of accounts, the session; bounded, and interrupted."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cpapi_fast.feed.machine import SessionFacts
from cpapi_fast.feed.state import KeptState, Row, StateKind
from cpapi_fast.feed.state.rows import MAX_CHARACTERS, MAX_MEMBERS
from cpapi_fast.frames.batch import BatchBuilder
from cpapi_fast.frames.frame import Frame
from cpapi_fast.messages import OrderStatus, Side
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.frames import VALID

ACCOUNT = "DU1234567"
FACTS = SessionFacts(1, True, True, False)


class Kept:
    """A state, the changes that it reported, and a counter of receive times."""

    def __init__(self, most: int = 100) -> None:
        self.state = KeptState(max_orders=most, max_executions=most, max_account_rows=most)
        self.changes: list[tuple[StateKind, Row]] = []
        self.state.on_change = lambda kind, row: self.changes.append((kind, row))
        self.received_ns = 0

    def frame(self, message: dict[str, Any] | bytes) -> Frame:
        self.received_ns += 1
        builder = BatchBuilder()
        builder.append(message if isinstance(message, bytes) else json.dumps(message).encode())
        batch = builder.finish(self.received_ns)
        assert batch is not None
        return batch[0]

    def put(self, message: dict[str, Any] | bytes) -> list[Row]:
        """Merge a message, and return the rows that changed."""
        self.changes.clear()
        self.state.on_subscription_frame(self.frame(message))
        self.state.flush()
        return [row for _, row in self.changes]

    def orders(self, *rows: dict[str, Any]) -> list[Any]:
        return self.put({"topic": "sor", "args": list(rows)})

    def executions(self, *rows: dict[str, Any]) -> list[Any]:
        return self.put({"topic": "str", "args": list(rows)})

    def interrupt(self, is_open: Callable[[str], bool] = lambda _topic: False) -> list[Any]:
        self.changes.clear()
        self.state.check_interruptions(is_open)
        self.state.flush()
        return [row for _, row in self.changes]


def test_frames_of_all_shapes_are_merged_or_ignored():
    kept = Kept()
    for raws in VALID.values():
        for raw in raws:
            kept.put(raw)
            kept.state.on_connection_frame(kept.frame(raw))
    payloads = [json.loads(raw) for raw in VALID[FrameKind.ORDER]]
    merged: dict[Any, dict[str, Any]] = {}
    for row in (row for payload in payloads if payload["topic"] == "sor" for row in payload.get("args") or ()):
        merged.setdefault(row["orderId"], {}).update(row)
    assert merged
    assert {number: order.raw for number, order in kept.state.orders.snapshot.items()} == merged


def test_an_order_is_merged_from_sparse_updates():
    kept = Kept()
    (order,) = kept.orders(
        {"orderId": 7, "acct": ACCOUNT, "status": "Inactive", "side": "BUY", "totalSize": 2.0, "price": "1.00",
         "filledQuantity": 0.0, "new": {"a": 1}}
    )  # fmt: skip
    assert (order.order_id, order.status, order.side, order.price) == (7, OrderStatus.INACTIVE, Side.BUY, 1.0)
    assert repr(order) == "<Order 7, Inactive, BUY 0.0 of 2.0>"
    before = kept.state.orders.snapshot
    (order,) = kept.orders({"orderId": 7, "acct": ACCOUNT, "status": "Submitted"})
    # A member that is missing keeps its value, and so does one that the class does not have.
    assert (order.status, order.price, order.extras, order.received_ns) == (
        OrderStatus.SUBMITTED, 1.0, {"new": {"a": 1}}, 2
    )  # fmt: skip
    # A snapshot does not change.
    assert before[7].status is OrderStatus.INACTIVE
    assert kept.state.orders.snapshot[7] is order
    # Nothing changed: only the receive time.
    assert kept.orders({"orderId": 7, "acct": ACCOUNT}) == []
    assert kept.state.orders.snapshot[7].received_ns == 3
    # null is a value: the order has no price from now on.
    (order,) = kept.orders({"orderId": 7, "price": None})
    assert (order.price, order.problems) == (None, ())
    # A value of another type is None and listed, and the others stay.
    (order,) = kept.orders({"orderId": 7, "totalSize": [], "status": "Unheard"})
    assert (order.total_size, order.status, order.side) == (None, None, Side.BUY)
    assert order.problems == ("status", "totalSize")


def test_several_updates_in_one_message_are_applied_in_order():
    kept = Kept()
    changed = kept.orders({"orderId": 1, "status": "Inactive"}, {"orderId": 2}, {"orderId": 1, "status": "Submitted"})
    assert [(order.order_id, order.status) for order in changed] == [(1, "Inactive"), (2, None), (1, "Submitted")]
    assert list(kept.state.orders.snapshot) == [1, 2]


@pytest.mark.parametrize("order_id", [None, "", "x", [], {}, True, 1.5])
def test_an_update_without_an_id_is_counted(order_id: object):
    kept = Kept()
    assert kept.orders({"orderId": order_id, "status": "Filled"}) == []
    assert kept.executions({"execution_id": order_id if order_id != "x" else 5}) == []
    assert (kept.state.rows_left_out, len(kept.state.orders.snapshot)) == (2, 0)


def test_ids_are_exact():
    kept = Kept()
    kept.orders({"orderId": 1777439171105}, {"orderId": "1777439171106"}, {"orderId": 1777439171105.0})
    assert list(kept.state.orders.snapshot) == [1777439171105, 1777439171106]


def test_after_an_interruption_only_finished_orders_are_current():
    kept = Kept()
    kept.orders({"orderId": 1, "status": "Submitted", "price": "5"}, {"orderId": 2, "status": "Filled"})
    kept.orders({"orderId": 3, "status": "Cancelled"}, {"orderId": 4})
    assert kept.interrupt(lambda topic: topic == "sor") == []
    changed = kept.interrupt()
    assert [(order.order_id, order.is_current) for order in changed] == [(1, False), (4, False)]
    assert repr(changed[0]) == "<Order 1, Submitted, None None of None, not current>"
    assert kept.interrupt() == []
    orders = kept.state.orders.snapshot
    assert [order.is_current for order in orders.values()] == [False, True, True, False]
    # An update makes an order current again, even one that changes nothing; the rest stays as it is.
    (order,) = kept.orders({"orderId": 1})
    assert (order.is_current, order.price, order.status) == (True, 5.0, "Submitted")
    assert [order.is_current for order in kept.state.orders.snapshot.values()] == [True, True, True, False]
    # The gateway may also send orders again in full.
    changed = kept.orders({"orderId": 1, "status": "Submitted"}, {"orderId": 5, "status": "Submitted"})
    assert [order.order_id for order in changed] == [5]


def test_an_execution_is_kept_once_and_its_commission_is_joined():
    kept = Kept()
    first = {"execution_id": "a.1", "side": "B", "size": 3.0, "price": "190.01", "position": "3"}
    (execution,) = kept.executions(first)
    assert (execution.side, execution.price, execution.commission) == (Side.BUY, 190.01, None)
    assert kept.executions(first) == []
    (execution,) = kept.executions({"execution_id": "a.1", "commission": "1.25"})
    assert (execution.commission, execution.position) == (1.25, 3.0)
    # After a reconnect the gateway sends the history again, first without the commission.
    assert kept.interrupt() == []
    assert kept.executions(first, first | {"commission": "1.25"}) == []
    assert kept.state.executions.snapshot["a.1"].commission == 1.25


def test_a_commission_may_arrive_first():
    kept = Kept()
    kept.executions({"execution_id": "a.1", "commission": "1.25"})
    (execution,) = kept.executions({"execution_id": "a.1", "size": 3.0})
    assert (execution.commission, execution.size) == (1.25, 3.0)


def test_the_number_of_orders_is_bounded_and_finished_ones_go_first():
    kept = Kept(most=3)
    kept.orders({"orderId": 1}, {"orderId": 2, "status": "Submitted"}, {"orderId": 3, "status": "Submitted"})
    kept.orders({"orderId": 3, "status": "Filled"}, {"orderId": 2, "status": "Cancelled"})
    kept.orders({"orderId": 4})
    # 3 finished first.
    assert list(kept.state.orders.snapshot) == [1, 2, 4]
    kept.orders({"orderId": 5})
    assert list(kept.state.orders.snapshot) == [1, 4, 5]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (2, 0)
    # All are working: the new one is left out, and updates of the others are merged.
    assert kept.orders({"orderId": 6}) == []
    assert [order.status for order in kept.orders({"orderId": 5, "status": "Submitted"})] == ["Submitted"]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (2, 1)
    # An order that is not current makes room.
    kept.interrupt()
    kept.orders({"orderId": 4}, {"orderId": 7})
    assert list(kept.state.orders.snapshot) == [4, 5, 7]
    # A finished order that works again is not the first to go.
    kept.orders({"orderId": 4, "status": "Filled"}, {"orderId": 4, "status": "Submitted"})
    kept.orders({"orderId": 7, "status": "Filled"}, {"orderId": 8}, {"orderId": 9})
    assert list(kept.state.orders.snapshot) == [4, 8, 9]


def test_the_number_of_executions_is_bounded():
    kept = Kept(most=2)
    kept.executions(*({"execution_id": str(number)} for number in range(5)))
    assert list(kept.state.executions.snapshot) == ["3", "4"]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (3, 0)


def test_the_size_of_a_row_is_bounded():
    kept = Kept()
    kept.orders({"orderId": 1, "status": "Submitted"})
    for update in (
        {"orderId": 1, "text": "x" * (MAX_CHARACTERS + 1)},
        {"orderId": 1, "list": ["x" * MAX_CHARACTERS]},
        {"orderId": 1, **{f"key{number}": 1 for number in range(MAX_MEMBERS)}},
        {"orderId": 2, "x" * MAX_CHARACTERS: 1},
    ):
        assert kept.orders(update) == []
    assert kept.orders({"orderId": 1, "a": "x" * (MAX_CHARACTERS // 2)})
    assert kept.orders({"orderId": 1, "b": "x" * (MAX_CHARACTERS // 2)}) == []
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    kept.orders({"orderId": 1, "deep": deep})
    assert kept.executions({"execution_id": "x" * 300}) == []
    assert kept.state.rows_left_out >= 6
    assert list(kept.state.orders.snapshot) == [1]


def test_profit_and_loss_by_the_name_of_the_row():
    kept = Kept()
    (row,) = kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"rowType": 1, "dpl": -5.5, "upl": 2.0}}})
    assert (row.name, row.account, row.dpl, row.upl, row.nl) == (f"{ACCOUNT}.Core", ACCOUNT, -5.5, 2.0, None)
    assert repr(row) == "<Pnl, day -5.5, unrealized 2.0>"
    (row,) = kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"dpl": 1.0}, "": {"dpl": 1.0}}})
    assert (row.dpl, row.upl, kept.state.rows_left_out) == (1.0, 2.0, 1)
    assert kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"dpl": 1.0}}}) == []
    (row,) = kept.interrupt()
    assert (row.is_current, row.dpl, row.name) == (False, 1.0, f"{ACCOUNT}.Core")
    (row,) = kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"dpl": 1.0}}})
    assert row.is_current


@pytest.mark.parametrize(("channel", "kind"), [("ssd", "account_values"), ("sld", "ledger_balances")])
def test_rows_of_accounts_by_account_and_key(channel: str, kind: str):
    kept = Kept()

    def put(account: str, *rows: dict[str, Any]) -> list[Any]:
        return kept.put({"result": list(rows), "topic": f"{channel}+{account}"})

    row = {"key": "A", "currency": "USD", "monetaryValue": 2.5, "cashbalance": 2.0201311791131118e8, "timestamp": 1}
    (first,) = put(ACCOUNT, row)
    put("DU2", {"key": "A", "monetaryValue": 7.0})
    assert (first.account, first.key, first.timestamp_s, first.is_current) == (ACCOUNT, "A", 1, True)
    assert ACCOUNT not in repr(first)
    # Only the time is new: the row has it, and that is no change.
    assert put(ACCOUNT, {"key": "A", "timestamp": 2}, {"nothing": 1}) == []
    store = getattr(kept.state, kind)
    assert store.snapshot[ACCOUNT, "A"].raw == row | {"timestamp": 2}
    assert kept.state.rows_left_out == 1
    (changed,) = put(ACCOUNT, {"key": "A", "monetaryValue": 3.5, "cashbalance": 4.0, "timestamp": 3})
    assert changed.raw["currency"] == "USD"
    # One account at a time.
    (stopped,) = kept.interrupt(lambda topic: topic == f"{channel}+DU2")
    assert (stopped.account, stopped.is_current) == (ACCOUNT, False)
    assert [row.is_current for row in store.snapshot.values()] == [False, True]
    # Beyond the bound, rows that are not current go first.
    put(ACCOUNT, *({"key": f"K{number}"} for number in range(200)))
    assert len(store.snapshot) == 100
    assert (ACCOUNT, "A") not in store.snapshot
    assert ("DU2", "A") in store.snapshot


def test_the_session_is_merged_within_a_connection():
    kept = Kept()
    session = kept.state.session

    def put(message: dict[str, Any]) -> bool:
        kept.changes.clear()
        kept.state.on_connection_frame(kept.frame(message))
        kept.state.flush()
        return bool(kept.changes)

    assert (session.session(FACTS).status, session.session(FACTS).authenticated) == (None, True)
    full = {"connected": True, "authenticated": True, "established": True, "message": "", "username": "user1234"}
    assert put({"topic": "sts", "args": full})
    assert put({"topic": "sts", "args": {"authenticated": False}})
    assert not put({"topic": "sts", "args": {"authenticated": False}})
    assert not put({"topic": "sts", "args": [1]})
    status = session.session(FACTS).status
    assert status is not None
    assert (status.authenticated, status.established, status.username) == (False, True, "user1234")
    assert put({"topic": "act", "args": {"accounts": [ACCOUNT], "selectedAccount": ACCOUNT, "isPaper": True}})
    assert put({"topic": "system", "success": "user1234", "isPaper": False})
    now = session.session(FACTS)
    assert (now.accounts, now.selected_account, now.is_paper, now.is_current) == ((ACCOUNT,), ACCOUNT, False, True)
    assert not put({"topic": "act", "args": {}})
    assert not put({"topic": "act", "args": {"accounts": ["x" * 40_000]}})
    assert not put({"topic": "ntf", "args": []})
    assert ACCOUNT not in repr(now)
    assert "user1234" not in repr(now)
    kept.state.on_connection_lost()
    lost = session.session(FACTS)
    assert (lost.is_current, lost.status) == (False, now.status)
    # The first status of a connection is not merged into that of the connection before.
    assert put({"topic": "sts", "args": {"connected": True}})
    again = session.session(FACTS).status
    assert again is not None
    assert (again.connected, again.established) == (True, None)
    assert kept.state.rows_left_out == 1


def test_held_changes_wait_and_nobody_is_called_without_a_callback():
    kept = Kept()
    kept.state.hold()
    assert kept.orders({"orderId": 1}) == []
    # The state itself does not wait.
    assert list(kept.state.orders.snapshot) == [1]
    kept.state.release()
    assert [kind for kind, _ in kept.changes] == ["order"]
    kept.state.on_change = None
    assert kept.orders({"orderId": 2}) == []
    kept.state.on_change = lambda kind, row: kept.changes.append((kind, row))
    kept.state.flush()
    assert kept.changes == []


def test_rows_can_be_pickled():
    kept = Kept()
    rows: list[Any] = kept.orders({"orderId": 1, "status": "Submitted"})
    rows += kept.put({"topic": "spl", "args": {"a.Core": {"dpl": 1.0}}})
    rows += kept.put({"topic": "ssd+a", "result": [{"key": "A"}]})
    rows += kept.put({"topic": "sld+a", "result": [{"key": "A"}]})
    rows += kept.interrupt()
    assert len(rows) == 8
    for row in rows:
        again = pickle.loads(pickle.dumps(row))
        assert type(again) is type(row)
        for name in (*row.__slots__, "raw"):
            assert getattr(again, name) == getattr(row, name)


def test_a_snapshot_is_a_mapping_that_shows_no_key():
    kept = Kept()
    kept.put({"topic": "ssd+DU7", "result": [{"key": "A"}]})
    snapshot = kept.state.account_values.snapshot
    assert snapshot is kept.state.account_values.snapshot
    assert (repr(snapshot), len(snapshot), list(snapshot)) == ("<1 rows>", 1, [("DU7", "A")])
    assert snapshot.get(("DU7", "B")) is None
    assert not hasattr(snapshot, "__setitem__")


@pytest.mark.parametrize("raw", [b"ech+hb", b"[]", b'{"topic":"sor","error":"unable","code":500}', b'{"topic":"sor"}'])
def test_other_frames_change_nothing(raw: bytes):
    kept = Kept()
    assert kept.put(raw) == []
    kept.state.on_connection_frame(kept.frame(raw))
    assert (kept.state.rows_left_out, len(kept.state.orders.snapshot)) == (0, 0)

"""KeptState: orders over sparse updates, executions once, rows of accounts, the session; bounded, and interrupted."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from cpapi_fast.feed.machine import SessionFacts
from cpapi_fast.feed.state import PnlRows
from cpapi_fast.messages import Side
from cpapi_fast.protocol.kinds import FrameKind
from tests.support.frames import VALID
from tests.unit.feed.kept_harness import Kept, working

ACCOUNT = "DU1234567"
FACTS = SessionFacts(1, True, True, False)


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


@pytest.mark.parametrize("order_id", [None, "", "x", [], {}, True, 1.5])
def test_an_update_without_an_id_is_counted(order_id: object):
    kept = Kept()
    assert kept.orders({"orderId": order_id, "status": "Filled"}) == []
    assert kept.executions({"execution_id": order_id if order_id != "x" else 5}) == []
    assert (kept.state.rows_left_out, len(kept.state.orders.snapshot)) == (2, 0)


@pytest.mark.parametrize(
    ("message", "count"),
    [
        ({"topic": "sor", "args": {"orderId": 1, "status": "Filled"}}, 1),
        ({"topic": "sor", "args": [5, None, "x", []]}, 4),
        ({"topic": "str", "args": "x"}, 1),
        ({"topic": "spl", "args": [{"DU1.Core": {"dpl": 1}}]}, 1),
        ({"topic": "spl", "args": {"DU1.Core": 5}}, 1),
        ({"topic": "ssd+DU1", "result": {"key": "A"}}, 1),
        ({"topic": "sld+DU1", "result": [[]]}, 1),
        ({"topic": "sld+DU1", "result": None}, 0),
        ({"topic": "sor", "error": "unable to subscribe", "code": 500}, 0),
    ],
)
def test_what_is_no_object_is_counted(message: dict[str, Any], count: int):
    kept = Kept()
    assert kept.put(message) == []
    assert kept.state.rows_left_out == count


def test_session_messages_may_have_a_subscription_of_their_own():
    kept = Kept()
    kept.put({"topic": "sts", "args": {"authenticated": True}})
    kept.put({"topic": "act", "args": {"accounts": [ACCOUNT]}})
    session = kept.state.session.session(FACTS)
    assert session.status is not None
    assert (session.status.authenticated, session.accounts) == (True, (ACCOUNT,))


def test_ids_are_exact():
    kept = Kept()
    kept.orders({"orderId": 1777439171105}, {"orderId": "1777439171106"}, {"orderId": 1777439171105.0})
    assert list(kept.state.orders.snapshot) == [1777439171105, 1777439171106]


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


def test_the_number_of_executions_is_bounded():
    kept = Kept(most=2)
    kept.executions(*({"execution_id": str(number)} for number in range(5)))
    assert list(kept.state.executions.snapshot) == ["3", "4"]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (3, 0)


def test_beyond_the_bound_the_latest_executions_stay_and_none_becomes_new_again():
    kept = Kept(most=3)
    past = [{"execution_id": f"e{number}", "trade_time_r": 1_000 * number, "size": 1.0} for number in range(1, 7)]
    changed = kept.executions(*past)
    assert [execution.execution_id for execution in changed] == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert list(kept.state.executions.snapshot) == ["e4", "e5", "e6"]
    for _ in range(3):
        # Sent again after a reconnect, in any order.
        past.reverse()
        assert kept.executions(*past) == []
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (3, 9)
    # The earliest goes first, not the one that arrived first; the commission of a kept one is joined.
    assert len(kept.executions({"execution_id": "e7", "trade_time_r": 5_500}, past[0] | {"commission": "1"})) == 2
    assert list(kept.state.executions.snapshot) == ["e5", "e6", "e7"]
    assert len(kept.executions({"execution_id": "e8", "trade_time_r": 9_000})) == 1
    assert list(kept.state.executions.snapshot) == ["e6", "e7", "e8"]
    # One without a time, or with a time that changes, is not removed before the others.
    kept.executions({"execution_id": "e7", "trade_time_r": 9_500}, {"execution_id": "e9"})
    assert list(kept.state.executions.snapshot) == ["e7", "e8", "e9"]
    kept.executions({"execution_id": "e10", "trade_time_r": 9_700})
    assert list(kept.state.executions.snapshot) == ["e7", "e9", "e10"]


def test_the_times_of_executions_take_no_more_memory_than_the_executions():
    kept = Kept(most=2)
    for number in range(1_000):
        kept.executions({"execution_id": str(number % 2), "trade_time_r": number})
    assert len(kept.state.executions._earliest) <= 105
    kept.executions({"execution_id": "2", "trade_time_r": 2_000})
    assert list(kept.state.executions.snapshot) == ["1", "2"]


@pytest.mark.parametrize("commission", [None, "", "-", "N/A"])
def test_an_execution_keeps_its_commission(commission: object):
    kept = Kept()
    kept.executions({"execution_id": "a", "commission": commission})
    assert kept.executions({"execution_id": "a", "commission": "1.25"})
    assert kept.executions({"execution_id": "a", "commission": commission}) == []
    assert kept.state.executions.snapshot["a"].commission == 1.25
    (execution,) = kept.executions({"execution_id": "a", "commission": "1.30"})
    assert execution.commission == 1.3


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
    assert kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"rowType": 1}}}) == []
    (row,) = kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"dpl": 1.0}}})
    assert row.is_current


def test_the_row_of_an_account_is_found_by_the_account_alone():
    kept = Kept()
    kept.put({"topic": "spl", "args": {"DU1.Core": {"dpl": 1.0}, "DU2.": {"dpl": 2.0}, "DU3.Other": {"dpl": 3.0}}})
    rows = PnlRows({name: row for (_, name), row in kept.state.pnl.snapshot.items()})
    assert (rows["DU1.Core"].dpl, rows["DU1"].dpl, rows["DU2"].dpl) == (1.0, 1.0, 2.0)
    assert list(rows) == ["DU1.Core", "DU2.", "DU3.Other"]
    assert ("DU1" in rows, "DU4" in rows, rows.get("DU1.") is None) == (True, False, True)
    for missing in ("DU3", "DU1.", "", 5):
        with pytest.raises(KeyError):
            rows[missing]  # type: ignore[index]


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
    # A row with its key and time only says nothing about the values.
    assert put(ACCOUNT, {"key": "A", "timestamp": 4}) == []
    assert not store.snapshot[ACCOUNT, "A"].is_current
    # Beyond the bound, rows that are not current go first.
    put(ACCOUNT, *({"key": f"K{number}", "severity": 0} for number in range(200)))
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
    # Equal by content, not by the message or when it arrived.
    again_now = pickle.loads(pickle.dumps(now))
    assert (again_now, hash(again_now)) == (now, hash(now))
    assert now != session.session(SessionFacts(1, False, True, False))
    assert now != 5
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
    rows: list[Any] = kept.orders(working(1))
    rows += kept.put({"topic": "spl", "args": {"a.Core": {"dpl": 1.0}}})
    rows += kept.put({"topic": "ssd+a", "result": [{"key": "A", "value": "1"}]})
    rows += kept.put({"topic": "sld+a", "result": [{"key": "A", "funds": 1.0}]})
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

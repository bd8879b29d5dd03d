"""The orders of a KeptState: merged from sparse updates, current only as far as they are confirmed, bounded."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.feed.state.rows import MAX_BYTES, MAX_MEMBERS, MAX_VALUE
from cpapi_fast.messages import OrderStatus, OrderUpdate, Side
from tests.unit.feed.kept_harness import Kept, working

ACCOUNT = "DU1234567"


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


def test_after_an_interruption_only_finished_orders_are_current():
    kept = Kept()
    kept.orders(working(1, price="5"), working(2, status="Filled"))
    kept.orders(working(3, status="Cancelled"), working(4))
    assert kept.interrupt(lambda topic: topic == "sor") == []
    changed = kept.interrupt()
    assert [(order.order_id, order.is_current) for order in changed] == [(1, False), (4, False)]
    assert repr(changed[0]) == "<Order 1, Submitted, None 0.0 of None, not current>"
    assert kept.interrupt() == []
    orders = kept.state.orders.snapshot
    assert [order.is_current for order in orders.values()] == [False, True, True, False]
    # An update with status and quantity makes an order current again, also without a change; the rest stays as it is.
    (order,) = kept.orders(working(1))
    assert (order.is_current, order.price, order.status) == (True, 5.0, "Submitted")
    assert [order.is_current for order in kept.state.orders.snapshot.values()] == [True, True, True, False]
    # The gateway may also send orders again in full.
    changed = kept.orders(working(1), working(5))
    assert [order.order_id for order in changed] == [5]


@pytest.mark.parametrize("quantity", ["filledQuantity", "remainingQuantity"])
def test_an_order_is_current_when_status_and_quantity_are_of_this_connection(quantity: str):
    kept = Kept()
    # Also an order from before the subscribe, of which the first update is sparse.
    (order,) = kept.orders({"orderId": 1, "acct": ACCOUNT, "isEventTrading": "0"})
    assert not order.is_current
    (order,) = kept.orders(working(1, remainingQuantity=10.0))
    assert order.is_current
    kept.interrupt()
    # Filled partly in the meantime. An update that does not say so leaves the old quantity.
    assert kept.orders({"orderId": 1, "acct": ACCOUNT, "isEventTrading": "0"}) == []
    assert kept.orders({"orderId": 1, "status": "Submitted"}) == []
    assert kept.orders({"orderId": 1, quantity: None}) != []
    assert not kept.state.orders.snapshot[1].is_current
    # The members may arrive in several updates.
    (order,) = kept.orders({"orderId": 1, quantity: 4.0})
    assert order.is_current
    kept.interrupt()
    # An interruption in between counts anew, also for an order that is not current.
    kept.orders({"orderId": 1, "status": "Submitted"})
    kept.interrupt()
    kept.orders({"orderId": 1, quantity: 4.0})
    assert not kept.state.orders.snapshot[1].is_current
    # The status alone, even a final one, says nothing about the quantity.
    (order,) = kept.orders({"orderId": 1, "status": "Cancelled"})
    assert (order.is_finished, order.is_current) == (True, True)
    kept.interrupt()
    (order,) = kept.orders({"orderId": 1, "status": "Submitted"})
    assert (order.is_finished, order.is_current) == (False, False)
    (order,) = kept.orders({"orderId": 1, "status": "Cancelled"})
    assert (order.is_finished, order.is_current) == (True, False)


def test_a_finished_order_stays_current_with_sparse_updates():
    kept = Kept()
    kept.orders(working(1, status="Filled"))
    kept.interrupt()
    kept.orders({"orderId": 1, "fgColor": "#000000"})
    assert kept.state.orders.snapshot[1].is_current


def listed(kept: Kept, *rows: dict[str, Any]) -> list[Any]:
    """Merge a response with the orders, and return those that changed."""
    kept.changes.clear()
    kept.received_ns += 1
    kept.state.on_order_list([OrderUpdate(row) for row in rows], kept.received_ns)
    kept.state.flush()
    return [row for _, row in kept.changes]


def test_a_list_of_orders_makes_them_current():
    kept = Kept()
    kept.orders(working(1), working(2, price="1.00"), working(3))
    kept.interrupt()
    kept.state.begin_order_list()
    changed = listed(
        kept,
        working(1),
        working(2, filledQuantity=4.0),
        working(4),
        {"orderId": None},
        working(5) | {"status": "Filled"},
    )
    assert [(order.order_id, order.is_current) for order in changed] == [(1, True), (2, True), (4, True), (5, True)]
    orders = kept.state.orders.snapshot
    assert (orders[2].filled_quantity, orders[2].price, orders[2].received_ns) == (4.0, 1.0, 2)
    # It is not in the list.
    assert not orders[3].is_current
    assert kept.state.rows_left_out == 1
    # The same again is no change.
    kept.state.begin_order_list()
    assert listed(kept, working(1)) == []


def test_what_arrives_between_request_and_response_is_newer():
    kept = Kept()
    kept.orders(working(1, price="1.00"), working(2))
    kept.interrupt()
    kept.state.begin_order_list()
    kept.orders({"orderId": 1, "status": "Filled", "filledQuantity": 9.0}, {"orderId": 2, "status": "PendingCancel"})
    listed(kept, working(1, price="2.00"), working(2, filledQuantity=3.0))
    one, two = kept.state.orders.snapshot.values()
    assert (one.status, one.filled_quantity, one.price, one.is_current) == ("Filled", 9.0, 2.0, True)
    assert (two.status, two.filled_quantity, two.is_current) == ("PendingCancel", 3.0, True)
    # Only until the response.
    kept.orders({"orderId": 1, "price": "3.00"})
    kept.state.begin_order_list()
    listed(kept, working(1, price="4.00"))
    assert kept.state.orders.snapshot[1].price == 4.0


def test_a_list_is_passed_on_without_what_is_older():
    kept = Kept()
    lists: list[tuple[list[dict[str, Any]], int]] = []
    kept.state.on_list = lambda rows, received_ns: lists.append(([row.raw for row in rows], received_ns))
    row = {"orderId": 1, "acct": ACCOUNT, "status": "Submitted", "price": "2.00"}
    kept.state.begin_order_list()
    kept.orders({"orderId": 1, "acct": ACCOUNT, "price": "3.00"})
    listed(kept, row, {"orderId": 2, "price": None})
    # Between a list and the next request nothing is newer than that list.
    kept.orders({"orderId": 1, "status": "Inactive", "price": "4.00"})
    kept.state.begin_order_list()
    listed(kept, row)
    older = {"orderId": 1, "acct": ACCOUNT, "status": "Submitted"}
    assert lists == [([older, {"orderId": 2, "price": None}], 2), ([row], 4)]


def test_a_state_of_orders_only_merges_nothing_else():
    kept = Kept()
    kept.state.is_orders_only = True
    assert len(kept.orders(working(1))) == 1
    assert kept.executions({"execution_id": "1", "size": 1}) == []
    assert kept.put({"topic": "spl", "args": {f"{ACCOUNT}.Core": {"dpl": 1}}}) == []
    assert kept.put({"topic": f"ssd+{ACCOUNT}", "result": [{"key": "A", "value": "1"}]}) == []
    assert kept.put({"topic": "sts", "args": {"authenticated": True, "connected": True}}) != []


def test_an_order_that_made_room_is_as_the_list_says():
    kept = Kept(most=2)
    kept.state.begin_order_list()
    kept.orders(working(1, status="Filled"), working(2, status="Filled"), working(3))
    (order,) = listed(kept, working(1, status="Submitted", price="1.00"))
    assert (order.order_id, order.status, order.price) == (1, "Submitted", 1.0)


def test_what_arrives_during_a_request_takes_no_memory_without_bound():
    kept = Kept(most=2)
    kept.state.begin_order_list()
    for number in range(500):
        kept.orders(working(number, status="Filled"))
        kept.orders({"orderId": number, f"new{number}": 1})
    for number in range(500):
        kept.orders({"orderId": 499, f"more{number}": 1, "price": "1.00"})
    since = kept.state.orders._since_request
    assert since is not None
    assert len(since) == 2
    assert all(len(keys) <= 2 * MAX_MEMBERS for keys in since.values())
    # A known member is always remembered.
    listed(kept, working(499, price="2.00"))
    assert kept.state.orders.snapshot[499].price == 1.0


def test_the_number_of_orders_is_bounded_and_finished_ones_go_first():
    kept = Kept(most=3)
    kept.orders(*map(working, (1, 2, 3)))
    kept.orders({"orderId": 3, "status": "Filled"}, {"orderId": 2, "status": "Cancelled"})
    kept.orders(working(4))
    # 3 finished first.
    assert list(kept.state.orders.snapshot) == [1, 2, 4]
    kept.orders(working(5))
    assert list(kept.state.orders.snapshot) == [1, 4, 5]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (2, 0)
    # All are working: the new one is left out, and updates of the others are merged.
    assert kept.orders(working(6)) == []
    assert [order.status for order in kept.orders({"orderId": 5, "status": "PendingCancel"})] == ["PendingCancel"]
    assert (kept.state.rows_evicted, kept.state.rows_left_out) == (2, 1)
    # The order that is not current for the longest time makes room.
    kept.interrupt()
    kept.orders(working(1))
    kept.interrupt(lambda _topic: False)
    kept.orders(working(5), working(7))
    assert list(kept.state.orders.snapshot) == [1, 5, 7]
    kept.orders(working(1))
    # A finished order that works again is not the first to go.
    kept.orders({"orderId": 5, "status": "Filled"}, {"orderId": 5, "status": "Submitted"})
    kept.orders({"orderId": 7, "status": "Filled"}, working(8), working(9))
    assert list(kept.state.orders.snapshot) == [1, 5, 8]


def test_the_size_of_a_row_is_bounded_and_its_known_members_are_merged():
    kept = Kept()
    kept.orders(working(1, text="small"))
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for count, (key, value) in enumerate(
        (("text", "x" * (MAX_BYTES + 1)), ("text", ["x" * MAX_BYTES]), ("text", "\U0001f600" * (MAX_BYTES // 4)),
         ("text", [[] for _ in range(MAX_BYTES // 64)]), ("deep", deep), ("x" * MAX_BYTES, 1)), start=1
    ):  # fmt: skip
        (order,) = kept.orders(working(1, **{key: value}, filledQuantity=float(count)))
        # The large member has no value from now on, and the others are merged.
        assert (order.filled_quantity, order.is_current, order.extras) == (float(count), True, {})
        assert kept.state.rows_left_out == count
    # A known member that is too large is left out, too: its old value does not stay.
    kept.orders(working(1, price="1.00"))
    (order,) = kept.orders(working(1, price="1" * MAX_BYTES))
    assert (order.price, "price" in order.raw, order.status) == (None, False, OrderStatus.SUBMITTED)
    # Members that are unknown fill the row: they go when there is no more room for known ones.
    half = "x" * (MAX_BYTES // 2)
    kept.orders({"orderId": 1, "a": half})
    (order,) = kept.orders({"orderId": 1, "b": half, "status": "Filled"})
    assert (order.status, order.raw.keys()) == (
        OrderStatus.FILLED, {"orderId", "status", "filledQuantity", "a"}
    )  # fmt: skip
    kept.orders(working(2, **{f"key{number}": 1 for number in range(MAX_MEMBERS - 3)}))
    (order,) = kept.orders({"orderId": 2, "price": "1.00"})
    assert (order.price, order.raw.keys()) == (1.0, {"orderId", "status", "filledQuantity", "price"})
    assert kept.executions({"execution_id": "x" * 300}) == []
    assert list(kept.state.orders.snapshot) == [1, 2]
    # All known members fit at once.
    members = {member.key for member in type(order).members().values()}
    assert len(members) * (MAX_VALUE + 64) < MAX_BYTES

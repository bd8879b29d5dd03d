"""The queries of docs/howto/read-account-files.md give the same and right values with DuckDB, polars and pandas."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.outputs.run_events import OrderList
from cpapi_fast.outputs.tables.accounts import OrdersWriter
from tests.support.account_frames import WRITERS, execution, full_order, ledger, order, pnl, summary
from tests.support.batches import batch_of
from tests.support.queries import check_query

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "read-account-files.md"

SECOND_NS = 1_000_000_000
START_NS = 1_767_240_000 * SECOND_NS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each table in several files, of two runs, the second of which begins with the executions of the last days."""
    data = tmp_path / "data"
    data.mkdir()
    runs: list[list[tuple[float, list[bytes]]]] = [
        [
            (0, [full_order(), execution(), pnl(dpl=1, upl=2), pnl("U2", dpl=5)]),
            (0, [summary(NetLiquidation=100.0, Cushion=1)]),
            (1, [ledger("BASE", realizedPnl=1.5, unrealizedPnl=2.5), ledger("USD", realizedPnl=9, unrealizedPnl=9)]),
            (2, [execution(commission="1.05"), execution(number=2, side="S", trade_time_r=1777472479000), pnl(dpl=3)]),
            (59, [order(status="Submitted"), summary(NetLiquidation=101.0), ledger("BASE")]),
            (61, [pnl(upl=7), summary(NetLiquidation=102.0, Cushion=2)]),
            (61, [ledger("BASE", realizedPnl=3, unrealizedPnl=4)]),
        ],
        [
            (120, [order(order_id=8, status="Submitted"), execution()]),
            (120, [execution(number=2, trade_time_r=1777472479000)]),
            (121, [full_order(orderId=9), order(order_id=8, status="Filled", filledQuantity=2)]),
            (121, [execution(number=2, price="1.5")]),
            (122, [summary(NetLiquidation="unknown"), pnl(dpl=-1.0, upl=-2.0)]),
        ],
    ]  # fmt: skip
    for number, run in enumerate(runs):
        for name, writer_type in WRITERS.items():
            with writer_type(data, roll_rows=2, run=f"abc{number}") as writer:
                for seconds, frames in run:
                    writer.write(batch_of(frames, START_NS + round(seconds * SECOND_NS)))
                assert writer.mismatches == {}
            assert name
    monkeypatch.chdir(tmp_path)
    return data


def at(minute: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(START_NS // SECOND_NS + 60 * minute, datetime.UTC)


def check(name: str, expected: list[tuple[Any, ...]], *keys: str) -> None:
    check_query(PAGE, name, expected, *keys)


def test_fills(folder: Path) -> None:
    one, two = "0000e0d5.00000001.01.01", "0000e0d5.00000002.01.01"
    expected = [
        # The row of the first run, because the second one does not know the commission yet.
        ("DU1234567", one, "IBM", "B", 3.0, 190.0, 1.05),
        # Without any commission, the last row.
        ("DU1234567", two, "IBM", "B", 3.0, 1.5, None),
    ]
    keys = ("account", "execution_id", "symbol", "side", "size", "price", "commission")
    check("fills", expected, *keys)
    # Executions without an id are never the same, and an id counts within its account.
    with WRITERS["executions"](folder, run="abc2") as writer:
        nameless = [execution(execution_id=None, price=price) for price in ("1", "1", "2")]
        writer.write(batch_of([*nameless, execution(account="DU2", accountCode="DU2")], START_NS * 2))
    more = [("DU1234567", None, "IBM", "B", 3.0, price, None) for price in (1.0, 1.0, 2.0)]
    check("fills", [*more, *expected, ("DU2", one, "IBM", "B", 3.0, 190.0, None)], *keys)


def test_profit_and_loss(folder: Path) -> None:
    expected = [
        ("DU1234567", at(0), 3.0, 2.0),
        ("DU1234567", at(1), None, 7.0),
        ("DU1234567", at(2), -1.0, -2.0),
        ("U2", at(0), 5.0, None),
    ]
    check("profit", expected, "account", "minute", "day", "unrealized")
    with WRITERS["pnl"](folder, run="abc2") as writer:
        writer.write(batch_of([b'{"topic":"spl","args":{".Core":{"dpl":8}}}'], START_NS))
    # Without an account.
    check("profit", [(None, at(0), 8.0, None), *expected], "account", "minute", "day", "unrealized")
    realized = [("DU1234567", at(0), 1.5, 2.5), ("DU1234567", at(1), 3.0, 4.0)]
    check("realized", realized, "account", "minute", "realized", "unrealized")


def test_net_liquidation(folder: Path) -> None:
    check(
        "net",
        [("DU1234567", at(0), 101.0), ("DU1234567", at(1), 102.0)],
        *("account", "minute", "net_liquidation"),
    )


def test_last_states_of_orders(folder: Path) -> None:
    expected = [(8, None, "Filled", 2.0, None), (9, "IBM", "PreSubmitted", 0.0, 3.0)]
    check("orders", expected, "order_id", "ticker", "status", "filled_quantity", "total_size")
    with WRITERS["orders"](folder, run="abc2") as writer:
        writer.write(batch_of([full_order()], START_NS * 2))
        observe = getattr(writer, "observe_event")  # noqa: B009 - of the writer of orders only
        observe(StateChange(1, FeedState.CONNECTING, FeedState.STREAMING, Cause.CONNECTION_LOST, ""))
        writer.write(batch_of([orjson.dumps({"topic": "sor", "args": [{"orderId": 7}]})], START_NS * 2))
    check("orders", [(7, None, None, None, None)], "order_id", "ticker", "status", "filled_quantity", "total_size")


def test_no_order_is_left_after_an_empty_list(folder: Path) -> None:
    with OrdersWriter(folder, run="abc2") as writer:
        writer.observe_event(OrderList(START_NS * 2, ()))
    check("orders", [], "order_id", "ticker", "status", "filled_quantity", "total_size")

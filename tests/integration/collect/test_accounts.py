"""Runs that collect orders and accounts: their tables equal what a slow reader makes of the capture."""

from __future__ import annotations

import asyncio
import glob
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from cpapi_fast import FeedState, StateChange
from cpapi_fast.collect import outputs as collect_outputs
from cpapi_fast.collect.collector import Collector
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.reports import Summary, open_lines, summary_text
from cpapi_fast.outputs.run_events import OrderList, RecordedEvent
from cpapi_fast.outputs.tables.account_schema import ACCOUNT_TABLES
from cpapi_fast.outputs.tables.accounts import OrdersWriter
from cpapi_fast.outputs.tables.reader import read_table
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import check_bad_input
from tests.integration.collect.harness import captured, options_of, stream_of
from tests.oracles.account_tables import SlowAccountTable, plain, read_back
from tests.support.commands import command
from tests.support.files import table_rows

ACCOUNT = "DU1234567"

EVERYTHING: dict[str, Any] = {
    "conids": (), "orders": True, "executions": 3, "pnl": True, "summary": [ACCOUNT, ACCOUNT], "ledger": [ACCOUNT],
}  # fmt: skip

#: The command with all of them.
ARGUMENTS = ("--orders", "--executions", "2", "--pnl", "--summary", ACCOUNT, "--ledger", ACCOUNT)


class WatchedOrders(OrdersWriter):
    """Keeps the lists of orders, which the events contain as numbers only."""

    lists: list[OrderList] = []  # noqa: RUF012 - replaced by each test
    #: How many sessions had a list. A late response to a request of the session before is not a list of the next one.
    sessions = 0
    _is_new_session = True

    def observe_event(self, event: RecordedEvent) -> None:
        if isinstance(event, OrderList):
            self.lists.append(event)
            WatchedOrders.sessions += WatchedOrders._is_new_session
            WatchedOrders._is_new_session = False
        elif isinstance(event, StateChange) and event.subscription is None and event.state is FeedState.CONNECTING:
            WatchedOrders._is_new_session = True
        super().observe_event(event)


@pytest.fixture
def order_lists(monkeypatch: pytest.MonkeyPatch) -> list[OrderList]:
    monkeypatch.setattr(WatchedOrders, "lists", [])
    monkeypatch.setattr(WatchedOrders, "sessions", 0)
    monkeypatch.setattr(WatchedOrders, "_is_new_session", True)
    monkeypatch.setitem(collect_outputs.ACCOUNT_WRITERS, "orders", WatchedOrders)
    return WatchedOrders.lists


def check_accounts(folder: Path, lists: list[OrderList]) -> dict[str, list[dict[str, Any]]]:
    """Compare each row of the tables, and return the rows."""
    slow = {name: SlowAccountTable(name) for name in ACCOUNT_TABLES}
    waiting = list(lists)
    for item in stream_of(folder):
        for one in slow.values():
            if item == "order_list":
                one.put(waiting[0])
            elif not isinstance(item, str):
                one.put(item)
        if item == "order_list":
            waiting.pop(0)
    assert not waiting
    found = {}
    for name, one in slow.items():
        found[name] = rows = table_rows(folder, f"{name}-*.parquet")
        assert [read_back(row) for row in rows] == [plain(row) for row in one.rows]
    return found


async def run_until(
    gateway: SimulatedGateway,
    client: Client,
    options: CollectOptions,
    notices: list[str],
    condition: Callable[[dict[str, int]], bool],
) -> Summary:
    """The summary of a run that is stopped when a condition of the numbers that each output received is true."""
    collector, stop = Collector(client, options, on_notice=notices.append), asyncio.Event()
    running = asyncio.create_task(collector.run(stop))

    def is_met() -> bool:
        received = {name: counts.received for name, counts in collector.status().outputs}
        return bool(received) and condition(received)

    await gateway.wait_for(is_met, timeout_s=60)
    stop.set()
    return await running


@pytest.mark.gateway(speed=30.0)
async def test_tables_of_a_run_with_gaps(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, order_lists: list[OrderList]
) -> None:
    stop = asyncio.Event()
    notices: list[str] = []
    collector = Collector(client, options_of(client, tmp_path, **EVERYTHING), on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    for drops in range(3):
        before = dict(collector.status().outputs)
        received = {name: counts.received for name, counts in before.items()}
        await gateway.wait_for(
            lambda received=received: (
                all(
                    counts.received > received.get(name, 0) + (20 if name == "orders" else 3)
                    for name, counts in collector.status().outputs
                    if name in ACCOUNT_TABLES
                )
                and bool(collector.status().outputs)
            )
        )
        await gateway.wait_for(lambda drops=drops: WatchedOrders.sessions > drops)
        if drops < 2:
            gateway.faults.drop_sockets(reset=True)
            await gateway.wait_for(lambda drops=drops: collector.status().gaps > drops)
    stop.set()
    summary = await running
    # Nobody reads what the feed could keep besides the orders.
    assert collector._feed is not None
    assert len(collector._feed.orders) > 0
    assert len(collector._feed.executions) == len(collector._feed.pnl) == len(collector._feed.ledger) == 0
    rows = check_accounts(tmp_path, order_lists)
    # A list without orders has a row of its own.
    orders = [row for row in rows["orders"] if row["order_id"] is not None]
    assert len(rows["orders"]) - len(orders) == sum(not listed.orders for listed in order_lists)
    by_name = {output.name: output for output in summary.outputs}
    assert list(by_name) == ["capture", *ACCOUNT_TABLES, "events"]
    for output in summary.outputs:
        counts = output.counts
        assert counts.received == counts.written + counts.dropped_total, output
        assert counts.pending == 0
        assert output.mismatches == {}
    for name in ACCOUNT_TABLES:
        assert {row["account"] for row in (orders if name == "orders" else rows[name])} == {ACCOUNT}
        assert {row["other"] for row in rows[name]} == {None}
    # After each reconnect the executions of three days came again, and the orders from the list.
    assert by_name["executions"].counts.dropped["repeated execution"] >= 2 * 12
    keys = [(row["execution_id"], row["commission"]) for row in rows["executions"]]
    assert len(set(keys)) == len(keys)
    segments = {row["segment"] for row in orders}
    assert len(segments) == 3
    # The gateway has no order before the first one is subscribed to.
    for segment in segments - {min(segments)}:
        of_segment = [row for row in orders if row["segment"] == segment]
        # An update may arrive before the list that was requested after the subscribe.
        first_listed = next(number for number, row in enumerate(of_segment) if row["is_listed"])
        assert {row["ticker"] for row in of_segment[first_listed:]} == {"AAPL"}, "each order is known from its list"
    check_opened(summary, rows)
    text = summary_text(summary) + "".join(notices) + repr(summary) + repr(collector.options)
    assert ACCOUNT not in text
    for path in tmp_path.glob("events-*"):
        assert ACCOUNT.encode() not in path.read_bytes()


def check_opened(summary: Any, rows: dict[str, list[dict[str, Any]]]) -> None:
    """The lines of the summary open the tables."""
    lines = [line for line in open_lines(summary) if any(f"/{name}-" in line for name in ACCOUNT_TABLES)]
    assert len(lines) == 3 * len(ACCOUNT_TABLES)
    for line in lines:
        found = eval(line, {"duckdb": duckdb, "polars": pl, "pandas": pd, "glob": glob})
        name = next(name for name in ACCOUNT_TABLES if f"/{name}-" in line)
        assert len(found) == len(rows[name]), line


@pytest.mark.gateway(speed=4.0)  # At a higher speed a busy machine requests the second list before the frame is sent.
async def test_a_further_list_of_orders_is_newer_than_what_came_before_its_request(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, order_lists: list[OrderList]
) -> None:
    """The first list of a session may be incomplete. Then the feed requests the orders again."""
    gateway.faults.drop_subscribes(1000, channels=["sor"])
    first: dict[str, Any] = {"orderId": 7, "status": "PreSubmitted", "filledQuantity": 0.0, "ticker": "IBM"}
    gateway.faults.fail_rest(
        "/iserver/account/orders", status=200, body=orjson.dumps({"orders": [first], "snapshot": False})
    )
    gateway._state.orders._orders[7] = first | {"status": "Filled", "filledQuantity": 3.0}
    stop = asyncio.Event()
    options = options_of(client, tmp_path, conids=(), orders=True)
    running = asyncio.create_task(Collector(client, options, on_notice=lambda _text: None).run(stop))
    await gateway.wait_for(lambda: len(order_lists) == 1, timeout_s=60)
    gateway.faults.send_frame(b'{"topic":"sor","args":[{"orderId":7,"status":"Submitted","filledQuantity":1.0}]}')
    await gateway.wait_for(lambda: len(order_lists) == 2, timeout_s=60)
    stop.set()
    await running
    rows = check_accounts(tmp_path, order_lists)["orders"]
    found = [(row["is_listed"], row["ticker"], row["status"], row["filled_quantity"]) for row in rows]
    assert [row for row, known in zip(found, rows, strict=True) if known["order_id"] == 7] == [
        (True, "IBM", "PreSubmitted", 0.0), (False, "IBM", "Submitted", 1.0), (True, "IBM", "Filled", 3.0),
    ]  # fmt: skip
    assert len({row["segment"] for row in rows}) == 1


@pytest.mark.gateway(speed=30.0)
async def test_odd_frames_are_counted(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    collector = Collector(client, options_of(client, tmp_path, **EVERYTHING), on_notice=lambda _text: None)
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))

    def received(name: str) -> int:
        return dict(collector.status().outputs)[name].received if collector.status().outputs else 0

    await gateway.wait_for(lambda: all(received(name) for name in ACCOUNT_TABLES))
    for frame in (
        b'{"a":nonsense,"topic":"sor"}',
        b'{"args":{"orderId":1},"topic":"sor"}',
        b'{"args":[null,{"acct":"DU1234567","orderId":4711,"price":[]}],"topic":"sor"}',
        b'{"args":[{"ticker":"IBM"}],"topic":"sor"}',
        b'{"topic":"str"}',
        b'{"args":[],"topic":"spl"}',
        b'{"result":null,"topic":"ssd+DU1234567"}',
        b'{"result":[5],"topic":"sld+DU1234567"}',
        b'{"error":"unable to subscribe","code":500,"topic":"str"}',
    ):
        gateway.faults.send_frame(frame)
    await gateway.wait_for(lambda: b'"price":[]' in b"".join(raw for _, _, raw in captured(tmp_path)))
    stop.set()
    summary = await running
    dropped = {output.name: output.counts.dropped.get("malformed", 0) for output in summary.outputs}
    assert [dropped[name] for name in ACCOUNT_TABLES] == [3, 1, 1, 1, 1]
    assert summary.reason == "stopped"
    orders = next(output for output in summary.outputs if output.name == "orders")
    assert (orders.mismatches, orders.left_out) == ({"price": 1}, 1)
    assert "    updates with values that later rows do not have: 1\n" in summary_text(summary)
    assert "values of another kind than their column, null in the files: price: 1\n" in summary_text(summary)


@pytest.mark.gateway(speed=30.0)
async def test_notices_show_no_account_of_the_run(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    """Also one that looks like a word."""
    notices: list[str] = []
    options = options_of(client, tmp_path, conids=(), summary=["FAMILY"], ledger=["my.trust"])
    stop = asyncio.Event()
    collector = Collector(client, options, on_notice=notices.append)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(lambda: collector.status().state == "authenticated")
    gateway.faults.send_frame(b'{"error":"no data of FAMILY and my.trust","code":500}')
    await gateway.wait_for(lambda: any("reports an error" in text for text in notices))
    stop.set()
    summary = await running
    text = "".join(notices) + summary_text(summary)
    assert "no data of [redacted] and [redacted]" in text
    assert "FAMILY" not in text
    assert "my.trust" not in text


@pytest.mark.gateway(speed=30.0)
async def test_orders_without_an_update(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, order_lists: list[OrderList]
) -> None:
    """A day without an order is no error. The file says that the list was empty."""
    gateway.faults.drop_subscribes(1000, channels=["sor"])
    options = options_of(client, tmp_path, conids=(), orders=True)
    summary = await run_until(gateway, client, options, [], lambda received: received["orders"] > 0)
    assert (summary.reason, len(order_lists)) == ("stopped", 1)
    assert [(row["order_id"], row["is_listed"]) for row in table_rows(tmp_path, "orders-*.parquet")] == [(None, True)]


@pytest.mark.gateway(speed=30.0)
async def test_an_account_without_a_row_is_reported(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    """The gateway sends nothing for a mistyped account. The session is open, so the run does not give up."""
    notices: list[str] = []
    accounts = {"summary": [ACCOUNT, "U9999999"], "ledger": ["U9999999"]}
    options = options_of(client, tmp_path, conids=(), **accounts)
    summary = await run_until(gateway, client, options, notices, lambda received: received["account_summary"] > 0)
    missing = "nothing was received of: account summary of 1 of 2 accounts, ledger of 1 of 1 accounts"
    assert summary.reason == f"stopped; {missing}"
    assert notices == [f"{missing}; check the accounts"]


@pytest.mark.gateway(speed=30.0)
async def test_a_subscribe_to_profit_and_loss_without_a_row_is_reported(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    gateway.faults.drop_subscribes(1000, channels=["spl", "sor", "str"])
    options = options_of(client, tmp_path, conids=(), orders=True, executions=1, pnl=True)
    # The list of orders.
    summary = await run_until(gateway, client, options, [], lambda received: received["orders"] > 0)
    assert summary.reason == "stopped; nothing was received of: profit and loss"


@pytest.mark.gateway(speed=30.0)
async def test_a_run_does_not_give_up_while_the_session_is_open(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, order_lists: list[OrderList]
) -> None:
    gateway.faults.drop_subscribes(1000, channels=["sor"])
    options = options_of(client, tmp_path, conids=(), orders=True, give_up_after_s=150.0)
    started_s = gateway.clock.monotonic_s()
    summary = await run_until(
        gateway, client, options, [], lambda _received: gateway.clock.monotonic_s() > started_s + 210.0
    )
    assert summary.reason == "stopped"


@pytest.mark.gateway(speed=30.0)
async def test_a_refused_subscribe_to_orders(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, order_lists: list[OrderList]
) -> None:
    gateway.faults.refuse_order_subscribes(2)
    stop = asyncio.Event()
    collector = Collector(client, options_of(client, tmp_path, conids=(), orders=True), on_notice=lambda _text: None)
    running = asyncio.create_task(collector.run(stop))
    await gateway.wait_for(
        lambda: any(name == "orders" and counts.received > 5 for name, counts in collector.status().outputs)
    )
    stop.set()
    await running
    check_accounts(tmp_path, order_lists)


async def test_the_command(tmp_path: Path) -> None:
    result = await command("collect", "--simulate", *ARGUMENTS, "--speed", "20", "--duration", "60", "--out", tmp_path)
    assert result.code == 0, result
    for name in ACCOUNT_TABLES:
        (path,) = tmp_path.glob(f"{name}-*.parquet")
        table = read_table(path)
        assert table.num_rows > 5
        # The first list has no orders.
        assert set(table["account"].to_pylist()) == ({ACCOUNT, None} if name == "orders" else {ACCOUNT})
        assert result.out.count(f"duckdb.read_parquet('{path}')") == 1
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(result.err.splitlines()) == 1, "only the address of the simulator"
    assert ACCOUNT not in result.out + result.err


async def test_the_run_says_that_only_the_capture_is_redacted(tmp_path: Path) -> None:
    result = await command(
        *("collect", "--simulate", "--pnl", "--redact-captures", "--speed", "20", "--duration", "60", "--out", tmp_path)
    )
    assert result.code == 0, result
    assert "--redact-captures concerns the capture only: the files of pnl contain accounts" in result.err
    assert ACCOUNT.encode() not in b"".join(raw for _, _, raw in captured(tmp_path))
    (path,) = tmp_path.glob("pnl-*.parquet")
    assert set(pq.read_table(path)["account"].to_pylist()) == {ACCOUNT}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--summary"], "argument --summary: expected one argument"),
        (
            ["--summary", "secret account"],
            "argument --summary: an account must be a text of letters, digits, dots and dashes",
        ),
        (["--summary", "DU1234567,"], "argument --summary: an account must be"),
        (["--ledger", "DU1+DU2"], "argument --ledger: an account must be"),
        (["--executions", "0"], "argument --executions: days must be a whole number from 1 to 7, not '0'"),
        (["--executions", "8"], "from 1 to 7, not '8'"),
        (["--executions", "x"], "from 1 to 7, not 'x'"),
        (["--executions", ACCOUNT], r"days must be a whole number from 1 to 7, not '\[redacted\]'"),
        (["--summary", ACCOUNT, "U7654321"], r"unrecognized arguments: \[redacted\]; separate the values .* by commas"),
        (["--sumary", ACCOUNT], r"unrecognized arguments: --sumary \[redacted\]"),
        (["--pnl", ACCOUNT], r"unrecognized arguments: \[redacted\]"),
        (["--orders=" + ACCOUNT], r"argument --orders: ignored explicit argument '\[redacted\]'"),
        (["--tables", ACCOUNT], r"a table must be one of .*, not '\[redacted\]'"),
        ([], "give at least one instrument .* or what to collect of an account, such as --orders"),
    ],
)
async def test_bad_options(tmp_path: Path, arguments: list[str], text: str) -> None:
    result = await command("collect", "--simulate", "--out", tmp_path / "out", *arguments)
    check_bad_input(result, text, 2)
    assert "secret" not in result.err
    assert not re.search("U[0-9]{7}", result.err + result.out)
    assert not (tmp_path / "out").exists()

"""The tables of a run equal what a slow reader makes of its capture and its events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.collect.collector import Collector
from cpapi_fast.outputs.tables.reader import read_table
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import check_summary
from tests.integration.collect.harness import CONIDS, options_of, stream_of
from tests.oracles.tables import SlowTable
from tests.support.commands import command
from tests.support.files import quote, table_rows

DATA = Path(__file__).parents[2] / "data"


def slow_tables(folder: Path, *fields: str) -> dict[str, SlowTable]:
    """The tables that a slow reader makes of the capture, with the events at their places."""
    slow = {"ticks": SlowTable(carries=False, fields=fields), "quotes": SlowTable(carries=True, fields=fields)}
    for item in stream_of(folder):
        for one in slow.values():
            if not isinstance(item, str):
                one.put(item)
    return slow


def check_tables(folder: Path, *fields: str) -> dict[str, list[dict[str, Any]]]:
    """Compare each row of both tables, and return the rows."""
    found = {}
    for name, slow in slow_tables(folder, *fields).items():
        found[name] = rows = table_rows(folder, f"{name}-*.parquet")
        # How late a row is, is known in the run only.
        without = [{key: value for key, value in row.items() if key != "late_ns"} for row in rows]
        expected = [{key: value for key, value in row.items() if key != "late_ns"} for row in slow.rows]
        for row, wanted in zip(without, expected, strict=True):
            assert row == wanted
    return found


@pytest.mark.gateway(speed=50.0)
async def test_tables_of_a_run_with_gaps(gateway: SimulatedGateway, client: Client, tmp_path: Path) -> None:
    stop = asyncio.Event()
    options = options_of(client, tmp_path, tables=["ticks", "quotes"], fields=["31", "84", "86", "87"])
    collector = Collector(client, options, on_notice=lambda _text: None)
    running = asyncio.create_task(collector.run(stop))
    for drops in range(3):
        await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
        before = {quote.name: quote.rows for quote in collector.status().latest}
        await gateway.wait_for(
            lambda before=before: all(quote.rows > before[quote.name] + 4 for quote in collector.status().latest)
        )
        if drops < 2:
            gateway.faults.drop_sockets(reset=True)
            await gateway.wait_for(lambda drops=drops: collector.status().gaps >= len(CONIDS) * (drops + 1))
    stop.set()
    summary = await running
    assert [output.name for output in summary.outputs] == ["capture", "ticks", "quotes", "events"]
    rows = check_tables(tmp_path, "31", "84", "86", "87")
    for conid in CONIDS:
        segments = [row["segment"] for row in rows["quotes"] if row["conid"] == conid]
        assert len(set(segments)) == 3
        assert segments == sorted(segments)
    assert {row["symbol"] for row in rows["quotes"]} == {"AAPL", "IBM"}
    assert all(row["availability"] for row in rows["quotes"] + rows["ticks"])
    # Every connection begins with two equal snapshots of each instrument.
    assert summary.outputs[2].counts.dropped == {"repeated snapshot": 3 * len(CONIDS)}
    assert read_table(sorted(tmp_path.glob("quotes-*.parquet"))).num_rows == len(rows["quotes"])


@pytest.mark.gateway(speed=50.0)
async def test_topics_without_a_subscription_are_not_carried_to_another_connection(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    """They have no gap of their own: nobody knows when the gateway would have sent them."""
    stop = asyncio.Event()
    options = options_of(client, tmp_path, tables=["ticks", "quotes"])
    collector = Collector(client, options, on_notice=lambda _text: None)
    running = asyncio.create_task(collector.run(stop))

    def rows_of_it() -> int:
        return next((quote.rows for quote in collector.status().latest if quote.name == "4711"), 0)

    await gateway.wait_for(lambda: len(collector.status().latest) == len(CONIDS))
    gateway.faults.send_frame(quote(4711, _84="5", _6509="RpB"))
    await gateway.wait_for(lambda: rows_of_it() == 1)
    gateway.faults.drop_sockets(reset=True)
    await gateway.wait_for(lambda: collector.status().gaps >= len(CONIDS))
    gateway.faults.send_frame(quote(4711, _31="7"))
    await gateway.wait_for(lambda: rows_of_it() == 2)
    stop.set()
    await running
    rows = [row for row in check_tables(tmp_path)["quotes"] if row["conid"] == 4711]
    assert [(row["availability"], row["bid_price"], row["last_price"]) for row in rows] == [
        ("RpB", 5.0, None),
        (None, None, 7.0),
    ]
    assert rows[0]["segment"] < rows[1]["segment"]


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.jsonl")))
async def test_tables_of_recorded_frames(tmp_path: Path, name: str) -> None:
    """Each file is sent by the simulated gateway, and collected by the command."""
    result = await command(
        *("collect", "--simulate", "--speed", "10", "--replay", DATA / name, "--tables", "quotes, ticks"),
        *("--fields", "last_price,bid_price,83,7059,6119,999999", "--duration", "60", "--out", tmp_path),
    )
    assert result.code == 0, result
    check_tables(tmp_path, "31", "84", "83", "7059", "6119", "999999")


async def test_values_of_another_kind_are_in_the_summary(tmp_path: Path) -> None:
    replay = tmp_path / "frames.jsonl"
    frames = [b'{"31":"x","84":[1],"86":"N/A","topic":"smd+1"}'] * 3 + [b'{"31":"5","55":7,"topic":"smd+1"}']
    replay.write_bytes(b"\n".join(frames))
    out = tmp_path / "out"
    result = await command(
        "collect", "--simulate", "--speed", "10", "--replay", replay, "--duration", "60", "--out", out
    )
    assert result.code == 0, result
    wrong = "values of another kind than their column, null in the files: bid_price: 3, last_price: 3, symbol: 1\n"
    assert result.out.count(wrong) == 1, result
    check_summary(result, out)


async def test_unknown_tables_are_refused(tmp_path: Path) -> None:
    result = await command("collect", "--simulate", "--conids", "1", "--tables", "quotes,bars", "--out", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "argument --tables: a table must be one of ticks, quotes, not 'bars'" in result.err

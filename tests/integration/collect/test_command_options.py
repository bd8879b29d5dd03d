"""`cpapi-fast collect` follows its options: instruments of every form, fields, the policy of the feed."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

from cpapi_fast.feed.decisions.replay import replay_decisions
from cpapi_fast.simulator import SimulatedGateway
from tests.support.commands import Ended, command, ended, start

COMBINATIONS = ("28812380;;;8314/1,8894/-1", "28812380;;;265598/1,8314/-2")


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once: the command runs in a process, in real time."""
    return {"tls": False, "ready_delay_s": 0.0}


def arguments(gateway: SimulatedGateway, folder: Path, *more: object) -> tuple[object, ...]:
    return ("collect", "--url", gateway.url, "--out", folder, "--give-up-after", "20", *more)


def quotes_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("quotes-*.parquet")) for row in pq.read_table(path).to_pylist()]


async def test_instruments_that_share_a_conid(gateway: SimulatedGateway, tmp_path: Path) -> None:
    result = await command(
        *arguments(gateway, tmp_path, "--duration", "3"),
        *("--conids", f"265598,265598@OVERNIGHT,{COMBINATIONS[0]}, 8314", "--conids", COMBINATIONS[1]),
    )
    assert (result.code, result.err) == (0, ""), result
    rows = quotes_of(tmp_path)
    assert Counter(row["target"] for row in rows).keys() == {None, "265598@OVERNIGHT", *COMBINATIONS}
    assert {row["conid"] for row in rows if row["target"] is None} == {265598, 8314}
    # Of each market its own prices.
    assert all(len({row["bid_price"] for row in rows if row["target"] == target}) for target in COMBINATIONS)
    (connection,) = gateway.connections
    sent = {text.text.split("+")[1] for text in connection.received if text.text.startswith("smd+")}
    assert sent == {"265598", "265598@OVERNIGHT", "8314", *COMBINATIONS}


async def test_every_requested_field_is_in_the_quotes(gateway: SimulatedGateway, tmp_path: Path) -> None:
    result = await command(
        *arguments(gateway, tmp_path, "--duration", "3", "--conids", "265598"),
        *("--fields", "7635,55", "--fields", "7051,123456"),
    )
    assert (result.code, result.err) == (0, ""), result
    rows = quotes_of(tmp_path)
    assert {row["symbol"] for row in rows} - {None} == {"AAPL"}
    assert {row["company_name"] for row in rows} - {None} == {"APPLE INC"}
    assert any(isinstance(row["mark_price"], float) for row in rows)
    assert {row["123456"] for row in rows} == {None}, "the gateway does not know it"


async def test_more_instruments_than_the_usual_lines(tmp_path: Path) -> None:
    """The simulated account has as many lines as the command assumes."""
    conids = ",".join(map(str, range(1, 112)))
    refused = await command("collect", "--simulate", "--out", tmp_path / "no", "--conids", conids, "--duration", "1")
    assert (refused.code, refused.out) == (2, "")
    assert "raise --market-data-lines if the account has more" in refused.err
    result = await command(
        *("collect", "--simulate", "--speed", "10", "--out", tmp_path, "--conids", conids, "--duration", "120"),
        *("--market-data-lines", "111"),
    )
    assert result.code == 0, result
    assert {row["conid"] for row in quotes_of(tmp_path)} == set(range(1, 112))


@pytest.mark.time_limit(90.0)
async def test_a_competing_login_is_observed_or_reclaimed(gateway: SimulatedGateway, tmp_path: Path) -> None:
    gateway.faults.start_competing()
    waiting = await command(*arguments(gateway, tmp_path / "1", "--conids", "265598", "--give-up-after", "6"))
    assert waiting.code == 1, waiting
    assert waiting.err.count("or take the session back with --competing reclaim") == 2, (
        "in the notice and in the last line"
    )
    assert "or take the session back with --competing reclaim" in waiting.out, "in the summary"
    assert "competing=" not in waiting.err + waiting.out
    taking = await command(
        *arguments(gateway, tmp_path / "2", "--conids", "265598", "--duration", "5", "--competing", "reclaim")
    )
    assert taking.code == 0, taking
    assert quotes_of(tmp_path / "2")


if sys.platform != "win32":

    @pytest.mark.parametrize("source", ["smh", "rest"])
    @pytest.mark.time_limit(90.0)
    async def test_history_for_a_gap_and_the_record_of_decisions(
        gateway: SimulatedGateway, tmp_path: Path, source: str
    ) -> None:
        record = tmp_path / "decisions.jsonl"
        process = await start(
            *arguments(gateway, tmp_path / "out", "--conids", f"265598@NYSE,{COMBINATIONS[0]}"),
            *("--backfill", source, "--record-decisions", record, "--nightly-reset", "none"),
        )
        await gateway.wait_for(
            lambda: len(gateway.open_connections) == 1 and len(gateway.open_connections[0].subscriptions) == 2,
            timeout_s=40.0,
        )
        await asyncio.sleep(1.0)
        gateway.faults.drop_sockets(reset=True)

        def events() -> list[dict[str, Any]]:
            lines = [line for path in (tmp_path / "out").glob("events-*") for line in path.read_bytes().splitlines()]
            return [orjson.loads(line) for line in lines if line.endswith(b"}")]

        await gateway.wait_for(lambda: [e for e in events() if e["type"] == "backfill"][1:])
        process.send_signal(signal.SIGINT)
        result: Ended = await ended(process)
        assert result.code == 0, result
        found = {event["gap"]["subscription"]: event for event in events() if event["type"] == "backfill"}
        assert found["smd+265598@NYSE"]["source"] == source
        assert found["smd+265598@NYSE"]["error"] is None
        assert found[f"smd+{COMBINATIONS[0]}"]["error"] == "there is no history for a combination"
        assert list(replay_decisions(record))

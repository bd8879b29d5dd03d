"""The proof that the simulator is a gateway and no mirror of this library: the unmodified client of ibind uses it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.conftest import Enter

pytest.importorskip("ibind")

SCRIPT = Path(__file__).with_name("ibind_client.py")
LIMIT_S = 90.0


async def run_ibind(gateway: SimulatedGateway, folder: Path) -> Any:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("IBIND_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        str(gateway.port),
        str(gateway.certificate_path),
        cwd=folder,
        env=environment | {"IBIND_LOGS_DIR": str(folder), "IBIND_LOG_TO_CONSOLE": "0"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, complaints = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaints.decode()
    return json.loads(out.splitlines()[-1])


@pytest.mark.time_limit(LIMIT_S + 10.0)
async def test_unmodified_ibind_connects_over_tls_and_receives_market_data(enter: Enter, tmp_path: Path) -> None:
    # Uncompressed: ibind compares each heartbeat with its own wall clock, and wants a PONG within 9.5 s.
    gateway = await enter(SimulatedGateway(SimulatorOptions(seed=7)))
    seen = await run_ibind(gateway, tmp_path)
    assert seen["same_session"] is True
    assert seen["authenticated"] is True
    assert seen["conids"] == {"AAPL": 265598, "IBM": 8314}
    assert seen["snapshot"]["AAPL"]["symbol"] == "AAPL"
    assert float(seen["snapshot"]["AAPL"]["bid_price"]) > 0
    assert (seen["local_symbol"], seen["pairs"], seen["matches"]) == ("ESZ6", ["USD.JPY"], ["11004968"])
    assert seen["started"] is True, "no sts with authenticated:true"
    assert seen["subscribed"] is True, "no reply that ibind takes for one of its subscription"
    assert [quote["conid"] for quote in seen["quotes"]] == ["265598"] * 4
    snapshot = seen["quotes"][0]["data"]
    assert {"bid_price", "ask_price", "last_price", "market_data_availability"} <= set(snapshot)
    assert seen["tic_alive"] is True
    assert seen["still_ready"] is True, "PONG or heartbeat missed: ibind gave the connection up"
    assert seen["fresh_quote"] is True
    assert seen["unsubscribed"] is True

    # One socket all along, opened the way ibind does it, and held by PINGs that were answered.
    (connection,) = gateway.connections
    assert '"session": "' in (connection.request.header("Cookie") or ""), "ibind writes a space after the colon"
    assert connection.request.header("Origin") is not None
    assert len(connection.pings) >= 2
    assert [text.text for text in connection.received] == [
        'smd+265598+{"fields":["31","84","86","85","88","87","83"]}',
        "tic",
        "umd+265598+{}",
    ]
    assert connection.close_code == 1000
    rest = [request for request in gateway.requests if request.path != "/v1/api/ws"]
    assert rest
    assert all(request.header("Origin") is None for request in rest)

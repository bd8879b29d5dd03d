"""SIGHUP reloads the instruments of `collect` where no terminal is attached, and a broken file changes nothing."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import check_events
from tests.support.commands import LIMIT_S, start

if sys.platform == "win32":
    pytest.skip("there is no SIGHUP", allow_module_level=True)

#: A service has no terminal, even if the tests have one.
_NO_TERMINAL = "import os; os.setsid()"


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The command runs in a process, in real time."""
    return {"tls": False, "ready_delay_s": 0.0}


def sent_to(gateway: SimulatedGateway) -> list[str]:
    texts = [text.text for connection in gateway.connections for text in connection.received]
    return ["+".join(text.split("+")[:2]) for text in texts if text.startswith(("smd+", "umd+"))]


async def test_sighup_reloads_the_instruments(gateway: SimulatedGateway, tmp_path: Path) -> None:
    config, conids, data = tmp_path / "c.toml", tmp_path / "conids.txt", tmp_path / "data"
    config.write_text(
        f'url = "{gateway.url}"\nout = "{data}"\nconids-file = "{conids}"\ntrading-hours = "none"\n'
        f'record-decisions = "{tmp_path}/decisions"\n',
        encoding="utf-8",
    )
    conids.write_text("265598\n8314 # IBM\n", encoding="utf-8")
    process = await start("collect", "--config", config, first=_NO_TERMINAL)
    assert process.stderr is not None

    async def line_after_hang_up() -> str:
        assert process.stderr is not None
        process.send_signal(signal.SIGHUP)
        return (await asyncio.wait_for(process.stderr.readline(), LIMIT_S)).decode().rstrip()

    try:
        await gateway.wait_for(lambda: sent_to(gateway) == ["smd+265598", "smd+8314"])
        await gateway.wait_for(lambda: gateway.connections[0].counters.frames_sent > 6)
        conids.write_text("265598\n495512563\n", encoding="utf-8")
        assert await line_after_hang_up() == "cpapi-fast: reloaded the instruments: 1 joined, 1 left"
        await gateway.wait_for(lambda: len(sent_to(gateway)) == 4)
        assert sent_to(gateway)[2:] == ["umd+8314", "smd+495512563"], "nothing about 265598"

        for text, expected in (
            ("265598\nx\n", f"not reloaded, the instruments stay as they are: {conids}:2: a conid must be"),
            ("", "not reloaded, the instruments stay as they are: the configuration has none"),
            ("\n".join(map(str, range(1, 102))), "not reloaded, the instruments stay as they are: all market data"),
        ):
            conids.write_text(text, encoding="utf-8")
            assert (await line_after_hang_up()).startswith(f"cpapi-fast: warning: {expected}")
        conids.write_text("265598\n495512563\n", encoding="utf-8")
        changed = config.read_text(encoding="utf-8").replace('trading-hours = "none"', "roll-interval = 60")
        config.write_text(changed, encoding="utf-8")
        assert await line_after_hang_up() == (
            "cpapi-fast: warning: only instruments are reloaded; "
            "a change of roll-interval, trading-hours takes effect at the next start"
        )
        line = (await asyncio.wait_for(process.stderr.readline(), LIMIT_S)).decode()
        assert line == "cpapi-fast: reloaded the instruments: 0 joined, 0 left\n"
        config.write_text("out = ", encoding="utf-8")
        assert (await line_after_hang_up()).startswith(
            f"cpapi-fast: warning: not reloaded, the instruments stay as they are: {config}:1: not TOML"
        )
        assert len(sent_to(gateway)) == 4
        assert len(gateway.connections) == 1
        process.send_signal(signal.SIGTERM)
        out, rest = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, rest) == (0, b"")
    assert b"0 gaps" in out
    assert not any("last_good_ns" in event for event in check_events(data))

"""The log of `collect` in a process, and that of a program without logging."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import gateway_command
from tests.support.commands import LIMIT_S, command, start


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The command runs in a process, in real time."""
    return {"ready_delay_s": 0.0}


async def test_a_lost_connection_in_json(gateway: SimulatedGateway, tmp_path: Path) -> None:
    options = ("--log-format", "json", "--log-level", "debug", "--quiet", "--reconnect-base", "0.2")
    process = await start(*gateway_command(gateway, tmp_path, *options))
    assert process.stderr is not None
    found: list[dict[str, Any]] = []

    async def until(event: str, **wanted: object) -> dict[str, Any]:
        assert process.stderr is not None
        while line := await asyncio.wait_for(process.stderr.readline(), LIMIT_S):
            found.append(json.loads(line))
            if found[-1]["event"] == event and wanted.items() <= found[-1].items():
                return found[-1]
        raise AssertionError(found)

    try:
        await until("state_change", state="streaming")
        gateway.faults.drop_sockets()
        await until("state_change", state="disconnected", cause="connection_lost", level="warning")
        gap = await until("gap", level="warning", cause="connection_lost")
        assert set(gap["topics"]) <= {"smd+265598", "smd+8314"}
        process.send_signal(signal.SIGTERM)
        out, rest = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, out) == (0, b""), rest
    found += [json.loads(line) for line in rest.splitlines()]
    assert {"request", "retry", "state_change", "gap"} <= {one["event"] for one in found}
    assert {one["level"] for one in found} <= {"debug", "info", "warning"}
    assert all({"time", "level", "message", "event"} <= one.keys() for one in found)


async def test_progress_without_a_terminal_only_if_asked(tmp_path: Path) -> None:
    for number, (more, is_shown) in enumerate((((), False), (("--progress",), True))):
        arguments = (
            "collect",
            "--simulate",
            "--conids",
            "1",
            "--out",
            tmp_path / str(number),
            "--duration",
            "6",
            *more,
        )
        process = await start(*arguments)
        _out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        assert process.returncode == 0, err
        assert (b" frames (" in err) == is_shown, err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--log-level", "debug"), "--log-level needs --log-format"),
        (("--progress", "--quiet"), "--progress cannot be used with --quiet"),
        (("--progress", "--log-format", "json"), "--progress cannot be used with --log-format json"),
    ],
)
async def test_options_that_exclude_each_other(tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    result = await command("collect", "--simulate", "--conids", "1", "--out", tmp_path, *options)
    assert (result.code, result.out) == (2, "")
    text = json.loads(result.err)["message"] if "json" in options else result.err
    assert expected in text


async def test_a_program_without_logging_sees_warnings() -> None:
    program = """
import asyncio, socket, cpapi_fast as cf
async def main():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/api"
        async with cf.Client(url) as client, cf.Feed(client, cf.FeedOptions(give_up_after_s=2)) as feed:
            await feed.subscribe_market_data(265598)
            try:
                await feed.wait_for(cf.FeedState.STREAMING)
            except cf.CpapiError:
                pass
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert (process.returncode, out) == (0, b""), err
    first, last = err.decode().splitlines()
    assert "disconnected (unreachable: " in first
    assert "Start the gateway" in first
    assert "ended: no data for 2 s" in last

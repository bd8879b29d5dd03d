"""`cpapi-fast collect` as a process: its files can be read after every kind of end."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions
from tests.integration.collect.command_harness import (
    check_events,
    check_files,
    check_lines,
    check_summary,
    gateway_command,
)
from tests.support.commands import command, ended, start


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The defaults of the simulator: the command runs in a process, in real time."""
    return {}


async def test_simulate_is_one_command(tmp_path: Path) -> None:
    result = await command("collect", "--simulate", "--conids", "265598,8314", "--out", tmp_path, "--duration", "1.5")
    assert result.code == 0, result
    assert "the duration is over" in result.out
    check_summary(result, tmp_path)
    assert re.fullmatch(r"cpapi-fast: simulated gateway at https://\S+, fingerprint [0-9a-f]{64}\n", result.err)
    assert len(check_files(tmp_path)[0]) >= 7


@pytest.mark.parametrize("more", [(), ("--asyncio",)])
async def test_simulate_fast_forward_and_replay(tmp_path: Path, more: tuple[str, ...]) -> None:
    lines = [b'{"31":"%d","topic":"smd+265598"}' % number for number in range(5000)]
    replay = tmp_path / "lines.jsonl"
    replay.write_bytes(b"\n".join(lines) + b"\n")
    out = tmp_path / "out"
    result = await command(
        *("collect", "--simulate", "--speed", "10", "--replay", replay, "--fields", "31,84"),
        *("--out", out, "--duration", "15", "--roll-interval", "2", "--flush-interval", "0.5", *more),
    )
    assert result.code == 0, result
    check_summary(result, out)
    frames, quotes = check_files(out)
    assert [frame for frame in frames if frame.startswith(b'{"31"')] == lines
    assert quotes == len(lines)


if sys.platform != "win32":

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    @pytest.mark.parametrize("more", [(), ("--asyncio",)])
    @pytest.mark.gateway(rate=500.0)
    async def test_a_signal_is_a_clean_stop(
        gateway: SimulatedGateway, tmp_path: Path, number: int, more: tuple[str, ...]
    ) -> None:
        process = await start(*gateway_command(gateway, tmp_path, *more))
        await gateway.wait_for(lambda: sent_frames(gateway) > 100)
        process.send_signal(number)
        result = await ended(process)
        assert gateway.connections[0].close_code == 1000
        assert gateway.session_id not in result.out + result.err
        assert (result.code, result.err) == (0, "")
        assert "stopped" in result.out
        check_summary(result, tmp_path)
        assert len(check_files(tmp_path)[0]) > 50

    async def test_a_signal_while_connecting(tmp_path: Path) -> None:
        is_connected = asyncio.Event()

        async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            is_connected.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/api"
            more = ("--conids", "1", "--out", tmp_path, "--give-up-after", "20")
            process = await start("collect", "--url", url, *more)
            await asyncio.wait_for(is_connected.wait(), 20)
            process.send_signal(signal.SIGINT)
            result = await ended(process)
        assert result.code == 1
        check_lines(result, 1)
        assert "stopped before anything was received" in result.err
        assert list(tmp_path.glob("capture*")) == []

    def sent_frames(gateway: SimulatedGateway) -> int:
        return sum(connection.counters.frames_sent for connection in gateway.connections)

    @pytest.mark.time_limit(90)
    async def test_kill_9_at_any_moment(tmp_path: Path) -> None:
        """Flushed data is readable and in order at any moment, and no unfinished file has a final name."""
        moments = random.Random(3)

        async def one(number: int) -> None:
            folder = tmp_path / str(number)
            async with SimulatedGateway(SimulatorOptions(rate=2000.0, seed=number, keep_sent=100_000)) as gateway:
                more = ("--flush-interval", "0.05", "--roll-interval", "0.2")
                process = await start(*gateway_command(gateway, folder, *more))
                # The first ones while it starts up and makes its files, the others at any later time.
                if number % 2:
                    await gateway.wait_for(lambda: list(folder.glob("capture*")))
                    await asyncio.sleep(moments.uniform(0.0, 0.05))
                else:
                    await gateway.wait_for(lambda: list(folder.glob("*.parquet")))
                    await asyncio.sleep(moments.uniform(0.0, 0.6))
                process.kill()
                await ended(process)
                # The file of the capture exists before the connection.
                sent = list(gateway.connections[0].sent) if gateway.connections else []
            captures = list(folder.glob("capture-*.arrows"))
            if not captures:
                assert list(folder.glob("capture-*.arrows.part"))
                return
            frames, quotes = check_files(folder, may_be_torn=True)
            assert frames == sent[: len(frames)]
            if list(folder.glob("events-*.jsonl")):
                check_events(folder, may_be_torn=True)
            if number % 2 == 0:
                assert frames
                assert quotes > 0

        for first in range(0, 6, 2):
            await asyncio.gather(one(first), one(first + 1))

    # At 2.2 kB the first capture message does not fit any more, at 30 kB the capture fails at some later one.
    @pytest.mark.parametrize("limit_bytes", [2_200, 30_000])
    @pytest.mark.gateway(rate=2000.0, keep_sent=100_000)
    async def test_disk_full(gateway: SimulatedGateway, tmp_path: Path, limit_bytes: int) -> None:
        arguments = gateway_command(gateway, tmp_path, "--flush-interval", "0.1")
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit_bytes}, {limit_bytes}))"
        result = await ended(await start(*arguments, first=limit))
        assert gateway.session_id not in result.out + result.err
        sent = list(gateway.connections[0].sent)
        assert result.code == 1
        error = result.err.splitlines()[-1]
        assert error.startswith("cpapi-fast: error: cannot write ")
        assert "free some space" in error
        check_summary(result, tmp_path)
        frames, _ = check_files(tmp_path)
        assert frames == sent[: len(frames)]
        assert "write error" in result.out
        assert list(tmp_path.glob("*.part")) == []

    async def test_on_a_terminal_there_is_a_table(tmp_path: Path) -> None:
        import os
        import pty

        ours, theirs = pty.openpty()
        shown = bytearray()
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, lambda: shown.extend(os.read(ours, 65536)))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "cpapi_fast", "collect", "--simulate", "--conids", "265598"),
                *("--out", tmp_path, "--duration", "1.2"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=theirs,
                env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"},
            )
            code = await process.wait()
            await asyncio.sleep(0.1)
        finally:
            loop.remove_reader(ours)
            os.close(ours)
            os.close(theirs)
        assert code == 0
        for text in (b"conid", b"265598", b"streaming", b"\x1b["):
            assert text in shown


@pytest.mark.gateway(rate=500.0)
async def test_a_run_continues_after_a_lost_connection(gateway: SimulatedGateway, tmp_path: Path) -> None:
    process = await start(*gateway_command(gateway, tmp_path, "--duration", "6", "--slow-disk", "drop-oldest"))
    await gateway.wait_for(lambda: gateway.connections and gateway.connections[0].subscriptions)
    await asyncio.sleep(0.5)
    gateway.faults.drop_sockets()
    await gateway.wait_for(lambda: gateway.connections[-1].subscriptions)
    result = await ended(process)
    assert result.code == 0, result
    assert "disconnected (connection lost" in result.err
    assert "data again after" in result.err
    check_summary(result, tmp_path)
    gaps = [line for line in check_events(tmp_path) if line["type"] == "gap"]
    assert {line["subscription"] for line in gaps} == {"smd+265598", "smd+8314"}
    assert f"{len(gaps)} gaps (connection_lost: {len(gaps)})" in result.out
    assert "2 connections" in result.out
    assert check_files(tmp_path)[1] > 10

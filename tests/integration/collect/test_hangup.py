"""`cpapi-fast collect` when its terminal is closed, and when a second Ctrl-C finds outputs that do not respond."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.command_harness import check_events, check_files, check_summary, gateway_command
from tests.support.commands import LIMIT_S, PYTHON, ended, start

if sys.platform == "win32":
    pytest.skip("signals and terminals of POSIX", allow_module_level=True)
else:
    from tests.support.terminal import NEW_SESSION, SessionTerminal

#: The disk hangs: the write of the first batch never returns.
_HANGING_DISK = """
import threading
from cpapi_fast.outputs.tables.market_data import QuotesWriter
QuotesWriter.write = lambda self, batch: threading.Event().wait()
"""


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """The defaults of the simulator: the command runs in a process, in real time."""
    return {}


@asynccontextmanager
async def started(*arguments: object, first: str | None = None) -> AsyncIterator[Process]:
    """A process that ends with the block."""
    process = await start(*arguments, first=first)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def code_of(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), LIMIT_S)


async def has_data(gateway: SimulatedGateway) -> None:
    def sent() -> int:
        return sum(connection.counters.frames_sent for connection in gateway.connections)

    await gateway.wait_for(lambda: sent() > 100)


def check_end(folder: Path) -> None:
    """The files are complete, and the last event is the end of the feed."""
    frames, quotes = check_files(folder)
    assert len(frames) > 50
    assert quotes > 20
    events = check_events(folder)
    assert events[-1]["cause"] == "stopped"
    assert list(folder.glob("*.part")) == []


@pytest.mark.parametrize("more", [(), ("--asyncio",)])
@pytest.mark.gateway(rate=500.0)
async def test_sighup_is_a_clean_stop(gateway: SimulatedGateway, tmp_path: Path, more: tuple[str, ...]) -> None:
    async with SessionTerminal(*gateway_command(gateway, tmp_path, *more)) as terminal:
        await has_data(gateway)
        terminal.process.send_signal(signal.SIGHUP)
        # A shell repeats the signal of the kernel.
        terminal.process.send_signal(signal.SIGHUP)
        assert await code_of(terminal.process) == 0
    check_end(tmp_path)


@pytest.mark.gateway(rate=500.0)
async def test_a_terminal_that_is_closed_is_a_clean_stop(gateway: SimulatedGateway, tmp_path: Path) -> None:
    async with SessionTerminal(*gateway_command(gateway, tmp_path)) as terminal:
        await terminal.until_shown(b"265598")
        await has_data(gateway)
        terminal.close()
        assert await code_of(terminal.process) == 0
    check_end(tmp_path)


@pytest.mark.gateway(rate=500.0)
async def test_the_summary_is_lost_only_with_its_terminal(gateway: SimulatedGateway, tmp_path: Path) -> None:
    out = tmp_path / "summary"
    with out.open("wb") as file:
        async with SessionTerminal(*gateway_command(gateway, tmp_path / "data"), out=file.fileno()) as terminal:
            await has_data(gateway)
            terminal.close()
            assert await code_of(terminal.process) == 0
    assert out.read_text().startswith("ended after")
    check_end(tmp_path / "data")


@pytest.mark.gateway(rate=500.0)
async def test_nohup_continues_without_its_terminal(gateway: SimulatedGateway, tmp_path: Path) -> None:
    ignored = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); {NEW_SESSION}"
    async with SessionTerminal(*gateway_command(gateway, tmp_path), first=ignored) as terminal:
        await has_data(gateway)
        terminal.close()
        before = gateway.connections[0].counters.frames_sent
        await gateway.wait_for(lambda: gateway.connections[0].counters.frames_sent > before + 500)
        assert terminal.process.returncode is None
        terminal.process.terminate()
        assert await code_of(terminal.process) == 0
    check_end(tmp_path)


async def test_tail_and_simulate_end_with_their_terminal(gateway: SimulatedGateway) -> None:
    # Not while it connects: with `-Werror`, uvloop cannot close a loop on which a handshake of TLS was cancelled. Its
    # ResourceWarning then is an exception before the transport is closed.
    for last_text, *arguments in (
        (b"streaming", "tail", "--url", gateway.url, "--conids", "265598", "--fingerprint", gateway.fingerprint),
        (b"press Ctrl-C to stop", "simulate", "--port", "0"),
    ):
        async with SessionTerminal(*arguments) as terminal:
            await terminal.until_shown(last_text)
            terminal.close()
            assert await code_of(terminal.process) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.gateway(rate=2000.0)
async def test_a_second_signal_ends_at_once_while_the_disk_hangs(
    gateway: SimulatedGateway, tmp_path: Path, number: int
) -> None:
    async with started(*gateway_command(gateway, tmp_path), first=_HANGING_DISK) as process:
        await has_data(gateway)
        process.send_signal(number)
        await asyncio.sleep(1.0)
        assert process.returncode is None, "the first one waits for the files"
        started_s = time.monotonic()
        process.send_signal(number)
        result = await ended(process)
    assert time.monotonic() - started_s < 12.0
    assert result.code == (130 if number == signal.SIGINT else -number)
    assert "cpapi-fast: interrupted: the files are not finished; lost: " in result.err
    assert "frames" in result.err
    assert "Traceback" not in result.err
    assert result.out == ""


@pytest.mark.gateway(rate=2000.0)
async def test_how_to_end_at_once_is_told_while_the_disk_hangs(gateway: SimulatedGateway, tmp_path: Path) -> None:
    async with started(*gateway_command(gateway, tmp_path), first=_HANGING_DISK) as process:
        await has_data(gateway)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        while b"a second Ctrl-C ends at once" not in (line := await process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        assert (await ended(process)).code == 130


@pytest.mark.gateway(rate=2000.0)
async def test_a_signal_that_is_forwarded_at_once_is_one(gateway: SimulatedGateway, tmp_path: Path) -> None:
    process = await start(*gateway_command(gateway, tmp_path))
    await has_data(gateway)
    process.send_signal(signal.SIGINT)
    await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    result = await ended(process)
    assert (result.code, result.err) == (0, "")
    check_summary(result, tmp_path)


async def test_a_stream_that_accepts_nothing_does_not_abort_the_end(tmp_path: Path) -> None:
    """Python aborts (SIGABRT) if a thread holds the lock of stderr when it exits."""
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    try:
        while True:
            os.write(writable, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writable, True)
    process = await asyncio.create_subprocess_exec(
        *(*PYTHON, "-m", "cpapi_fast", "collect", "--url", "http://127.0.0.1:1/v1/api", "--conids", "1"),
        *("--out", tmp_path, "--duration", "1"),
        stdout=DEVNULL,
        stderr=writable,
    )
    os.close(writable)
    try:
        await asyncio.sleep(1)
        code = await code_of(process)
    finally:
        os.close(readable)
    assert code == 1

"""Error frames of the gateway in a run: many of them, and large ones, are a few lines and little work."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from cpapi_fast import limited_reporter, redaction
from cpapi_fast.collect.collector import Collector
from cpapi_fast.feed.driver.control_frames import MAX_CONTROL_BYTES
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.collect.harness import captured, options_of

ERRORS = 50_000
SECRET = "U7654321"


async def run_with(gateway: SimulatedGateway, client: Client, folder: Path, frames: list[bytes]) -> list[str]:
    """Collect until these frames are received; the notices about errors."""
    notices: list[str] = []
    collector = Collector(client, options_of(client, folder), on_notice=notices.append)
    stop = asyncio.Event()
    running = asyncio.ensure_future(collector.run(stop))
    await gateway.wait_for(lambda: collector.latest_status.latest, timeout_s=60.0)
    before = collector.latest_status.connection
    assert before is not None
    wanted_bytes = before.bytes_received + sum(map(len, frames))
    for start in range(0, len(frames), 500):
        for frame in frames[start : start + 500]:
            gateway.faults.send_frame(frame)
        # The simulator's buffer is bounded.
        await gateway.wait_for(
            lambda: all(connection.writer.waiting_bytes == 0 for connection in gateway.open_connections), timeout_s=25.0
        )
    await gateway.wait_for(
        lambda: (now := collector.latest_status.connection) is not None and now.bytes_received >= wanted_bytes,
        timeout_s=25.0,
    )
    stop.set()
    await running
    return [notice for notice in notices if "the gateway reports an error" in notice]


@pytest.mark.time_limit(90.0)
async def test_many_error_frames_are_a_few_notices_with_a_count(
    gateway: SimulatedGateway, client: Client, tmp_path: Path
) -> None:
    frames = [b'{"error":"no bridge %d","code":500}' % number for number in range(ERRORS)]
    notices = await run_with(gateway, client, tmp_path, frames)
    received = sum(b'"error"' in raw for _, _, raw in captured(tmp_path))
    assert received == ERRORS
    assert len(notices) <= 4 * (limited_reporter.BURST + 1)
    counted = sum(
        int(found[1].replace(",", "")) for text in notices if (found := re.search(r"and ([\d,]+) more", text))
    )
    assert len(notices) + counted == ERRORS


@pytest.mark.time_limit(90.0)
async def test_a_large_error_frame_is_cut_before_it_is_redacted(
    gateway: SimulatedGateway, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redacted: list[int] = []
    redact = redaction.redact

    def counting(text: str, secrets: tuple[str, ...] = ()) -> str:
        redacted.append(len(text))
        return redact(text, secrets)

    monkeypatch.setattr(redaction, "redact", counting)
    frames = [
        b'{"error":"%s is no account, %s","code":500}' % (SECRET.encode(), b"word " * (size // 5))
        for size in (MAX_CONTROL_BYTES // 2, 4 * MAX_CONTROL_BYTES)
    ]
    notices = await run_with(gateway, client, tmp_path, frames)
    assert len(notices) == 2
    for notice in notices:
        assert '{"error":"[redacted] is no account, word' in notice
        assert notice.endswith("…")
        assert len(notice) < 200
    assert sum(redacted) <= 2 * 2 * redaction._MAX_WINDOW_LENGTH

"""cpapi_fast, `ws.on_batch(callback)`: the push form, one call per socket read."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

from benchmarks.corpus import Received
from cpapi_fast.batch import Batch
from cpapi_fast.connection import WsClient


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    ws = await WsClient.open(url)
    frames = digest = 0

    def on_batch(batch: Batch) -> None:
        nonlocal frames, digest
        frames += len(batch)
        if check:
            digest = zlib.crc32(batch.conids, digest)

    ws.on_batch(on_batch)

    async def drain() -> Received:
        await ws.send_text("go")
        await ws.wait_closed()
        return Received(frames, digest)

    return drain

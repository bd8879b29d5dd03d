"""cpapi_fast, `async for batch in ws.batches()`: what `collect` does."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

from benchmarks.corpus import Received
from cpapi_fast.connection import WsClient


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    ws = await WsClient.open(url)

    async def drain() -> Received:
        await ws.send_text("go")
        frames = digest = 0
        async for batch in ws.batches():
            frames += len(batch)
            if check:
                digest = zlib.crc32(batch.conids, digest)
        return Received(frames, digest)

    return drain

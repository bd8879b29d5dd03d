"""cpapi_fast, `async for batch in ws.batches()`: what `collect` does."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

import cpapi_fast as cf
from benchmarks.corpus import Received


async def connect(base_url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    client = cf.Client(base_url)
    ws = await cf.WsClient.connect(client)

    async def drain() -> Received:
        await ws.send_text("go")
        frames = digest = 0
        async for batch in ws.batches():
            frames += len(batch)
            if check:
                digest = zlib.crc32(batch.conids, digest)
        await client.aclose()
        return Received(frames, digest)

    return drain

"""cpapi_fast, `ws.on_batch(callback)`: the push form, one call per socket read."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable

import cpapi_fast as cf
from benchmarks.corpus import Received


async def connect(base_url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    client = cf.Client(base_url)
    ws = await cf.WsClient.connect(client)
    frames = digest = 0

    def on_batch(batch: cf.Batch) -> None:
        nonlocal frames, digest
        frames += len(batch)
        if check:
            digest = zlib.crc32(batch.conids, digest)

    ws.on_batch(on_batch)

    async def drain() -> Received:
        await ws.send_text("go")
        await ws.wait_closed()
        await client.aclose()
        return Received(frames, digest)

    return drain

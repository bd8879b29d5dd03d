"""cpapi_fast, `async for frame in ws`: the pull form of frames, nothing decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import cpapi_fast as cf
from benchmarks.corpus import Received, add_conid


async def connect(base_url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    client = cf.Client(base_url)
    ws = await cf.WsClient.connect(client)

    async def drain() -> Received:
        await ws.send_text("go")
        frames = digest = 0
        if check:
            async for frame in ws:
                frames += 1
                digest = add_conid(digest, frame.conid)
        else:
            async for _ in ws:
                frames += 1
        await client.aclose()
        return Received(frames, digest)

    return drain

"""cpapi_fast, `async for frame in ws`: the pull form of frames, nothing decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.corpus import Received, add_conid
from cpapi_fast.connection import WsClient


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    ws = await WsClient.open(url)

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
        return Received(frames, digest)

    return drain

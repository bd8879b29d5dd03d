"""cpapi_fast, `ws.on_frame(callback)`: one owned Frame and one Python call per frame, nothing decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import cpapi_fast as cf
from benchmarks.corpus import Received, add_conid


async def connect(base_url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    client = cf.Client(base_url)
    ws = await cf.WsClient.connect(client)
    frames = digest = 0

    def on_frame(frame: cf.Frame) -> None:
        nonlocal frames
        frames += 1

    def on_frame_checked(frame: cf.Frame) -> None:
        nonlocal frames, digest
        frames += 1
        digest = add_conid(digest, frame.conid)

    ws.on_frame(on_frame_checked if check else on_frame)

    async def drain() -> Received:
        await ws.send_text("go")
        await ws.wait_closed()
        await client.aclose()
        return Received(frames, digest)

    return drain

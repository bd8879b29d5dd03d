"""cpapi_fast, `ws.on_frame(callback)`: one owned Frame and one Python call per frame, nothing decoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from benchmarks.corpus import Received, add_conid
from cpapi_fast.batch import Frame
from cpapi_fast.connection import WsClient


async def connect(url: str, check: bool) -> Callable[[], Awaitable[Received]]:
    ws = await WsClient.open(url)
    frames = digest = 0

    def on_frame(frame: Frame) -> None:
        nonlocal frames
        frames += 1

    def on_frame_checked(frame: Frame) -> None:
        nonlocal frames, digest
        frames += 1
        digest = add_conid(digest, frame.conid)

    ws.on_frame(on_frame_checked if check else on_frame)

    async def drain() -> Received:
        await ws.send_text("go")
        await ws.wait_closed()
        return Received(frames, digest)

    return drain

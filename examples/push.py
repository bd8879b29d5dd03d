"""Counts frames per instrument with a callback per batch: no frame object is created, nothing is decoded.

Usage: python examples/push.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import cpapi_fast as cf
from cpapi_fast.loop import run
from cpapi_fast.simulator import SimulatedGateway


async def main(seconds: float) -> None:
    frames_by_conid: Counter[int] = Counter()

    def on_batch(batch: cf.Batch) -> None:
        # A column of the batch, read without a copy; -1 means no conid.
        frames_by_conid.update(batch.conids)

    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        async with await cf.WsClient.connect(client) as ws:
            while (frame := await ws.next_message()) and frame.kind is not cf.FrameKind.SYSTEM:
                pass  # the gateway drops subscribes that arrive before `system`
            ws.on_batch(on_batch)
            for conid in (265598, 8314):
                await ws.subscribe_market_data(conid)
            await asyncio.sleep(seconds)
            print(ws.stats)
    print(dict(frames_by_conid))


if __name__ == "__main__":
    run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))

"""Prints the mean spread of each instrument, from float64 columns: no frame object is created, no JSON decoded.

`numpy.asarray` takes the columns without a copy.

Usage: python examples/columns.py [SECONDS]
"""

from __future__ import annotations

import asyncio
import sys

import cpapi_fast as cf
from cpapi_fast.loop import run
from cpapi_fast.simulator import SimulatedGateway


async def main(seconds: float) -> None:
    decoder = cf.TickDecoder(["84", "86"])  # bid and ask
    latest: dict[int, dict[str, float]] = {}
    spreads: dict[int, list[float]] = {}

    def on_batch(batch: cf.Batch) -> None:
        ticks = decoder.decode(batch)
        for field in ticks.fields:
            for conid, is_valid, value in zip(ticks.conids, ticks.valid(field), ticks.values(field), strict=True):
                if is_valid:  # a frame has only the fields that changed
                    latest.setdefault(conid, {})[field] = value
        for conid in ticks.conids:
            if len(quote := latest.get(conid, {})) == 2:
                spreads.setdefault(conid, []).append(quote["86"] - quote["84"])

    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        async with await cf.WsClient.connect(client) as ws:
            while (frame := await ws.next_message()) and frame.kind is not cf.FrameKind.SYSTEM:
                pass  # the gateway drops subscribes that arrive before `system`
            ws.on_batch(on_batch)
            for conid in (265598, 8314):
                await ws.subscribe_market_data(conid)
            await asyncio.sleep(seconds)
    for conid, values in spreads.items():
        print(f"{conid}: mean spread {sum(values) / len(values):.4f} over {len(values)} frames")


if __name__ == "__main__":
    run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))

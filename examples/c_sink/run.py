"""Prints the last prices of two instruments once per socket read; last_prices.pyx receives the frames in C.

Usage, in this folder:

    python setup.py build_ext --inplace     # needs cython, setuptools and a C compiler
    python run.py [SECONDS]                 # with the simulated gateway
"""

from __future__ import annotations

import asyncio
import sys

from last_prices import LastPrices

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

CONIDS = (265598, 8314)


def publish(changed: list[tuple[int, float, int]]) -> None:
    print(*(f"{conid}: {price}" for conid, price, _received_ns in changed), sep=", ")


async def main(seconds: float) -> None:
    sink = LastPrices(CONIDS, publish)
    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        async with await cf.WsClient.connect(client) as ws:
            while (frame := await ws.next_message()) and frame.kind is not cf.FrameKind.SYSTEM:
                pass  # the gateway drops subscribes that arrive before `system`
            ws.use_sink(sink)
            for conid in CONIDS:
                await ws.subscribe_market_data(conid)
            await asyncio.sleep(seconds)
    for kind, (frames, size_bytes) in sink.traffic.items():
        print(f"{kind.label}: {frames} frames, {size_bytes} bytes")


if __name__ == "__main__":
    cf.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0))

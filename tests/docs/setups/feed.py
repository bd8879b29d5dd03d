from __future__ import annotations

import asyncio

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway

CONIDS = (265598, 8314)


async def main() -> None:
    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        async with cf.Feed(client, cf.FeedOptions(overload="block")) as feed:
            for conid in CONIDS:
                await feed.subscribe_market_data(conid)
            await feed.wait_for(cf.FeedState.STREAMING, timeout_s=30.0)
            ...  # BLOCK
            await asyncio.sleep(0)


cf.run(main())

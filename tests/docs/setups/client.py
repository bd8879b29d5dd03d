from __future__ import annotations

import asyncio

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway


async def main() -> None:
    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        ...  # BLOCK
        await asyncio.sleep(0)


cf.run(main())

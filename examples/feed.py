"""Reads quotes, gaps and states from one stream while the simulated gateway fails, and prints the last value's age.

For a real gateway give its URL and fingerprint to `cf.Client`, and leave the simulator out.

Usage: python examples/feed.py
"""

from __future__ import annotations

import asyncio
import contextlib

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions


async def break_it(gateway: SimulatedGateway, clock: cf.Clock) -> None:
    """Cause three faults, one after the other."""
    await clock.sleep(10)
    print("!! the connection is reset")
    gateway.faults.drop_sockets(reset=True)
    await clock.sleep(10)
    print("!! one subscription stops without a message")
    gateway.faults.end_stream("265598")
    await clock.sleep(20)
    print("!! the session is renewed under the open socket")
    gateway.faults.change_session_id()


async def main(speed: float = 10.0, duration_s: float = 60.0) -> None:
    """Read for a minute of the clock, which runs ten times as fast as real time."""
    clock = cf.Clock(speed)
    async with (
        SimulatedGateway(SimulatorOptions(), clock=clock) as gateway,
        cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint or ""), clock=clock) as client,
        # The program prints the events itself, so it needs no warnings.
        cf.Feed(client, cf.FeedOptions(log_trouble=False)) as feed,
    ):
        for conid in (265598, 8314):
            await feed.subscribe_market_data(conid)
        breaking = asyncio.create_task(break_it(gateway, clock))
        ticks = 0
        with contextlib.suppress(asyncio.TimeoutError):
            # The iteration has no end, so it gets a time limit.
            reading = feed.__aiter__()
            ends_s = clock.monotonic_s() + duration_s
            while (left_s := ends_s - clock.monotonic_s()) > 0:
                item = await asyncio.wait_for(reading.__anext__(), clock.real_s(left_s))
                if isinstance(item, cf.Frame):
                    ticks += item.kind is cf.FrameKind.MARKET_DATA
                elif isinstance(item, cf.Gap):
                    first_ns = item.first_good_ns or item.last_good_ns
                    missing_ms = (first_ns - item.last_good_ns) / 1e6
                    print(f"   gap in {item.subscription}: {missing_ms:.0f} ms, {item.cause.value}")
                elif isinstance(item, cf.StateChange):
                    subject = item.subscription or "feed"
                    print(f"   {subject}: {item.previous.value} -> {item.state.value} ({item.cause.value})")
        await breaking
        print(f"{ticks} market data frames, {feed.stats.gaps} gaps, {feed.stats.connections} connections")
        quote = feed.quote(265598)
        if quote.last_price is not None:
            print(f"last price {quote.last_price}, {quote.age_s('last_price'):.1f} s old")


if __name__ == "__main__":
    cf.run(main())

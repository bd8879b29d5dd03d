"""One strategy, run live and replayed: the same function, and the same signals.

It follows the last price of an instrument, and signals when the price leaves its average by more than a part of it. A
gap starts the average again, because nobody knows the prices in between.

For a real gateway give its URL and fingerprint to `cf.Client`, and leave the simulator out. To replay what `cpapi-fast
collect` wrote, give its folder.

Usage: python examples/strategy.py [CAPTURE]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import cpapi_fast as cf
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions

CONID = 265598


class Signal(NamedTuple):
    """The price went above or below its average at a receive time."""

    received_ns: int
    side: str
    price: float


async def strategy(feed: cf.Feed | cf.Replay, *, ticks: int, threshold: float = 0.0002) -> list[Signal]:
    """Read a number of ticks of a feed, or all of a replay, and return the signals."""
    # Before the subscribe, so that it has every frame from the first one on.
    reader = feed.consumer(name="strategy")
    await feed.subscribe_market_data(CONID, ["last_price"])
    await feed.wait_for(cf.FeedState.STREAMING)
    signals: list[Signal] = []
    average: float | None = None
    async for item in reader:
        if isinstance(item, cf.Gap):
            average = None
        elif isinstance(item, cf.Frame) and item.conid == CONID:
            price = item.message.last_price
            if price is not None:
                average = price if average is None else 0.9 * average + 0.1 * price
                if abs(price - average) > threshold * average:
                    side = "sell" if price > average else "buy"
                    if not signals or signals[-1].side != side:
                        signals.append(Signal(item.received_ns, side, price))
            ticks -= 1
            if ticks == 0:
                break
    return signals


async def live(capture: Path, ticks: int) -> list[Signal]:
    """Run the strategy against the simulated gateway, and write what arrives to a capture."""
    async with (
        SimulatedGateway(SimulatorOptions(seed=7, rate=400.0)) as gateway,
        cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint or ""), clock=gateway.clock) as client,
        cf.Feed(client) as feed,
    ):
        with cf.CaptureWriter(capture) as writer:

            def write(item: cf.Batch | cf.FeedEvent) -> None:
                if isinstance(item, cf.Batch):
                    writer.write(item)

            feed.on_batch(write)
            return await strategy(feed, ticks=ticks)


async def replayed(path: Path, ticks: int) -> list[Signal]:
    """Run the strategy on a capture or a folder of captures, as fast as it reads."""
    async with cf.Replay(path, speed=None) as replay:
        return await strategy(replay, ticks=ticks)


async def main(path: str | None) -> None:
    if path is not None:
        for signal in await replayed(Path(path), -1):
            print(*signal)
        return
    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder, "capture.arrows")
        before = await live(capture, 400)
        again = await replayed(capture, 400)
    print(f"live: {len(before)} signals, replayed: {len(again)}, equal: {before == again}")


if __name__ == "__main__":
    cf.run(main(sys.argv[1] if len(sys.argv) > 1 else None))

"""The cost of metrics: per batch and frame against a call that does nothing, and per scrape, in one run.

Usage: python -m benchmarks.metrics_cost
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cpapi_fast as cf
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.metrics import MetricsCollector
from cpapi_fast.metrics.meters import FrameMeter, WriteMeter
from cpapi_fast.outputs.interface import OutputCounts
from cpapi_fast.simulator import SimulatedGateway, SimulatorOptions

SIZES = (1, 4, 16, 64, 256)
FRAME = b'{"topic":"smd+265598","conid":265598,"_updated":1712596911593,"31":"168.42","84":"168.41","server_id":"q0"}'


def batch_of(size: int) -> Batch:
    builder = BatchBuilder(None)
    for _ in range(size):
        builder.append(FRAME)
    batch = builder.finish(time.time_ns())
    assert batch is not None
    return batch


def least_ns(call: Callable[[], object], calls: int, rounds: int) -> float:
    """The shortest time of one call over several rounds, in ns."""
    found = []
    for _ in range(rounds):
        start_ns = time.perf_counter_ns()
        for _ in range(calls):
            call()
        found.append((time.perf_counter_ns() - start_ns) / calls)
    return min(found)


def measure_meters(calls: int, rounds: int) -> list[tuple[str, int, float, float]]:
    """The name of a meter, the size of a batch, and its cost in ns per batch and per frame."""
    found = []
    for size in SIZES:
        batch, frames, writes, counts = batch_of(size), FrameMeter(), WriteMeter(), OutputCounts(10**6, 0, 10**6)
        base_ns = least_ns(lambda: None, calls, rounds)
        for name, call in (
            ("frames and delivery latency", lambda: frames.on_batch(batch)),  # noqa: B023 - called in this round
            ("write latency", lambda: writes.on_batch(batch, counts)),  # noqa: B023
        ):
            cost_ns = max(least_ns(call, calls, rounds) - base_ns, 0.0)
            found.append((name, size, cost_ns, cost_ns / size))
    return found


async def measure_scrape(subscriptions: int, rounds: int) -> dict[str, float]:
    """The shortest times of the parts of a scrape, in ms."""
    from prometheus_client import generate_latest

    options = SimulatorOptions(tls=False, market_data_lines=subscriptions)
    async with SimulatedGateway(options) as gateway, cf.Client(gateway.url) as client:
        feed: Any = cf.Feed(client, cf.FeedOptions(market_data_lines=subscriptions))
        metrics = MetricsCollector(feed)
        feed.on_batch(lambda _: None)
        async with feed:
            for conid in range(1, subscriptions + 1):
                await feed.subscribe_market_data(conid)
            await gateway.wait_for(lambda: all(one.ticks for one in feed.subscriptions))
            result = {
                "read the counters": least_ns(metrics._read_here, 1, rounds) / 1e6,
                "read the counters and write the text": least_ns(lambda: generate_latest(metrics), 1, rounds) / 1e6,
            }
        metrics.close()
    return result


def main(calls: int = 20_000, rounds: int = 9, subscriptions: int = 1000) -> None:
    print(f"{'meter':30} {'frames':>6} {'ns per batch':>13} {'ns per frame':>13}")
    for name, size, batch_ns, frame_ns in measure_meters(calls, rounds):
        print(f"{name:30} {size:6} {batch_ns:13.1f} {frame_ns:13.2f}")
    print(f"\na scrape with {subscriptions:,} subscriptions:")
    for name, cost_ms in cf.run(measure_scrape(subscriptions, 30)).items():
        print(f"  {name}: {cost_ms:.2f} ms")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()

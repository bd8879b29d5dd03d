"""cpapi_fast, `async for item in consumer.batches()` of a Feed: overflow policy `block`, without last values."""

from __future__ import annotations

from benchmarks.contenders import Address, Drain
from benchmarks.feeds import is_end, open_feed
from benchmarks.own_work import take_batch
from benchmarks.work import Task
from cpapi_fast.frames.batch import Batch

PACKAGES = ("cpapi-fast", "picows")


async def connect(address: Address, task: Task) -> Drain:
    client, feed = await open_feed(address, last_values=False)
    take = take_batch(task)
    consumer = feed.consumer(policy="block")

    async def drain() -> int:
        await feed.subscribe_pnl()
        count = 0
        async for item in consumer.batches():
            if isinstance(item, Batch):
                count += len(item)
                take(item)
            elif is_end(item):
                break
        await feed.aclose()
        await client.aclose()
        return count

    return drain

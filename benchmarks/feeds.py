"""Opens a Feed on the benchmarks' sender, for the contenders that measure it.

Before the measurement starts, the feed subscribes to each conid of the corpus and receives the replies. Another
subscribe then starts the corpus.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from cpapi_fast.events import FeedEvent, FeedState, StateChange
from cpapi_fast.feed import Feed
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.frames.batch import Batch
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.tls import Tls

from . import frames
from .contenders import Address, Drain
from .own_work import take_batch
from .sender import FEED
from .work import Task

TIMEOUT_S = 30.0
#: The number of replies to each subscribe.
SNAPSHOTS = 2


async def open_feed(address: Address, *, last_values: bool) -> tuple[Client, Feed]:
    """Return a client and a feed whose subscriptions all stream."""
    url = urlsplit(address.url)
    base = url._replace(scheme={"ws": "http", "wss": "https"}[url.scheme], path=f"{FEED}/v1/api").geturl()
    client = Client(base, tls=None if address.cafile is None else Tls.ca_file(address.cafile))
    feed = Feed(
        client,
        FeedOptions(
            send_bytes_per_s=1e9, overload="block", market_data_lines=len(frames.CONIDS), last_values=last_values
        ),
    )
    await feed.start()
    for conid in frames.CONIDS:
        await feed.subscribe_market_data(conid)
    await feed.wait_for(FeedState.STREAMING, timeout_s=TIMEOUT_S)
    deadline_s = client.clock.monotonic_s() + TIMEOUT_S
    while any(status.frames < SNAPSHOTS for status in feed.subscriptions):
        if client.clock.monotonic_s() > deadline_s:
            raise TimeoutError("not every subscribe got its replies")
        await asyncio.sleep(0.01)
    return client, feed


def is_end(item: Batch | FeedEvent) -> bool:
    """Return whether the item reports that the sender has closed the connection."""
    return isinstance(item, StateChange) and item.subscription is None and item.state is FeedState.DISCONNECTED


async def receive_pushed(address: Address, task: Task, *, last_values: bool) -> Drain:
    """Connect a feed that receives with `feed.on_batch(callback)`, and return its `drain()`."""
    client, feed = await open_feed(address, last_values=last_values)
    take = take_batch(task)
    ended = asyncio.Event()
    count = 0

    def on_item(item: Batch | FeedEvent) -> None:
        nonlocal count
        if isinstance(item, Batch):
            count += len(item)
            take(item)
        elif is_end(item):
            ended.set()

    feed.on_batch(on_item)

    async def drain() -> int:
        await feed.subscribe_pnl()
        await ended.wait()
        await feed.aclose()
        await client.aclose()
        return count

    return drain

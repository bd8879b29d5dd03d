"""The types of callbacks: plain functions are accepted, and coroutine functions are not.

A comment that ignores an error which is not there is an error itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import cpapi_fast as cf
from cpapi_fast.collect.run import collect
from cpapi_fast.doctor import Finding, diagnose


def on_item(item: cf.Frame | cf.FeedEvent) -> None: ...


def on_batch(item: cf.Batch | cf.FeedEvent) -> None: ...


async def async_on_item(item: cf.Frame | cf.FeedEvent) -> None: ...


async def async_on_batch(item: cf.Batch | cf.FeedEvent) -> None: ...


async def generator(item: cf.Frame | cf.FeedEvent) -> AsyncIterator[int]:
    yield 1


class AsyncCall:
    async def __call__(self, item: cf.Frame | cf.FeedEvent) -> None: ...


def feed_callbacks(client: cf.Client, feed: cf.Feed, items: list[object]) -> None:
    feed.on_item(on_item)
    feed.on_item(print)
    feed.on_item(items.append)
    feed.on_item(lambda item: items.append(item))
    feed.on_batch(on_batch)
    feed.on_item(async_on_item)  # type: ignore[arg-type]
    feed.on_item(partial(async_on_item))  # type: ignore[arg-type]
    feed.on_item(generator)  # type: ignore[arg-type]
    feed.on_item(AsyncCall())  # type: ignore[arg-type]
    feed.on_batch(async_on_batch)  # type: ignore[arg-type]

    async def on_login(change: cf.StateChange) -> None: ...

    cf.Feed(client, on_login_required=print)
    cf.Feed(client, on_login_required=on_login)  # type: ignore[arg-type]


def connection_callbacks(ws: cf.WsClient) -> None:
    async def on_frame(frame: cf.Frame) -> None: ...

    async def on_batch(batch: cf.Batch) -> None: ...

    ws.on_frame(print)
    ws.on_batch(print)
    ws.on_frame(None)
    ws.on_frame(on_frame)  # type: ignore[arg-type]
    ws.on_batch(on_batch)  # type: ignore[arg-type]


async def other_callbacks(client: cf.Client, clock: cf.Clock) -> None:
    async def on_notice(text: str) -> None: ...

    async def on_result(result: cf.SessionTicket | Exception) -> None: ...

    async def on_finding(finding: Finding) -> None: ...

    async def on_timer() -> None: ...

    options = cf.CollectOptions(conids=(265598,), out=Path("data"))
    cf.Collector(client, options, on_notice=print)
    cf.Collector(client, options, on_notice=on_notice)  # type: ignore[arg-type]
    await collect(client, options, on_notice=on_notice)  # type: ignore[arg-type]
    client.spawn_keepalive(on_result=on_result)  # type: ignore[arg-type]
    await diagnose("https://localhost:5000/v1/api", on_finding=on_finding)  # type: ignore[arg-type]
    clock.call_later(1.0, print, "a")
    clock.call_later(1.0, on_timer)  # type: ignore[arg-type]

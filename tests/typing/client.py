"""The types of the client: REST, the connection, subscriptions."""

from __future__ import annotations

from collections.abc import AsyncIterator

from typing_extensions import assert_type

from cpapi_fast.batch import Batch, Frame
from cpapi_fast.connection import WsClient
from cpapi_fast.gateway import Client
from cpapi_fast.session import AuthStatus, SessionTicket
from cpapi_fast.stats import WsStats
from cpapi_fast.tls import Tls
from cpapi_fast.topics import MarketDataFields, Subscription


async def rest_types(pin: str) -> None:
    async with Client("https://localhost:5000/v1/api", tls=Tls.pinned(pin)) as client:
        assert_type(client, Client)
        ticket = await client.tickle()
        assert_type(ticket, SessionTicket)
        assert_type(ticket.session, str | None)
        assert_type(await client.health(), AuthStatus)


async def connection_types(client: Client) -> None:
    async with await WsClient.connect(client) as ws:
        assert_type(ws, WsClient)
        assert_type(await ws.subscribe_market_data(265598, MarketDataFields.default_l1()), Subscription)
        assert_type(await ws.next_message(), Frame | None)
        assert_type(ws.raw_stream(), AsyncIterator[bytes])
        async for frame in ws:
            assert_type(frame, Frame)
        async for batch in ws.batches():
            assert_type(batch, Batch)
        assert_type(ws.stats, WsStats)
        assert_type(ws.close_code, int | None)
        assert_type(ws.close_reason, str | None)


def callback_types(ws: WsClient) -> None:
    sizes: list[int] = []
    ws.on_batch(lambda batch: sizes.append(batch.nbytes))
    ws.on_frame(lambda frame: sizes.append(len(frame)))

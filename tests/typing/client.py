"""The types of the client: REST, the connection, subscriptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Any, assert_type

import cpapi_fast as cf
from cpapi_fast.messages import MarketDataMessage


async def rest_types(pin: str) -> None:
    async with cf.Client("https://localhost:5000/v1/api", tls=cf.Tls.pinned(pin)) as client:
        assert_type(client, cf.Client)
        ticket = await client.tickle()
        assert_type(ticket, cf.SessionTicket)
        assert_type(ticket.session, str | None)
        assert_type(await client.health(), cf.AuthStatus)


async def connection_types(client: cf.Client) -> None:
    async with await cf.WsClient.connect(client) as ws:
        assert_type(ws, cf.WsClient)
        assert_type(await ws.subscribe_market_data(265598, cf.MarketDataFields.default_l1()), cf.Subscription)
        assert_type(await ws.next_message(), cf.Frame | None)
        assert_type(ws.raw_stream(), AsyncIterator[bytes])
        async for frame in ws:
            assert_type(frame, cf.Frame)
        async for batch in ws.batches():
            assert_type(batch, cf.Batch)
        assert_type(ws.stats, cf.WsStats)
        assert_type(ws.close_code, int | None)
        assert_type(ws.close_reason, str | None)


def callback_types(ws: cf.WsClient) -> None:
    sizes: list[int] = []
    ws.on_batch(lambda batch: sizes.append(batch.nbytes))
    ws.on_frame(lambda frame: sizes.append(len(frame)))


async def contract_types(client: cf.Client) -> None:
    assert_type(await client.search("AAPL"), tuple[cf.ContractMatch, ...])
    stocks = await client.stocks(["AAPL"])
    assert_type(stocks, dict[str, tuple[cf.StockContract, ...]])
    assert_type(stocks["AAPL"][0].is_us, bool | None)
    futures = await client.futures(["ES"])
    assert_type(futures["ES"][0].expiration, date | None)
    assert_type(await client.currency_pairs("USD"), tuple[cf.CurrencyPair, ...])
    info = await client.contract_info(265598)
    assert_type(info, cf.ContractInfo)
    assert_type(info.multiplier, float | None)
    schedule = await client.trading_schedule(265598, exchange="NASDAQ")
    assert_type(schedule.days[0].liquid[0].start, datetime)
    quotes = await client.snapshot([265598], ["last_price"])
    assert_type(quotes, dict[int, MarketDataMessage])
    assert_type(quotes[265598].last_price, float | None)
    assert_type(await client.request("GET", "/x", params={"conids": [265598]}), Any)
    resolved = await cf.resolve_symbols(client, ["AAPL@NASDAQ"])
    assert_type(resolved, tuple[cf.ResolvedSymbol, ...])
    assert_type(resolved[0].multiplier, float | None)
    cached = cf.Client(client.base_url, contract_cache=cf.ContractCache("contracts"))
    assert_type(cached.contract_cache, cf.ContractCache | None)

"""The keepalive sends its requests on time, even if one of them fails or hangs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cpapi_fast.clock import Clock
from cpapi_fast.errors import (
    ConfigError,
    ConnectError,
    DecodeError,
    NotAuthenticatedError,
    RequestTimeoutError,
    StatusError,
)
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.keepalive import Keepalive
from cpapi_fast.rest.session import SessionTicket
from tests.servers.http import SESSION, TICKLE, HttpServer, http_response
from tests.support.clocks import HandClock
from tests.support.loops import until

#: A minute passes in 60 ms.
FAST = 1000.0


def fast_client(peer: HttpServer, *, total_timeout_s: float = 20_000.0) -> Client:
    """A client with a fast clock and long time limits, so that a busy machine causes no timeout."""
    return Client(peer.url, clock=Clock(FAST), connect_timeout_s=20_000.0, total_timeout_s=total_timeout_s)


@pytest.mark.each_loop
async def test_the_keepalive_continues_after_every_failure() -> None:
    replies: list[bytes | None] = [
        http_response(status=500),
        http_response(status=401),
        http_response(status=302, headers=["Location: /sso/Login"]),
        http_response(b"[]"),
        http_response(b"<html>", content_type="text/html"),
        http_response(b"\xff\x00"),
        # The first of these ends a kept connection, which is no failure yet.
        None,
        None,
        b"HTTP/1.1 nonsense\r\n\r\n",
        http_response(TICKLE),
    ]
    results: list[SessionTicket | Exception] = []
    answers = iter(replies)
    async with HttpServer(lambda _: next(answers, http_response(TICKLE))) as peer, fast_client(peer) as client:
        keepalive = client.spawn_keepalive(on_result=results.append)
        await until(lambda: keepalive.ticks >= 1)
        await keepalive.stop()
    kinds = [type(result) for result in results[:9]]
    assert kinds == [
        StatusError,
        NotAuthenticatedError,
        NotAuthenticatedError,
        DecodeError,
        DecodeError,
        DecodeError,
        ConnectError,
        ConnectError,
        SessionTicket,
    ]
    assert keepalive.failures == 8
    assert keepalive.ticks == len(results) - 8
    assert keepalive.last_ticket is not None
    assert keepalive.last_ticket.session == SESSION
    assert keepalive.last_error is None
    assert SESSION not in repr(keepalive)


@pytest.mark.each_loop
async def test_the_keepalive_continues_after_a_restart_of_the_gateway() -> None:
    async with HttpServer(http_response(TICKLE)) as peer:
        client = fast_client(peer)
        keepalive = client.spawn_keepalive()
        await until(lambda: keepalive.ticks >= 1)
    await until(lambda: keepalive.failures >= 2)
    assert isinstance(keepalive.last_error, ConnectError)
    async with HttpServer(http_response(TICKLE), port=peer.port):
        ticks = keepalive.ticks
        await until(lambda: keepalive.ticks > ticks)
        assert keepalive.last_error is None
        assert keepalive.is_running
        await client.aclose()


async def test_the_keepalive_continues_after_a_gateway_that_hangs() -> None:
    async with HttpServer(b"") as peer, fast_client(peer, total_timeout_s=0.1) as client:
        keepalive = client.spawn_keepalive()
        await until(lambda: keepalive.failures >= 2)
        assert isinstance(keepalive.last_error, RequestTimeoutError)


async def test_the_keepalive_continues_after_an_unexpected_exception() -> None:
    async def tickle() -> SessionTicket:
        raise KeyError("a bug")

    keepalive = Keepalive(tickle, interval_s=60.0, clock=Clock(FAST))
    await until(lambda: keepalive.failures >= 2)
    assert isinstance(keepalive.last_error, KeyError)
    await keepalive.stop()


async def test_a_callback_that_raises_is_reported_and_the_keepalive_continues() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context))
    error = ValueError("the user's")

    def fail(_result: object) -> None:
        raise error

    async with HttpServer(http_response(TICKLE)) as peer, fast_client(peer) as client:
        keepalive = client.spawn_keepalive(on_result=fail)
        await until(lambda: keepalive.ticks >= 3)
        assert keepalive.callback_failures == len(reported) >= 2
        assert keepalive.failures == 0
    assert all(context["exception"] is error for context in reported)


async def test_requests_are_one_interval_apart() -> None:
    clock = HandClock()
    times: list[float] = []

    async def tickle() -> SessionTicket:
        times.append(clock.monotonic_s())
        # A response that takes half the interval does not stretch it.
        await clock.sleep(15.0)
        return SessionTicket.parse({}, b"", 0)

    keepalive = Keepalive(tickle, interval_s=30.0, clock=clock)
    assert keepalive.ticks == 0
    await clock.advance(150.0)
    await keepalive.stop()
    assert times == [30.0, 60.0, 90.0, 120.0, 150.0]


async def test_missed_requests_are_skipped() -> None:
    clock = HandClock()
    times: list[float] = []

    async def tickle() -> SessionTicket:
        times.append(clock.monotonic_s())
        await clock.sleep(300.0 if len(times) == 1 else 0.0)
        return SessionTicket.parse({}, b"", 0)

    keepalive = Keepalive(tickle, interval_s=60.0, clock=clock)
    await clock.advance(480.0)
    await keepalive.stop()
    assert times == [60.0, 360.0, 420.0, 480.0]


async def test_stopping() -> None:
    async with HttpServer(b"") as peer, fast_client(peer) as client:
        keepalive = client.spawn_keepalive(interval_s=1.0)
        await until(lambda: len(peer.requests) == 1)
        assert keepalive.is_running
        assert repr(keepalive) == "Keepalive(running, ticks=0, failures=0)"
        # In the middle of a request, and twice.
        await asyncio.gather(keepalive.stop(), keepalive.stop())
        await keepalive.stop()
        assert not keepalive.is_running
        assert repr(keepalive) == "Keepalive(stopped, ticks=0, failures=0)"


async def test_stopping_from_the_callback() -> None:
    async with HttpServer(http_response(TICKLE)) as peer, fast_client(peer) as client:
        stops: list[asyncio.Task[None]] = []
        keepalive = client.spawn_keepalive(
            on_result=lambda _: stops.append(asyncio.get_running_loop().create_task(keepalive.stop()))
        )
        await until(lambda: not keepalive.is_running)
        await asyncio.gather(*stops)
        assert keepalive.ticks == 1


@pytest.mark.parametrize("interval_s", [0, -1.0, float("nan"), float("inf")])
async def test_an_invalid_interval(interval_s: float) -> None:
    async with Client("http://localhost:5000/v1/api") as client:
        with pytest.raises(ConfigError, match="interval"):
            client.spawn_keepalive(interval_s)


async def test_a_coroutine_function_as_callback_is_rejected() -> None:
    async def callback(_result: object) -> None: ...

    async with Client("http://localhost:5000/v1/api") as client:
        with pytest.raises(ConfigError, match="plain function"):
            client.spawn_keepalive(on_result=callback)


async def test_failures_without_a_callback_are_warnings_once_per_kind(caplog: pytest.LogCaptureFixture) -> None:
    # A gateway that has answered, because the advice about an unknown server is another one.
    replies = [http_response(TICKLE)]
    replies += [http_response(status=500)] * 3 + [http_response(status=401)] * 3 + [http_response(TICKLE)]
    answers = iter(replies)
    async with HttpServer(lambda _: next(answers, http_response(status=500))) as peer, fast_client(peer) as client:
        keepalive = client.spawn_keepalive()
        await until(lambda: keepalive.ticks >= 2 and keepalive.failures >= 8)
        await keepalive.stop()
    texts = [record.getMessage() for record in caplog.records if record.name == "cpapi_fast"]
    assert len(texts) == 3
    assert "status 500" in texts[0]
    assert "nobody is logged in" in texts[1]
    assert texts[2] == texts[0]

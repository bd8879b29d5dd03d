"""The pacer over real sockets against a gateway that counts the requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from cpapi_fast.errors import PaceError, RateLimitedError, UsageError
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.pacing import PENALTY_S, RestPacer
from cpapi_fast.simulator import SimulatedGateway
from tests.integration.simulator.plain_client import http
from tests.servers.http import unpaced
from tests.support.loops import until

#: Seconds of the clock, which may run fast; none of these tests is about them.
PATIENT = {"connect_timeout_s": 2_000.0, "total_timeout_s": 2_000.0}


@pytest.mark.each_loop
@pytest.mark.gateway(enforce_pacing=True, speed=20.0)
async def test_many_tasks_of_two_clients_never_get_a_429(gateway: SimulatedGateway) -> None:
    pacer = RestPacer(gateway.clock, max_wait_s=2_000.0)
    first = Client(gateway.url, clock=gateway.clock, pacer=pacer, **PATIENT)
    second = Client(gateway.url, clock=gateway.clock, pacer=pacer, **PATIENT)
    async with first, second:
        calls: list[Callable[[], Awaitable[object]]] = [
            first.tickle,
            first.auth_status,
            first.accounts,
            second.tickle,
            second.health,
            second.accounts,
        ]

        async def ask(call: Callable[[], Awaitable[object]]) -> None:
            for _ in range(8):
                await call()

        # Each call from three tasks: more than a hundred requests that all want to go at once.
        await asyncio.gather(*(ask(call) for call in calls * 3))
    assert len(gateway.requests) == 144
    assert {request.status for request in gateway.requests} == {200}


@pytest.mark.gateway(enforce_pacing=True, speed=0.1)
async def test_without_the_pacer_they_get_a_429(gateway: SimulatedGateway) -> None:
    """What the test above is worth: the gateway does count."""

    async with Client(gateway.url, clock=gateway.clock, pacer=unpaced(gateway.clock)) as client:
        outcomes = await asyncio.gather(*(client.accounts() for _ in range(12)), return_exceptions=True)
    assert sum(isinstance(outcome, RateLimitedError) for outcome in outcomes) >= 1


@pytest.mark.each_loop
@pytest.mark.gateway(enforce_pacing=True, speed=0.1)
async def test_after_a_429_caused_by_others_nothing_is_sent(gateway: SimulatedGateway, client: Client) -> None:
    # A slow clock, so that the other program's requests fall into one second of it.
    ticket = await client.tickle()
    async with http() as other:
        for _ in range(10):
            await (await other.post(gateway.url + "/iserver/auth/status")).read()
    waiting = asyncio.create_task(client.tickle())
    with pytest.raises(RateLimitedError, match="/iserver/accounts returned status 429") as caught:
        await client.accounts()
    assert (caught.value.status, caught.value.retry_after_s) == (429, PENALTY_S)
    with pytest.raises(RateLimitedError, match="/tickle was not sent"):
        await waiting
    seen = len(gateway.requests)
    for call in (client.tickle, client.auth_status, client.health, client.accounts, client.logout):
        with pytest.raises(RateLimitedError) as refused:
            await call()
        assert refused.value.is_retryable
        assert PENALTY_S - 60.0 < refused.value.retry_after_s <= PENALTY_S
        assert str(ticket.session) not in str(refused.value)
    assert len(gateway.requests) == seen
    assert PENALTY_S - 60.0 < client.pacer.penalty_left_s <= PENALTY_S


@pytest.mark.gateway(speed=3_000.0)
async def test_requests_succeed_after_the_penalty(gateway: SimulatedGateway) -> None:
    gateway.faults.fail_rest("/tickle", status=429, times=1)
    async with Client(gateway.url, clock=gateway.clock, connect_timeout_s=30_000.0, total_timeout_s=30_000.0) as client:
        with pytest.raises(RateLimitedError) as caught:
            await client.tickle()
        await gateway.clock.sleep(caught.value.retry_after_s)
        while client.pacer.penalty_left_s > 0.0:
            await gateway.clock.sleep(1.0)
        assert (await client.tickle()).session == gateway.session_id


@pytest.mark.gateway(speed=1_000.0)
async def test_a_keepalive_continues_after_the_penalty(gateway: SimulatedGateway) -> None:
    gateway.faults.fail_rest("/tickle", status=429, times=1)
    async with Client(gateway.url, clock=gateway.clock, connect_timeout_s=30_000.0, total_timeout_s=30_000.0) as client:
        keepalive = client.spawn_keepalive(60.0)
        await until(lambda: keepalive.ticks > 0)
        # The request that got the 429, and all that were due during the penalty.
        assert keepalive.failures >= 1
        assert len(gateway.requests) == 1 + keepalive.ticks


@pytest.mark.each_loop
@pytest.mark.gateway(speed=0.01)
async def test_closing_a_client_ends_its_waiting_requests(gateway: SimulatedGateway) -> None:
    client = Client(gateway.url, clock=gateway.clock)
    other = Client(gateway.url, clock=gateway.clock, pacer=client.pacer)
    async with other:
        await client.tickle()
        mine, theirs = asyncio.create_task(client.tickle()), asyncio.create_task(other.tickle())
        await until(lambda: client.pacer.waiting == 2)
        await client.aclose()
        with pytest.raises(UsageError, match="closed"):
            await mine
        assert not theirs.done()
    with pytest.raises(UsageError, match="closed"):
        await theirs
    assert len(gateway.requests) == 1


@pytest.mark.gateway(speed=0.01)
async def test_a_request_that_would_wait_too_long_is_not_sent(gateway: SimulatedGateway) -> None:
    pacer = RestPacer(gateway.clock, max_wait_s=0.5)
    async with Client(gateway.url, clock=gateway.clock, pacer=pacer) as client:
        await client.tickle()
        with pytest.raises(PaceError, match="/tickle") as caught:
            await client.tickle()
        assert caught.value.retry_after_s > 0.5
        assert len(gateway.requests) == 1

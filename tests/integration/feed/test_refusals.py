"""Client, feed and doctor give the same meaning and the same advice to each response, over real sockets."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

import cpapi_fast as cf
from cpapi_fast.doctor import Problem, Step, diagnose
from cpapi_fast.doctor.context import DOCTOR_WORDING, PROBLEMS
from cpapi_fast.feed.driver.failures import FAILURES
from cpapi_fast.feed.machine import Failure
from cpapi_fast.feed.machine.advice import FEED_WORDING
from cpapi_fast.protocol.response_table import ROWS, Pause, Place, advice_for
from cpapi_fast.simulator import SimulatedGateway
from tests.servers.http import unpaced
from tests.servers.small_gateway import SmallGateway
from tests.support.refusals import REFUSALS, Refusal

M = cf.Meaning
STATES = {
    Failure.NOT_LOGGED_IN: cf.FeedState.LOGIN_REQUIRED,
    Failure.COMPETING: cf.FeedState.COMPETING,
}


def refuse(gateway: SimulatedGateway, path: str, case: Refusal) -> None:
    headers = dict(case.headers)
    content_type = headers.pop("content-type", "application/octet-stream")
    gateway.faults.fail_rest(
        path, status=case.status, body=case.body, content_type=content_type, headers=headers, times=None
    )


def place_of(gateway: SimulatedGateway, *, is_known: bool) -> Place:
    return Place(gateway.url.removesuffix("/v1/api"), "/v1/api", is_known=is_known)


async def first_failure(gateway: SimulatedGateway, logins: list[object]) -> cf.StateChange:
    """The first change of a feed that is not one of the start."""
    client = cf.Client(gateway.url, clock=gateway.clock, pacer=unpaced(gateway.clock))
    async with client, cf.Feed(client, on_login_required=logins.append) as feed:
        async for item in feed:
            if isinstance(item, cf.StateChange) and item.state not in (cf.FeedState.CONNECTING, cf.FeedState.OPEN):
                return item
    raise AssertionError("the feed ended")


async def check(gateway: SimulatedGateway, meaning: cf.Meaning, *, is_upgrade: bool, is_known: bool = True) -> None:
    logins: list[object] = []
    change, diagnosis = await asyncio.gather(
        first_failure(gateway, logins), diagnose(gateway.url, clock=gateway.clock, timeout_s=60.0)
    )
    place = place_of(gateway, is_known=is_known)

    failure = FAILURES[meaning]
    if is_upgrade and meaning in (M.LOGIN_REQUIRED, M.COMPETING):
        failure = Failure.UPGRADE_REFUSED
    assert change.state is STATES.get(failure, cf.FeedState.DISCONNECTED)
    assert change.cause is failure.cause
    assert change.advice == advice_for(meaning, place, FEED_WORDING)
    assert change.detail
    assert change.advice not in change.detail
    # A person is called for a login and for nothing else.
    assert bool(logins) is (failure is Failure.NOT_LOGGED_IN)

    found = diagnosis.failure
    assert found is not None
    assert found.facts["meaning"] == meaning.value
    assert found.advice == advice_for(meaning, place, DOCTOR_WORDING)
    if is_upgrade:
        assert found.step is Step.WEBSOCKET
        is_same = PROBLEMS[meaning] in (Problem.RATE_LIMITED, Problem.FORBIDDEN)
        assert found.problem is (PROBLEMS[meaning] if is_same else Problem.WEBSOCKET)
    else:
        assert found.step is (Step.SESSION if meaning is M.LOGIN_REQUIRED else Step.REST)
        assert found.problem is PROBLEMS[meaning]
    assert "secret" not in change.detail + found.found


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
async def test_a_refused_tickle(gateway: SimulatedGateway, case: Refusal) -> None:
    refuse(gateway, "/tickle", case)
    async with cf.Client(gateway.url) as client:
        with pytest.raises(cf.SessionError) as caught:
            await client.tickle()
        is_known = client.has_answered
    meaning = case.at_first
    assert caught.value.meaning is meaning
    assert caught.value.is_retryable is ROWS[meaning].is_retryable
    await check(gateway, meaning, is_upgrade=False, is_known=is_known)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
async def test_a_refused_upgrade(gateway: SimulatedGateway, case: Refusal) -> None:
    refuse(gateway, "/ws", case)
    async with cf.Client(gateway.url) as client:
        with pytest.raises(cf.HandshakeError) as caught:
            await cf.WsClient.connect(client)
    assert caught.value.meaning is case.at_upgrade
    assert caught.value.is_retryable is ROWS[case.at_upgrade].is_retryable
    await check(gateway, case.at_upgrade, is_upgrade=True)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.name)
async def test_a_refused_list_of_accounts_doubts_no_url(case: Refusal) -> None:
    # `/tickle` has just shown that the base URL is that of a gateway.
    answer = (case.status, case.body)
    async with SmallGateway({"/iserver/accounts": answer}) as gateway:
        gateway.headers["/iserver/accounts"] = case.headers
        async with cf.Client(gateway.url, pacer=unpaced()) as client:
            await client.tickle()
            if case.meaning is M.UNEXPECTED_BODY and not case.body.startswith(b"<"):
                await client.prime_accounts()
                return
            with pytest.raises(cf.SessionError) as caught:
                await client.prime_accounts()
            assert caught.value.meaning not in (M.REDIRECT, M.NOT_FOUND, M.NOT_A_GATEWAY)


class ProxyWithoutWebSockets(SmallGateway):
    """Passes REST, and at the upgrade never responds or closes the connection."""

    def __init__(self, is_closing: bool) -> None:
        super().__init__()
        self._is_closing = is_closing

    async def _serve_socket(self, request: web.Request) -> web.WebSocketResponse:
        if self._is_closing:
            assert request.transport is not None
            request.transport.abort()
        else:
            # Longer than the client waits.
            await asyncio.sleep(10.0)
        return web.WebSocketResponse()


@pytest.mark.parametrize("is_closing", [False, True])
async def test_an_upgrade_without_a_response_is_no_gateway_that_has_to_be_started(is_closing: bool) -> None:
    options = cf.FeedOptions(ws=cf.WsOptions(open_timeout_s=2.0))
    async with ProxyWithoutWebSockets(is_closing) as gateway:
        async with cf.Client(gateway.url) as client, cf.Feed(client, options) as feed:
            change = await anext(item async for item in feed if isinstance(item, cf.StateChange) and item.is_failure)
        assert change.state is cf.FeedState.DISCONNECTED
        assert change.cause is cf.Cause.UPGRADE_REFUSED
        assert "proxy" in change.advice
        assert "Start the gateway" not in change.advice
        failure = (await diagnose(gateway.url, timeout_s=2.0)).failure
        assert failure is not None
        assert (failure.step, failure.problem) == (Step.WEBSOCKET, Problem.WEBSOCKET)
        assert failure.facts["meaning"] == M.UPGRADE_UNANSWERED.value
        assert "proxy" in failure.advice


def test_every_meaning_has_a_failure_and_a_problem() -> None:
    assert set(FAILURES) == set(PROBLEMS) == set(M)
    for meaning, failure in FAILURES.items():
        assert (ROWS[meaning].pause is Pause.LOGIN) is (failure is Failure.NOT_LOGGED_IN)
        assert (ROWS[meaning].pause is Pause.COMPETING) is (failure is Failure.COMPETING)
        assert (ROWS[meaning].pause is Pause.PENALTY) is (failure is Failure.RATE_LIMITED)
        assert (ROWS[meaning].pause is Pause.LONGEST) is (failure in (Failure.FORBIDDEN, Failure.NOT_A_GATEWAY))

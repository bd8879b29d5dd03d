"""The gateway's own words about the session: what a feed, a client and the doctor make of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.doctor import Diagnosis, Problem, Step, diagnose
from tests.servers.http import unpaced
from tests.servers.small_gateway import STATUS, TICKLE, SmallGateway
from tests.support.loops import until

WORDS = "Force compete capability must be used together with compete flag"
UNKNOWN = "The moon is in the seventh house"
INIT, ACCOUNTS = "/iserver/auth/ssodh/init", "/iserver/accounts"
State, Cause = cf.FeedState, cf.Cause


@dataclass
class World:
    """A gateway whose brokerage session another login holds until `ssodh/init` has `compete:true`.

    Attributes:
        member: the member that has the words, in the responses of `places`.
        words: the words.
        places: the paths whose responses have the words.
        is_held: whether another login holds the session.
    """

    member: str = "fail"
    words: Any = WORDS
    places: tuple[str, ...] = (INIT, "/iserver/auth/status", "/tickle")
    is_held: bool = True
    is_open: bool = False
    inits: list[bool] = field(default_factory=list)

    def status(self, path: str, **more: Any) -> dict[str, Any]:
        status = {**STATUS, "authenticated": self.is_open, "established": self.is_open, **more}
        if not self.is_open and path in self.places:
            status[self.member] = self.words
        return status

    def init(self, body: bytes) -> dict[str, Any]:
        compete = bool(json.loads(body)["compete"])
        self.inits.append(compete)
        self.is_open = self.is_open or compete or not self.is_held
        few = {"passed": self.is_open, "authenticated": self.is_open, "connected": True, "competing": False}
        return few | ({self.member: self.words} if not self.is_open and INIT in self.places else {})

    def gateway(self) -> SmallGateway:
        return SmallGateway(
            {
                "/tickle": lambda _: {**TICKLE, "iserver": {"authStatus": self.status("/tickle")}},
                "/iserver/auth/status": lambda _: self.status("/iserver/auth/status"),
                INIT: self.init,
            }
        )


@dataclass
class Watched:
    feed: cf.Feed
    changes: list[cf.StateChange]
    logins: list[object]

    async def until(self, state: cf.FeedState) -> cf.StateChange:
        await until(lambda: bool(self.changes) and self.changes[-1].state is state)
        return self.changes[-1]


@asynccontextmanager
async def watched(gateway: SmallGateway, clock: cf.Clock, **options: Any) -> AsyncIterator[Watched]:
    changes: list[cf.StateChange] = []
    logins: list[object] = []
    client = cf.Client(gateway.url, clock=clock, pacer=unpaced(clock))
    async with client, cf.Feed(client, cf.FeedOptions(**options), on_login_required=logins.append) as feed:
        feed.on_item(
            lambda item: (
                changes.append(item) if isinstance(item, cf.StateChange) and item.subscription is None else None
            )
        )
        await feed.subscribe_market_data(265598)
        yield Watched(feed, changes, logins)


@pytest.mark.parametrize("places", [(INIT, "/iserver/auth/status", "/tickle"), ("/iserver/auth/status",), (INIT,)])
@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("fail", WORDS),
        ("message", WORDS),
        ("prompts", ["x", WORDS]),
        ("prompts", [{"id": "o1", "text": WORDS}]),
        ("error", {"message": [WORDS]}),
    ],
)
async def test_observe_waits_until_the_other_login_has_ended(
    clock: cf.Clock, places: tuple[str, ...], member: str, words: Any
) -> None:
    world = World(member, words, places)
    async with world.gateway() as gateway, watched(gateway, clock, login_poll_s=2.0) as run:
        change = await run.until(State.COMPETING)
        assert change.cause is Cause.COMPETING
        assert WORDS in change.detail
        assert "competing='reclaim'" in change.advice
        assert "browser" not in change.advice
        # Words may be those of an earlier request, so the feed asks again.
        before = len(world.inits)
        await until(lambda: len(world.inits) >= before + 2)
        assert run.feed.state is State.COMPETING
        world.is_held = False
        await run.until(State.STREAMING)
        assert set(world.inits) == {False}
        assert not run.logins


async def test_reclaim_takes_the_session(clock: cf.Clock) -> None:
    world = World()
    async with world.gateway() as gateway, watched(gateway, clock, competing="reclaim") as run:
        await run.until(State.STREAMING)
        assert world.inits == [False, True]
        told = next(change for change in run.changes if change.state is State.COMPETING)
        assert WORDS in told.detail
        assert "competing=" not in told.advice
        assert not run.logins


async def test_reclaim_takes_a_session_that_is_held_without_a_word(clock: cf.Clock) -> None:
    world = World(places=())
    async with world.gateway() as gateway, watched(gateway, clock, competing="reclaim") as run:
        await run.until(State.STREAMING)
        assert world.inits == [False, False, True]
        assert not run.logins


async def test_unknown_words_are_in_the_event_that_asks_for_a_login(clock: cf.Clock) -> None:
    world = World(words=f"{UNKNOWN}\x1b[2J of U1234567")
    async with world.gateway() as gateway, watched(gateway, clock) as run:
        change = await run.until(State.LOGIN_REQUIRED)
        assert UNKNOWN in change.detail
        assert "U1234567" not in change.detail
        assert change.detail.isprintable()
        assert run.logins


@pytest.mark.parametrize("words", [WORDS, UNKNOWN])
async def test_the_words_of_a_session_that_ends_are_in_the_event(clock: cf.Clock, words: str) -> None:
    world = World(words=words, is_open=True, is_held=False)
    async with world.gateway() as gateway, watched(gateway, clock) as run:
        await run.until(State.STREAMING)
        world.is_open, world.is_held = False, True
        await gateway.send({"topic": "sts", "args": {"authenticated": False, "fail": words}})
        await run.until(State.COMPETING if words is WORDS else State.LOGIN_REQUIRED)
        ended = next(change for change in run.changes if change.cause is Cause.SESSION_ENDED)
        assert words in ended.detail


#: `sts` frames after which another login holds the session. REST does not tell.
HELD_BY_STS = (
    [{"competing": True}, {"authenticated": False}],
    [{"authenticated": False, "fail": WORDS}],
    [{"message": "Another session is active"}, {"authenticated": False}],
    [{**STATUS, "authenticated": False, "competing": True}],
)


@pytest.mark.parametrize("frames", HELD_BY_STS)
async def test_another_login_that_only_the_socket_reports(clock: cf.Clock, frames: list[dict[str, Any]]) -> None:
    world = World(is_open=True, is_held=False, places=())
    async with world.gateway() as gateway, watched(gateway, clock, login_poll_s=2.0) as run:
        await run.until(State.STREAMING)
        world.is_open, world.is_held = False, True
        for frame in frames:
            await gateway.send({"topic": "sts", "args": frame})
        change = await run.until(State.COMPETING)
        words = next((frame[name] for frame in frames for name in ("fail", "message") if frame.get(name)), "")
        assert words in change.detail
        before = len(world.inits)
        await until(lambda: len(world.inits) >= before + 2)
        assert run.feed.state is State.COMPETING
        world.is_held = False
        await run.until(State.STREAMING)
        assert set(world.inits) == {False}
        assert not run.logins


@pytest.mark.parametrize("more", [{"competing": True}, {"fail": WORDS}])
async def test_another_login_of_a_gateway_that_reports_no_connection(clock: cf.Clock, more: dict[str, Any]) -> None:
    status = {**STATUS, "authenticated": False, "established": False, "connected": False, **more}
    tickle = {**TICKLE, "iserver": {"authStatus": status}}
    async with SmallGateway({"/tickle": tickle, "/iserver/auth/status": status}) as gateway:
        async with watched(gateway, clock) as run:
            change = await run.until(State.COMPETING)
            assert more.get("fail", "") in change.detail
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert failure.problem is Problem.COMPETING
        async with cf.Client(gateway.url) as client:
            with pytest.raises(cf.CompetingSessionError):
                await client.health()


async def test_reclaim_from_another_login_that_only_the_socket_reports(clock: cf.Clock) -> None:
    world = World(is_open=True, is_held=False, places=())
    async with world.gateway() as gateway, watched(gateway, clock, competing="reclaim") as run:
        await run.until(State.STREAMING)
        world.is_open, world.is_held = False, True
        await gateway.send({"topic": "sts", "args": {"authenticated": False, "competing": True}})
        await until(lambda: world.inits == [False, True])
        await run.until(State.STREAMING)
        assert State.COMPETING in {change.state for change in run.changes}


async def test_what_the_socket_reported_of_another_login_ends_with_it(clock: cf.Clock) -> None:
    world = World(is_open=True, is_held=False, places=())
    async with world.gateway() as gateway, watched(gateway, clock, login_poll_s=2.0) as run:
        await run.until(State.STREAMING)
        await gateway.send({"topic": "sts", "args": {"competing": True}})
        await gateway.send({"topic": "sts", "args": {"competing": False}})
        world.is_open, world.is_held = False, True
        await gateway.send({"topic": "sts", "args": {"fail": UNKNOWN}})
        await gateway.send({"topic": "sts", "args": {"authenticated": False}})
        change = await run.until(State.LOGIN_REQUIRED)
        assert UNKNOWN in change.detail


async def test_words_of_an_open_session_change_nothing(clock: cf.Clock) -> None:
    world = World(is_open=True)
    async with world.gateway() as gateway, watched(gateway, clock) as run:
        gateway.answers["/tickle"] = {**TICKLE, "iserver": {"authStatus": {**STATUS, "fail": WORDS, "message": "hi"}}}
        await run.until(State.STREAMING)
        assert not world.inits
        assert all(change.detail == "" for change in run.changes)


@pytest.mark.parametrize(
    ("status", "text"), [(400, "Bad Request: no bridge"), (200, "no bridge"), (401, "not authenticated")]
)
async def test_without_the_bridge_the_session_is_opened_whatever_the_tickle_says(
    clock: cf.Clock, status: int, text: str
) -> None:
    world = World(is_open=True)

    def accounts(_body: bytes) -> Any:
        return {"accounts": []} if world.inits else (status, json.dumps({"error": text}).encode())

    async with world.gateway() as gateway, watched(gateway, clock) as run:
        gateway.answers[ACCOUNTS] = accounts
        await run.until(State.STREAMING)
        told = [change for change in run.changes if change.cause is Cause.BROKERAGE_CLOSED]
        assert [change.state for change in told] == [State.DISCONNECTED]
        assert text in told[0].detail
        assert not run.logins


async def test_without_the_bridge_at_the_upgrade_the_session_is_opened_too(clock: cf.Clock) -> None:
    world = World(is_open=True)

    def init(body: bytes) -> dict[str, Any]:
        gateway.answers.pop("/ws", None)
        return world.init(body)

    async with world.gateway() as gateway, watched(gateway, clock) as run:
        gateway.answers["/ws"] = (500, b'{"error":"no bridge"}')
        gateway.answers[INIT] = init
        await run.until(State.STREAMING)
        assert world.inits == [False]
        assert Cause.BROKERAGE_CLOSED in {change.cause for change in run.changes}


async def diagnosed(gateway: SmallGateway, **more: Any) -> Diagnosis:
    return await diagnose(gateway.url, timeout_s=5.0, **more)


async def test_the_doctor_shows_the_words() -> None:
    async with World().gateway() as gateway:
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert (failure.step, failure.problem) == (Step.COMPETING, Problem.COMPETING)
        assert WORDS in failure.found
        assert failure.facts == {"words": WORDS, "said": "competing"}
        assert "--init" in failure.advice
    async with World(words=UNKNOWN).gateway() as gateway:
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert (failure.step, failure.problem) == (Step.AUTHENTICATED, Problem.NOT_AUTHENTICATED)
        assert UNKNOWN in failure.found
    async with World(places=("/tickle",)).gateway() as gateway:
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert failure.problem is Problem.COMPETING
        assert WORDS in failure.found


async def test_the_doctor_opens_a_session_without_the_bridge_whatever_its_state_says() -> None:
    world = World(is_open=True)

    def accounts(_body: bytes) -> Any:
        return {"accounts": ["DU1234567"]} if world.inits else (400, b'{"error":"no bridge"}')

    async with world.gateway() as gateway:
        gateway.answers[ACCOUNTS] = accounts
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert (failure.step, failure.problem) == (Step.ACCOUNTS, Problem.NOT_AUTHENTICATED)
        assert "--init" in failure.advice
        found = await diagnosed(gateway, init=True)
        assert found.findings[list(Step).index(Step.ACCOUNTS)].found == "1 account"
        assert world.inits == [True]


async def test_the_doctor_does_not_advise_the_option_that_was_given() -> None:
    world = World()
    async with world.gateway() as gateway:
        refused = {**world.init(b'{"compete":false}'), "passed": False}
        gateway.answers[INIT] = refused
        failure = (await diagnosed(gateway, init=True)).failure
    assert failure is not None
    assert (failure.step, failure.problem) == (Step.AUTHENTICATED, Problem.COMPETING)
    assert WORDS in failure.found
    assert "End the other login" in failure.advice
    assert "--init" not in failure.advice
    assert "browser" not in failure.advice


async def test_the_client_raises_what_the_words_say() -> None:
    world = World()
    async with world.gateway() as gateway, cf.Client(gateway.url) as client:
        for call in (client.health, lambda: client.init_brokerage_session(compete=False)):
            with pytest.raises(cf.CompetingSessionError, match=WORDS) as caught:
                await call()
            assert not caught.value.is_retryable
        assert (await client.auth_status()).said is cf.Meaning.COMPETING
        assert (await client.tickle()).words == WORDS
        assert (await client.init_brokerage_session()).authenticated
        assert (await client.health()).words == ""
    async with World(words=UNKNOWN).gateway() as gateway, cf.Client(gateway.url) as client:
        with pytest.raises(cf.NotAuthenticatedError, match=UNKNOWN):
            await client.health()


async def test_the_words_of_a_gateway_without_a_session_are_shown() -> None:
    answer = {"session": None, "error": UNKNOWN}
    async with SmallGateway({"/tickle": answer}) as gateway:
        failure = (await diagnosed(gateway)).failure
        assert failure is not None
        assert (failure.step, failure.problem) == (Step.SESSION, Problem.LOGIN_NEEDED)
        assert UNKNOWN in failure.found


async def test_flags_in_an_error_are_no_words(clock: cf.Clock) -> None:
    flags = json.dumps({"authenticated": False, "competing": False, "connected": False}).encode()
    async with SmallGateway({"/tickle": (503, flags)}) as gateway, watched(gateway, clock) as run:
        change = await run.until(State.DISCONNECTED)
        assert change.cause is Cause.GATEWAY_ERROR

"""The pacer on a hand-moved clock: when each request may be sent, and which are refused."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from typing import Any

import pytest

from cpapi_fast.errors import ConfigError, CpapiError, PaceError, RateLimitedError, StatusError, UsageError
from cpapi_fast.rest.pacing import DOCUMENTED_LIMITS, PENALTY_S, RestPacer, Turn
from cpapi_fast.simulator.rate_limits import RateLimiter
from tests.support.clocks import HandClock, settle


class Bench:
    """A pacer, its clock, and requests of a given duration."""

    def __init__(self, **options: Any) -> None:
        self.clock = HandClock()
        self.pacer = RestPacer(self.clock, **options)
        self.sent: list[tuple[float, str]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def request(self, path: str, *, lasts_s: float = 0.0, owner: object = None) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._ask(path, lasts_s, owner))
        self.tasks.append(task)
        return task

    async def _ask(self, path: str, lasts_s: float, owner: object) -> None:
        with await self.pacer.acquire(path, owner=owner):
            self.sent.append((self.clock.monotonic_s(), path))
            if lasts_s:
                answered = asyncio.Event()
                self.clock.call_later(lasts_s, answered.set)
                await answered.wait()

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    def times(self, path: str) -> list[float]:
        return [round(time_s, 6) for time_s, sent in self.sent if sent == path]

    async def end(self) -> list[Any]:
        """What became of every request: None, or its error."""
        return await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_a_request_below_the_limit_is_not_delayed() -> None:
    bench = Bench()
    with await bench.pacer.acquire("/iserver/accounts"):
        assert bench.pacer.waiting == 0
    assert bench.clock.timers == 0


async def test_all_requests_together_are_eight_per_second_and_in_order() -> None:
    bench = Bench()
    paths = [f"/{number}" for number in range(20)]
    for path in paths:
        bench.request(path)
    await bench.advance(0.5)
    assert len(bench.sent) == 8
    await bench.advance(2.0)
    assert await bench.end() == [None] * 20
    assert [path for _, path in bench.sent] == paths
    assert [time_s for time_s, _ in bench.sent] == [0.0] * 8 + [1.0] * 8 + [2.0] * 4
    assert bench.clock.timers == 0


async def test_a_request_counts_until_a_second_after_its_response() -> None:
    bench = Bench(requests_per_s=2)
    bench.request("/slow", lasts_s=10.0)
    for number in range(3):
        bench.request(f"/{number}")
    await bench.advance(20.0)
    assert await bench.end() == [None] * 4
    # The slow request always counts: until its response, it may arrive at the gateway at any moment.
    assert bench.sent == [(0.0, "/slow"), (0.0, "/0"), (1.0, "/1"), (2.0, "/2")]


@pytest.mark.parametrize("path", sorted(DOCUMENTED_LIMITS))
async def test_every_documented_limit_is_kept(path: str) -> None:
    most, per_s = DOCUMENTED_LIMITS[path]
    requested = path + "notifications" if path.endswith("/") else path

    bench = Bench(requests_per_s=1000, max_wait_s=2000.0)
    for _ in range(most + 1):
        bench.request(requested, lasts_s=0.25)
    await bench.advance(2000.0)
    assert await bench.end() == [None] * (most + 1)
    assert bench.times(requested) == [0.0] * most + [0.25 + per_s]


async def test_a_path_prefix_has_one_limit() -> None:
    bench = Bench()
    bench.request("/fyi/settings")
    bench.request("/fyi/unreadnumber")
    bench.request("/fyi")
    await bench.advance(5.0)
    assert bench.sent == [(0.0, "/fyi/settings"), (0.0, "/fyi"), (1.0, "/fyi/unreadnumber")]


async def test_a_request_that_waits_for_its_endpoint_delays_no_other() -> None:
    bench = Bench()
    for path in ("/iserver/account/orders", "/iserver/account/orders", "/tickle", "/tickle", "/iserver/accounts"):
        bench.request(path)
    await bench.advance(10.0)
    assert bench.times("/iserver/account/orders") == [0.0, 5.0]
    assert bench.times("/tickle") == [0.0, 1.0]
    assert bench.times("/iserver/accounts") == [0.0]


# Refused requests


async def test_a_request_that_would_wait_too_long_is_refused_immediately() -> None:
    bench = Bench()
    with await bench.pacer.acquire("/sso/validate"):
        await bench.advance(3.0)
    await bench.advance(5.0)
    with pytest.raises(PaceError) as caught:
        await bench.pacer.acquire("/sso/validate")
    error = caught.value
    assert (error.path, error.limit, error.retry_after_s) == ("/sso/validate", "/sso/validate", 55.0)
    assert error.is_retryable
    for word in ("/sso/validate", "max_wait_s (30 s)", "55.0 s at least", "1 per 60 s"):
        assert word in str(error)
    assert bench.clock.timers == 0
    await bench.advance(26.0)
    waiting = bench.request("/sso/validate")
    await bench.advance(30.0)
    assert waiting.done()
    assert bench.times("/sso/validate") == [63.0]


async def test_the_queue_is_limited_to_what_can_be_sent_within_max_wait() -> None:
    bench = Bench(requests_per_s=4, max_wait_s=2.0)
    for _ in range(20):
        bench.request("/iserver/accounts")
    await settle()
    assert (len(bench.sent), bench.pacer.waiting) == (4, 8)
    await bench.advance(3.0)
    outcomes = await bench.end()
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 12 + [PaceError] * 8
    assert {outcome.limit for outcome in outcomes[12:]} == {"all requests together"}
    assert {round(outcome.retry_after_s, 6) for outcome in outcomes[12:]} == {3.0}


async def test_requests_that_can_be_overtaken_do_not_count_in_the_estimate() -> None:
    bench = Bench(requests_per_s=1, max_wait_s=10.0, limits={"/slow": (1, 10.0)})
    for path in ("/slow", "/slow", *(f"/{number}" for number in range(11))):
        bench.request(path)
    await settle()
    # Ten of the others may come before the second slow one has its turn; that the eleventh cannot is known.
    assert (len(bench.sent), bench.pacer.waiting) == (1, 11)
    with pytest.raises(PaceError):
        await bench.tasks[-1]
    await bench.advance(20.0)
    await bench.end()


async def test_a_request_that_has_waited_too_long_is_refused() -> None:
    bench = Bench(max_wait_s=3.0)
    for _ in range(6):
        bench.request("/iserver/marketdata/history", lasts_s=10.0)
    await bench.advance(2.9)
    assert not bench.tasks[5].done()
    await bench.advance(0.2)
    with pytest.raises(PaceError, match=r"waited longer than max_wait_s \(3 s\).*5 at once") as caught:
        await bench.tasks[5]
    assert caught.value.limit == "/iserver/marketdata/history"
    await bench.advance(10.0)
    assert (await bench.end())[:5] == [None] * 5
    assert bench.clock.timers == 0


@pytest.mark.parametrize("grants", [False, True])
async def test_a_cancelled_request_returns_its_turn(grants: bool) -> None:
    bench = Bench(requests_per_s=1)
    first = bench.request("/0", lasts_s=1.0)
    second, third = bench.request("/1"), bench.request("/2")
    await bench.advance(1.5)
    if grants:
        # The turn is granted, and the request is cancelled before its task runs.
        bench.clock._now_s = 2.0
        bench.pacer._serve()
    second.cancel()
    await settle()
    assert second.cancelled()
    await bench.advance(0.5)
    await asyncio.gather(first, third)
    assert bench.sent == [(0.0, "/0"), (2.0, "/2")]
    assert bench.pacer.waiting == bench.clock.timers == 0


async def test_a_request_cancelled_right_before_its_turn_is_skipped() -> None:
    bench = Bench(requests_per_s=1)
    bench.request("/0")
    second, third = bench.request("/1"), bench.request("/2")
    await settle()
    second.cancel()
    bench.clock._now_s = 1.0
    bench.pacer._serve()
    await third
    assert second.cancelled()
    assert bench.sent == [(0.0, "/0"), (1.0, "/2")]


async def test_a_request_cancelled_in_flight_still_counts() -> None:
    bench = Bench()
    first = bench.request("/tickle", lasts_s=30.0)
    await bench.advance(1.0)
    first.cancel()
    bench.request("/tickle")
    await bench.advance(2.0)
    assert bench.times("/tickle") == [0.0, 2.0]


async def test_a_turn_ends_once() -> None:
    bench = Bench(requests_per_s=1)
    turn = await bench.pacer.acquire("/0")
    turn.give_back()
    turn.release()
    turn.give_back()
    assert bench.pacer._overall.in_flight == 0
    with await bench.pacer.acquire("/1") as second:
        second.release()
    assert isinstance(second, Turn)
    bench.request("/2")
    await bench.advance(0.9)
    assert bench.sent == []
    await bench.advance(0.2)
    assert bench.sent == [(1.0, "/2")]


# The penalty


async def test_after_a_429_nothing_is_sent_for_fifteen_minutes() -> None:
    bench = Bench()
    for _ in range(12):
        bench.request("/iserver/accounts")
    await settle()
    error = bench.pacer.penalize("/tickle")
    assert (error.status, error.path, error.retry_after_s) == (429, "/tickle", PENALTY_S)
    assert isinstance(error, StatusError)
    assert error.is_retryable
    await settle()
    outcomes = await bench.end()
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 8 + [RateLimitedError] * 4
    await bench.advance(899.0)
    assert bench.pacer.penalty_left_s == 1.0
    with pytest.raises(RateLimitedError, match="another 1 s") as caught:
        await bench.pacer.acquire("/iserver/auth/status")
    assert (caught.value.path, caught.value.retry_after_s) == ("/iserver/auth/status", 1.0)
    assert "returned status 429 for /tickle" in str(caught.value)
    await bench.advance(1.0)
    assert bench.pacer.penalty_left_s == 0.0
    with await bench.pacer.acquire("/tickle"):
        assert bench.clock.timers == 0


async def test_a_granted_turn_is_refused_when_the_penalty_starts_before_it_is_used() -> None:
    bench = Bench(requests_per_s=1)
    turn = await bench.pacer.acquire("/0")
    second = bench.request("/1")
    await settle()
    turn.give_back()
    bench.pacer.penalize("/0")
    with pytest.raises(RateLimitedError):
        await second
    assert bench.sent == []
    await bench.advance(PENALTY_S)
    with await bench.pacer.acquire("/2"):
        pass


async def test_a_second_429_restarts_the_penalty() -> None:
    bench = Bench()
    bench.pacer.penalize("/tickle")
    await bench.advance(10.0)
    bench.pacer.penalize("/tickle")
    assert bench.pacer.penalty_left_s == PENALTY_S


# Owners


async def test_only_the_waiting_requests_of_an_owner_are_refused() -> None:
    bench = Bench(requests_per_s=1)
    mine, yours = object(), object()
    bench.request("/0")
    first, second = bench.request("/1", owner=mine), bench.request("/2", owner=yours)
    await settle()
    bench.pacer.refuse_waiting(mine)
    with pytest.raises(UsageError, match="closed"):
        await first
    await bench.advance(1.0)
    await second
    assert [path for _, path in bench.sent] == ["/0", "/2"]


async def test_a_request_refused_and_cancelled_at_once_is_cancelled() -> None:
    bench = Bench(requests_per_s=1)
    bench.request("/0")
    second, third = bench.request("/1"), bench.request("/2")
    await settle()
    bench.pacer.penalize("/0")
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    with pytest.raises(RateLimitedError):
        await third
    gc.collect()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_wait_s": 0.0}, "max_wait_s"),
        ({"max_wait_s": float("inf")}, "max_wait_s"),
        ({"requests_per_s": 0}, "all requests together"),
        ({"requests_per_s": 1.5}, "all requests together"),
        ({"limits": {"/x": (0, 1.0)}}, "/x"),
        ({"limits": {"/x": (1, -1.0)}}, "/x"),
        ({"limits": {"/x": (1, float("nan"))}}, "/x"),
    ],
)
def test_invalid_options(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        RestPacer(**options)


def test_the_repr_of_a_pacer() -> None:
    clock = HandClock()
    pacer = RestPacer(clock)
    assert pacer.clock is clock
    assert repr(pacer) == "RestPacer(waiting=0, penalty_left_s=0)"


# Compared with the count of the gateway


async def arrivals(seed: int) -> list[tuple[float, str]]:
    """The arrival times of requests at a gateway that stalls at times and then responds to all of them at once."""
    chance = random.Random(seed)
    paths = ["/tickle", "/iserver/accounts", "/iserver/auth/status", "/iserver/marketdata/history"]
    arrived: list[tuple[float, str]] = []
    bench = Bench(max_wait_s=10_000.0)

    async def request(path: str) -> None:
        await asyncio.sleep(0)
        with await bench.pacer.acquire(path), contextlib.suppress(CpapiError):
            sent_s = bench.clock.monotonic_s()
            lasts_s = chance.choice([0.0, 0.01, chance.uniform(0.0, 3.0)])
            # A gateway that stalls handles what has piled up when it is back, at the end of a multiple of 5 s.
            arrival_s = sent_s + lasts_s if chance.random() < 0.7 else sent_s - sent_s % 5.0 + 5.0
            answered = asyncio.Event()
            bench.clock.call_later(arrival_s + chance.uniform(0.0, 0.2) - sent_s, answered.set)
            await answered.wait()
            arrived.append((arrival_s, path))

    tasks = [asyncio.get_running_loop().create_task(request(chance.choice(paths))) for _ in range(120)]
    await bench.advance(2_000.0)
    await asyncio.gather(*tasks)

    return sorted(arrived)


@pytest.mark.parametrize("seed", range(5))
async def test_the_gateway_never_counts_too_many_requests_whatever_the_network_delays(seed: int) -> None:
    gateway = RateLimiter()
    seen = await arrivals(seed)
    assert len(seen) == 120
    assert [path for now_s, path in seen if not gateway.allows(path, now_s)] == []

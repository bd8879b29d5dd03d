"""Delays REST requests so that they stay below the rate limits that IB documents."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, CpapiError, PaceError, RateLimitedError, UsageError
from cpapi_fast.loop import LoopOwner
from cpapi_fast.option_values import check_positive

#: The documented duration of the penalty after too many requests, in seconds.
PENALTY_S: Final = 900.0

#: The documented limit is 10 requests per second. The other two are left for requests that are not paced here:
#: WebSocket upgrades and a browser at the same gateway.
DEFAULT_REQUESTS_PER_S: Final = 8

#: The documented limit of each endpoint: (maximum number of requests, window in seconds). A window of 0 limits the
#: requests in flight at the same time. A path that ends with a slash limits all paths below it together.
DOCUMENTED_LIMITS: Final[Mapping[str, tuple[int, float]]] = MappingProxyType(
    {
        "/tickle": (1, 1.0),
        "/sso/validate": (1, 60.0),
        "/iserver/account/orders": (1, 5.0),
        "/iserver/account/trades": (1, 5.0),
        "/iserver/account/pnl/partitioned": (1, 5.0),
        "/portfolio/accounts": (1, 5.0),
        "/portfolio/subaccounts": (1, 5.0),
        "/iserver/marketdata/snapshot": (10, 1.0),
        "/iserver/marketdata/history": (5, 0.0),
        "/iserver/scanner/params": (1, 900.0),
        "/iserver/scanner/run": (1, 1.0),
        "/fyi/": (1, 1.0),
        "/pa/performance": (1, 900.0),
        "/pa/summary": (1, 900.0),
        "/pa/transactions": (1, 900.0),
    }
)

_OVERALL: Final = "all requests together"


class RestPacer:
    """Delays requests so that they stay below the rate limits of the gateway, in first-in, first-out order.

    The gateway counts a request when it arrives, at an unknown time between sending and response. So the pacer counts a
    request from sending until one window after its response. Even if requests are slow, or many arrive at once after a
    stall, no window at the gateway has more requests than its limit.

    A request that waits for the limit of its endpoint does not delay requests to other endpoints. All durations are
    seconds of `clock`. A pacer belongs to one event loop at a time. Share it between clients of one gateway
    (`Client(pacer=...)`), and use it for your own requests to that gateway:
    `with await pacer.acquire("/portfolio/accounts"): ...`.

    Args:
        clock: measures the windows.
        requests_per_s: the maximum number of requests of any kind per second.
        max_wait_s: a request that would wait longer raises PaceError, immediately if the wait is known in advance.
        limits: the limit of each endpoint, as in `DOCUMENTED_LIMITS`.

    Raises:
        ConfigError: a number is not above zero, or a limit is not a pair of that form.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        requests_per_s: int = DEFAULT_REQUESTS_PER_S,
        max_wait_s: float = 30.0,
        limits: Mapping[str, tuple[int, float]] = DOCUMENTED_LIMITS,
    ) -> None:
        check_positive("max_wait_s", max_wait_s, "seconds")
        #: Measures the windows.
        self.clock: Final = clock
        #: A request that would wait longer than this is refused.
        self.max_wait_s: Final = max_wait_s
        self._overall: Final = _Limit(_OVERALL, requests_per_s, 1.0)
        self._limits: Final = {name: _Limit(name, *limit) for name, limit in limits.items()}
        self._queue: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._penalty_end_s = 0.0
        self._penalized_path = ""
        self._owner = LoopOwner("a pacer", outlives_loop=True)

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return len(self._queue)

    @property
    def penalty_left_s(self) -> float:
        """The remaining seconds of the penalty after a 429, in which nothing is sent; 0.0 without a penalty."""
        return max(0.0, self._penalty_end_s - self.clock.monotonic_s())

    async def acquire(self, path: str, *, owner: object = None) -> Turn:
        """Wait until a request to `path` may be sent: `with await pacer.acquire(path):` around request and response.

        If the caller is cancelled while it waits, it uses no turn.

        Args:
            path: the path below the base URL, without query, such as `/tickle`.
            owner: identifies the request for `refuse_waiting`.

        Raises:
            PaceError: the request would wait longer than `max_wait_s`; it was not sent.
            RateLimitedError: the penalty after a 429 has not ended.
            UsageError: `refuse_waiting` was called with the owner, or the pacer belongs to another event loop.
        """
        self._owner.check()
        self._raise_in_penalty(path)
        now_s = self.clock.monotonic_s()
        waiter = _Waiter(path, self._limits_of(path), now_s + self.max_wait_s, owner)
        self._queue.append(waiter)
        self._serve()
        if not waiter.outcome.done():
            before = [other for other in self._queue if other is not waiter]
            if self._estimate(waiter, before, now_s)[1] > self.max_wait_s:
                self._remove(waiter)
                raise self._too_late(waiter, before, now_s, "it would wait longer than")
        try:
            outcome = await waiter.outcome
        except asyncio.CancelledError:
            self._remove(waiter)
            raise
        if isinstance(outcome, CpapiError):
            raise outcome
        if self._penalty_end_s > self.clock.monotonic_s():
            # Another request got a 429 after this turn was granted.
            outcome.give_back()
            self._raise_in_penalty(path)
        return outcome

    def penalize(self, path: str) -> RateLimitedError:
        """Refuse every request for the next `PENALTY_S` seconds, because the gateway returned 429 for `path`.

        Waiting requests are refused immediately.

        Returns:
            The error to raise for the request to `path`.
        """
        self._penalty_end_s = self.clock.monotonic_s() + PENALTY_S
        self._penalized_path = path
        waiters, self._queue = self._queue, deque()
        for waiter in waiters:
            waiter.refuse(self._refusal(waiter.path))
        self._set_timer(self.clock.monotonic_s())
        return RateLimitedError(
            f"{path} returned status 429: too many requests, so nothing is sent for {PENALTY_S:.0f} s. Find the "
            "program that sends too many: the gateway counts the requests of all programs and browsers together.",
            path=path,
            retry_after_s=PENALTY_S,
        )

    def refuse_waiting(self, owner: object) -> None:
        """Refuse the waiting requests of `owner`, which is closed."""
        for waiter in [waiter for waiter in self._queue if waiter.owner is owner]:
            self._queue.remove(waiter)
            waiter.refuse(UsageError("this client is closed. Create a new one."))
        self._serve()

    def _limits_of(self, path: str) -> tuple[_Limit, ...]:
        limit = self._limits.get(path)
        if limit is None:
            folders = (limit for name, limit in self._limits.items() if name.endswith("/") and path.startswith(name))
            limit = next(folders, None)
        return (self._overall,) if limit is None else (limit, self._overall)

    def _serve(self) -> None:
        """Grant a turn to each waiter whose limits have room, in order, and refuse those that waited too long."""
        now_s = self.clock.monotonic_s()
        left: deque[_Waiter] = deque()
        for waiter in self._queue:
            if waiter.outcome.done():
                # Cancelled, and its task has not run yet.
                continue
            if all(limit.has_room(now_s) for limit in waiter.limits):
                for limit in waiter.limits:
                    limit.in_flight += 1
                waiter.outcome.set_result(Turn(self, waiter.limits))
            elif now_s >= waiter.deadline_s:
                waiter.outcome.set_result(self._too_late(waiter, left, now_s, "it waited longer than"))
            else:
                left.append(waiter)
        self._queue = left
        self._set_timer(now_s)

    def _set_timer(self, now_s: float) -> None:
        """Set the timer to the next time at which a waiter may get a turn or has to be refused."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            # The first waiter has the earliest deadline, because all waiters have the same maximum wait.
            at_s = self._queue[0].deadline_s
            for limit in {limit for waiter in self._queue for limit in waiter.limits}:
                if not limit.has_room(now_s) and limit.window_ends_s:
                    at_s = min(at_s, limit.window_ends_s[0])
            self._timer = self.clock.call_later(max(0.0, at_s - now_s), self._serve)

    def _remove(self, waiter: _Waiter) -> None:
        """Remove a cancelled or refused waiter, and return the turn that it may have been granted."""
        if waiter in self._queue:
            self._queue.remove(waiter)
        elif waiter.outcome.done() and not waiter.outcome.cancelled():
            outcome = waiter.outcome.result()
            if isinstance(outcome, Turn):
                outcome.give_back()
        self._serve()

    def _end_turn(self, limits: tuple[_Limit, ...], *, is_used: bool) -> None:
        now_s = self.clock.monotonic_s()
        for limit in limits:
            limit.in_flight -= 1
            if is_used and limit.window_s > 0.0:
                limit.window_ends_s.append(now_s + limit.window_s)
        if self._queue:
            self._serve()

    def _estimate(self, waiter: _Waiter, others: Iterable[_Waiter], now_s: float) -> tuple[_Limit, float]:
        """Return the limit with the longest minimum wait, and that wait in seconds, with `others` ahead."""
        # A request that also waits for another limit may be overtaken, so it does not count as ahead.
        before = [other for other in others if set(other.limits) <= set(waiter.limits)]
        waits = []
        for limit in waiter.limits:
            ahead = sum(limit in other.limits for other in before)
            waits.append((limit, limit.earliest_s(ahead, now_s) - now_s))
        return max(waits, key=lambda wait: wait[1])

    def _too_late(self, waiter: _Waiter, before: Iterable[_Waiter], now_s: float, what: str) -> PaceError:
        limit, wait_s = self._estimate(waiter, before, now_s)
        window = f"per {limit.window_s:g} s" if limit.window_s > 0.0 else "at once"
        return PaceError(
            f"{waiter.path} was not sent: {what} max_wait_s ({self.max_wait_s:g} s) for the limit of {limit.name} "
            f"({limit.max_requests} {window}), {wait_s:.1f} s at least. Send fewer requests, or try again later.",
            path=waiter.path,
            limit=limit.name,
            retry_after_s=wait_s,
        )

    def _refusal(self, path: str) -> RateLimitedError:
        left_s = self.penalty_left_s
        return RateLimitedError(
            f"{path} was not sent: the gateway returned status 429 for {self._penalized_path}, so nothing is sent for "
            f"another {left_s:.0f} s",
            path=path,
            retry_after_s=left_s,
        )

    def _raise_in_penalty(self, path: str) -> None:
        if self.penalty_left_s > 0.0:
            raise self._refusal(path)

    def __repr__(self) -> str:
        return f"RestPacer(waiting={self.waiting}, penalty_left_s={self.penalty_left_s:.0f})"


class Turn:
    """The permission to send one request. It ends after the response, with its `with` block or with `release`."""

    __slots__ = ("_limits", "_pacer")

    def __init__(self, pacer: RestPacer, limits: tuple[_Limit, ...]) -> None:
        self._pacer: Final = pacer
        self._limits: tuple[_Limit, ...] = limits

    def release(self) -> None:
        """End the turn after the response or a failure. Idempotent."""
        limits, self._limits = self._limits, ()
        self._pacer._end_turn(limits, is_used=True)

    def give_back(self) -> None:
        """Return the turn unused: nothing was sent. Idempotent."""
        limits, self._limits = self._limits, ()
        self._pacer._end_turn(limits, is_used=False)

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def _is_window(window_s: object) -> bool:
    return type(window_s) in (int, float) and 0.0 <= window_s < float("inf")  # type: ignore[operator]


class _Limit:
    """A limit on the requests that are in flight or had their response within the last `window_s` seconds."""

    __slots__ = ("in_flight", "max_requests", "name", "window_ends_s", "window_s")

    def __init__(self, name: str, max_requests: int, window_s: float) -> None:
        if not (type(max_requests) is int and max_requests > 0 and _is_window(window_s)):
            raise ConfigError(f"the limit of {name} must be (number of requests, seconds), such as (1, 5.0)")
        self.name: Final = name
        self.max_requests: Final = max_requests
        self.window_s: Final = float(window_s)
        self.in_flight = 0
        # The end of the window of each request that has its response; ascending.
        self.window_ends_s: deque[float] = deque()

    def has_room(self, now_s: float) -> bool:
        while self.window_ends_s and self.window_ends_s[0] <= now_s:
            self.window_ends_s.popleft()
        return self.in_flight + len(self.window_ends_s) < self.max_requests

    def earliest_s(self, ahead: int, now_s: float) -> float:
        """Return the earliest time at which one more request has room, with `ahead` others before it."""
        free = self.max_requests - self.in_flight - len(self.window_ends_s)
        if ahead < free:
            return now_s
        # Room becomes free at the ends of the windows at the earliest, and the pattern repeats in each window.
        windows, place = divmod(ahead - free, self.max_requests)
        ends = len(self.window_ends_s)
        start_s = self.window_ends_s[place] if place < ends else now_s + self.window_s
        return start_s + windows * self.window_s


class _Waiter:
    __slots__ = ("deadline_s", "limits", "outcome", "owner", "path")

    def __init__(self, path: str, limits: tuple[_Limit, ...], deadline_s: float, owner: object) -> None:
        self.path: Final = path
        self.limits: Final = limits
        self.deadline_s: Final = deadline_s
        self.owner: Final = owner
        # Errors are set as results, because asyncio logs an exception that a cancelled waiter does not retrieve.
        self.outcome: Final[asyncio.Future[Turn | CpapiError]] = asyncio.get_running_loop().create_future()

    def refuse(self, error: CpapiError) -> None:
        if not self.outcome.done():
            self.outcome.set_result(error)

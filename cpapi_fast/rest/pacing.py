"""When a request may be sent: one scheduler for all REST calls, below every rate that the gateway documents."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from types import MappingProxyType, TracebackType
from typing import Final

from cpapi_fast.clock import SYSTEM_CLOCK, Clock
from cpapi_fast.errors import ConfigError, CpapiError, PaceError, RateLimitedError, UsageError

#: How long the gateway answers nothing but 429 once it was asked too often, in seconds, as documented.
PENALTY_S: Final = 900.0

#: Of the ten requests a second that are documented, two are left for what is not paced here: WebSocket upgrades, and a
#: browser at the same gateway.
DEFAULT_REQUESTS_PER_S: Final = 8

#: The documented pace of each endpoint: how many requests within how many seconds. With 0 seconds it is how many may be
#: under way at once. A path that ends with a slash stands for all paths below it together.
DOCUMENTED_PACES: Final[Mapping[str, tuple[int, float]]] = MappingProxyType(
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
    """Gives each request its turn: in the order of asking, never faster than the gateway allows, or not at all.

    The gateway counts requests when they arrive, which is some time between sending and answer. So a request counts
    here from its sending until a whole window after its answer: however long it is on its way, and however many of them
    arrive at once after a stall, no window at the gateway has more than the pace allows.

    A request that waits for the pace of its own endpoint holds up no other. All durations are seconds of `clock`. A
    pacer belongs to one event loop. Share it between clients of one gateway (`Client(pacer=...)`), and put other
    requests to that gateway under it as well: `with await pacer.acquire("/portfolio/accounts"): ...`.

    Args:
        clock: what the windows are measured with.
        requests_per_s: how many requests of any kind within a second.
        max_wait_s: a request whose turn would come later is refused with PaceError, at once where that is known.
        paces: per endpoint, as in `DOCUMENTED_PACES`.

    Raises:
        ConfigError: a number is not above zero, or the pace of an endpoint is no such pair.
    """

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        *,
        requests_per_s: int = DEFAULT_REQUESTS_PER_S,
        max_wait_s: float = 30.0,
        paces: Mapping[str, tuple[int, float]] = DOCUMENTED_PACES,
    ) -> None:
        if not 0.0 < max_wait_s < float("inf"):
            raise ConfigError(f"max_wait_s must be a finite number of seconds above zero, not {max_wait_s!r}")
        #: What the windows are measured with.
        self.clock: Final = clock
        #: A request whose turn would come later than this is refused.
        self.max_wait_s: Final = max_wait_s
        self._overall: Final = _Limit(_OVERALL, requests_per_s, 1.0)
        self._limits: Final = {name: _Limit(name, *pace) for name, pace in paces.items()}
        self._queue: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._penalty_end_s = 0.0
        self._penalized_path = ""

    @property
    def waiting(self) -> int:
        """How many requests wait for their turn."""
        return len(self._queue)

    @property
    def penalty_left_s(self) -> float:
        """For how many seconds nothing will be sent since the gateway answered 429; 0.0 when it did not."""
        return max(0.0, self._penalty_end_s - self.clock.monotonic_s())

    async def acquire(self, path: str, *, owner: object = None) -> Turn:
        """Wait for the turn of a request to `path`; end the turn when it is answered: `with await pacer.acquire(path)`.

        A caller that is cancelled while it waits leaves the queue as if it had never asked.

        Args:
            path: below the base URL and without query, such as `/tickle`.
            owner: for `dismiss`.

        Raises:
            PaceError: the turn would come later than `max_wait_s`; nothing was or will be sent.
            RateLimitedError: the gateway has answered 429, and its penalty is not over.
            UsageError: `dismiss` was called for the owner.
        """
        self._raise_in_penalty(path)
        now_s = self.clock.monotonic_s()
        waiter = _Waiter(path, self._limits_of(path), now_s + self.max_wait_s, owner)
        self._queue.append(waiter)
        self._serve()
        if not waiter.outcome.done():
            before = [other for other in self._queue if other is not waiter]
            if self._estimate(waiter, before, now_s)[1] > self.max_wait_s:
                self._leave(waiter)
                raise self._too_late(waiter, before, now_s, "its turn would not come within")
        try:
            outcome = await waiter.outcome
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        if isinstance(outcome, CpapiError):
            raise outcome
        if self._penalty_end_s > self.clock.monotonic_s():
            # Between being told and being here somebody else was answered 429.
            outcome.give_back()
            self._raise_in_penalty(path)
        return outcome

    def penalize(self, path: str) -> RateLimitedError:
        """The gateway answered 429 to `path`: from now on, and for `PENALTY_S` seconds, nothing is sent.

        Whoever waits is refused at once. Gives the error to raise for the request itself.
        """
        self._penalty_end_s = self.clock.monotonic_s() + PENALTY_S
        self._penalized_path = path
        waiters, self._queue = self._queue, deque()
        for waiter in waiters:
            waiter.refuse(self._refusal(waiter.path))
        self._arm(self.clock.monotonic_s())
        return RateLimitedError(
            f"{path} answered 429: the gateway was asked too often, so nothing is sent to it for {PENALTY_S:.0f} s; "
            "all programs and browsers that use it count together, so find the one that asks too often",
            path=path,
            retry_after_s=PENALTY_S,
        )

    def dismiss(self, owner: object) -> None:
        """Refuse what `owner` waits for: it is closed."""
        for waiter in [waiter for waiter in self._queue if waiter.owner is owner]:
            self._queue.remove(waiter)
            waiter.refuse(UsageError("this client is closed; make a new one"))
        self._serve()

    def _limits_of(self, path: str) -> tuple[_Limit, ...]:
        limit = self._limits.get(path)
        if limit is None:
            folders = (limit for name, limit in self._limits.items() if name.endswith("/") and path.startswith(name))
            limit = next(folders, None)
        return (self._overall,) if limit is None else (limit, self._overall)

    def _serve(self) -> None:
        """Give their turns to those whose limits have room, in order, and refuse those that waited too long."""
        now_s = self.clock.monotonic_s()
        left: deque[_Waiter] = deque()
        for waiter in self._queue:
            if waiter.outcome.done():
                # Cancelled, and its task has not run since.
                continue
            if all(limit.has_room(now_s) for limit in waiter.limits):
                for limit in waiter.limits:
                    limit.under_way += 1
                waiter.outcome.set_result(Turn(self, waiter.limits))
            elif now_s >= waiter.deadline_s:
                waiter.outcome.set_result(self._too_late(waiter, left, now_s, "its turn did not come within"))
            else:
                left.append(waiter)
        self._queue = left
        self._arm(now_s)

    def _arm(self, now_s: float) -> None:
        """Set the one timer to when the next of those who wait may be served or has to be refused."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue:
            # The first has waited longest, and all may wait equally long.
            at_s = self._queue[0].deadline_s
            for limit in {limit for waiter in self._queue for limit in waiter.limits}:
                if not limit.has_room(now_s) and limit.resting_until_s:
                    at_s = min(at_s, limit.resting_until_s[0])
            self._timer = self.clock.call_later(max(0.0, at_s - now_s), self._serve)

    def _leave(self, waiter: _Waiter) -> None:
        """Take out one who was cancelled or refused; a turn that it was given meanwhile is as if it had not been."""
        if waiter in self._queue:
            self._queue.remove(waiter)
        elif waiter.outcome.done() and not waiter.outcome.cancelled():
            outcome = waiter.outcome.result()
            if isinstance(outcome, Turn):
                outcome.give_back()
        self._serve()

    def _end(self, limits: tuple[_Limit, ...], *, is_used: bool) -> None:
        now_s = self.clock.monotonic_s()
        for limit in limits:
            limit.under_way -= 1
            if is_used and limit.per_s > 0.0:
                limit.resting_until_s.append(now_s + limit.per_s)
        if self._queue:
            self._serve()

    def _estimate(self, waiter: _Waiter, others: Iterable[_Waiter], now_s: float) -> tuple[_Limit, float]:
        """The limit that holds it up longest, and the least time until its turn, when `others` stand before it."""
        # One that waits for another endpoint as well may be overtaken.
        before = [other for other in others if set(other.limits) <= set(waiter.limits)]
        waits = []
        for limit in waiter.limits:
            ahead = sum(limit in other.limits for other in before)
            waits.append((limit, limit.earliest_s(ahead, now_s) - now_s))
        return max(waits, key=lambda wait: wait[1])

    def _too_late(self, waiter: _Waiter, before: Iterable[_Waiter], now_s: float, what: str) -> PaceError:
        limit, wait_s = self._estimate(waiter, before, now_s)
        pace = f"{limit.most} within {limit.per_s:g} s" if limit.per_s > 0.0 else f"{limit.most} at once"
        return PaceError(
            f"{waiter.path} was not sent: {what} max_wait_s ({self.max_wait_s:g} s), but in {wait_s:.1f} s at the "
            f"earliest; the limit is that of {limit.name} ({pace}). Ask less often, or again later",
            path=waiter.path,
            limit=limit.name,
            retry_after_s=wait_s,
        )

    def _refusal(self, path: str) -> RateLimitedError:
        left_s = self.penalty_left_s
        return RateLimitedError(
            f"{path} was not sent: the gateway answered 429 to {self._penalized_path}, and nothing is sent to it for "
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
    """The right to send one request; `release` or the end of the `with` block says that it was answered, or failed."""

    __slots__ = ("_limits", "_pacer")

    def __init__(self, pacer: RestPacer, limits: tuple[_Limit, ...]) -> None:
        self._pacer: Final = pacer
        self._limits: tuple[_Limit, ...] = limits

    def release(self) -> None:
        """The request is answered, or has failed. Again, it does nothing."""
        limits, self._limits = self._limits, ()
        self._pacer._end(limits, is_used=True)

    def give_back(self) -> None:
        """Nothing was sent. Again, it does nothing."""
        limits, self._limits = self._limits, ()
        self._pacer._end(limits, is_used=False)

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


class _Limit:
    """At most `most` requests within `per_s` seconds: those under way, and those answered less than `per_s` ago."""

    __slots__ = ("most", "name", "per_s", "resting_until_s", "under_way")

    def __init__(self, name: str, most: int, per_s: float) -> None:
        if not (isinstance(most, int) and most > 0 and 0.0 <= per_s < float("inf")):
            raise ConfigError(f"a pace is (how many, within how many seconds) such as (1, 5.0); that of {name} is not")
        self.name: Final = name
        self.most: Final = most
        self.per_s: Final = float(per_s)
        self.under_way = 0
        # Ascending, since every one of them was that moment plus the same time.
        self.resting_until_s: deque[float] = deque()

    def has_room(self, now_s: float) -> bool:
        while self.resting_until_s and self.resting_until_s[0] <= now_s:
            self.resting_until_s.popleft()
        return self.under_way + len(self.resting_until_s) < self.most

    def earliest_s(self, ahead: int, now_s: float) -> float:
        """The earliest time at which one more has room when `ahead` others come before it."""
        free = self.most - self.under_way - len(self.resting_until_s)
        if ahead < free:
            return now_s
        # The places in the order in which they get free, at the earliest; then the same again, a window later.
        rounds, place = divmod(ahead - free, self.most)
        resting = len(self.resting_until_s)
        start_s = self.resting_until_s[place] if place < resting else now_s + self.per_s
        return start_s + rounds * self.per_s


class _Waiter:
    __slots__ = ("deadline_s", "limits", "outcome", "owner", "path")

    def __init__(self, path: str, limits: tuple[_Limit, ...], deadline_s: float, owner: object) -> None:
        self.path: Final = path
        self.limits: Final = limits
        self.deadline_s: Final = deadline_s
        self.owner: Final = owner
        # A result in both cases: an exception that nobody fetches, since its waiter was cancelled, would be logged.
        self.outcome: Final[asyncio.Future[Turn | CpapiError]] = asyncio.get_running_loop().create_future()

    def refuse(self, error: CpapiError) -> None:
        if not self.outcome.done():
            self.outcome.set_result(error)

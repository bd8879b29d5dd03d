"""Bars of history for the holes in market data, asked for in turn: never more at once than the gateway takes."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError, MalformedPayloadError, SubscriptionError
from cpapi_fast.events import Backfill, BackfillSource, Gap
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.history import History, bar_length_s, span_back
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.protocol.topics import history_subscribe_text, history_unsubscribe_text

#: Asks for history over REST: conid, exchange, period, bar.
HistoryRequest = Callable[[int, "str | None", str, str], Awaitable[History]]

#: How many `smh` the gateway serves at once, and how many history requests over REST.
SLOTS: Final = 5

#: How often one gap is asked for, when the gateway refuses or the connection ends.
_MOST_TRIES: Final = 3

_TOPIC: Final = re.compile(r"smd\+(\d+)(?:@([A-Z0-9._-]+))?", re.ASCII)


class Backfiller:
    """Turns each `Gap` of a market data subscription into one `Backfill`, with bars or with the reason for none.

    Nothing in here reads a socket: whoever owns one calls `on_gap`, `on_frame`, `on_connection_ready` and
    `on_connection_lost`, and hands over what sends. It belongs to one event loop.

    A finished `smh` keeps its place at the gateway until `umh` with its `serverId`, which only the answer tells. So a
    place is given back with every answer, also one that comes too late; that of a request which is never answered
    counts as taken until the connection ends. Places die with their connection, and what waited for an answer is asked
    again on the next.

    Args:
        source: `smh` or `rest`.
        clock: of all timers, and the gateway's where its time is compressed.
        send: sends a text on the socket; it must not raise.
        request: asks over REST.
        on_backfill: told every result.
        timeout_s: an `smh` that is not answered for so long has failed.
        retry_s: the pause before a request that was refused is made again.
        max_pending: more gaps than this do not wait; the next ones get a `Backfill` that says so.
    """

    def __init__(
        self,
        source: BackfillSource,
        *,
        clock: Clock,
        send: Callable[[str], None],
        request: HistoryRequest,
        on_backfill: Callable[[Backfill], None],
        timeout_s: float = 60.0,
        retry_s: float = 5.0,
        max_pending: int = 1_000,
    ) -> None:
        self._source: Final[BackfillSource] = source
        self._clock: Final = clock
        self._send: Final = send
        self._request: Final = request
        self._on_backfill: Final = on_backfill
        self._timeout_s: Final = timeout_s
        self._retry_s: Final = retry_s
        self._max_pending: Final = max_pending
        self._is_ready = False
        self._is_closed = False
        self._pending = 0
        self._queue: Final[deque[_Job]] = deque()
        #: The places taken at the gateway, by conid: the topic of an answer names nothing else.
        self._asked: Final[dict[int, _Asked]] = {}
        self._state_waiters: Final[dict[_Job, asyncio.TimerHandle]] = {}
        self._tasks: Final[dict[_Job, asyncio.Task[None]]] = {}

    @property
    def pending(self) -> int:
        """How many gaps have no `Backfill` yet."""
        return self._pending

    @property
    def slots_in_use(self) -> int:
        """How many places are taken at the gateway, as far as is known here."""
        return len(self._asked) + len(self._tasks)

    # --- what it is told --------------------------------------------------------------------------

    def on_gap(self, gap: Gap) -> None:
        """A gap was told. One that no frame has ended, or of something else than market data, is left as it is."""
        if self._is_closed or gap.subscription is None or not gap.subscription.startswith("smd+"):
            return
        if gap.first_good_ns is None:
            return
        job = _Job(gap, gap.first_good_ns)
        self._pending += 1
        match = _TOPIC.fullmatch(gap.subscription)
        if match is None:
            self._finish(job, error="there is no history for a combination")
        elif self._pending > self._max_pending:
            self._finish(job, error=f"{self._max_pending} other gaps are waiting for their history")
        else:
            job.conid, job.exchange = int(match[1]), match[2]
            self._queue.append(job)
            self._serve()

    def on_connection_ready(self) -> None:
        """The gateway takes subscribes. Again, it does nothing."""
        if not self._is_ready:
            self._is_ready = True
            self._serve()

    def on_connection_busy(self) -> None:
        """The connection stands, and the gateway takes no subscribes now; what was asked may still be answered."""
        self._is_ready = False

    def on_connection_lost(self) -> None:
        """The connection ended, and with it everything that was asked on it. Again, it does nothing."""
        self._is_ready = False
        asked = [asked for asked in self._asked.values() if asked.job is not None]
        self._drop_asked()
        for one in reversed(asked):
            if one.job is not None:
                self._try_again(one.job, "the connection ended before the answer came", delay_s=None)

    def on_frame(self, frame: Frame) -> None:
        """A frame of topic `smh+...` arrived; one that was not asked for here is left alone."""
        target = (frame.topic or "").partition("+")[2].partition("@")[0]
        asked = self._asked.get(int(target)) if target.isdecimal() else None
        if asked is None:
            return
        payload = _payload_of(frame)
        refusal = payload.get("error")
        job, asked.job = asked.job, None
        if asked.timer is not None:
            asked.timer.cancel()
            asked.timer = None
        # A refused request holds no place. Any other answer says how to give its place back, or holds it for ever.
        if refusal is not None or self._give_back(payload.get("serverId")):
            del self._asked[int(target)]
        if job is None:
            # Too late for its gap, which has been told as failed.
            pass
        elif refusal is not None:
            self._try_again(job, "the gateway refused the request for history", delay_s=self._retry_s)
        else:
            self._take(job, payload)
        self._serve()

    def close(self) -> None:
        """End all; what waits gets a `Backfill` that says so. Again, it does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_ready = False
        jobs = [asked.job for asked in self._asked.values() if asked.job is not None]
        jobs += [*self._tasks, *self._queue, *self._state_waiters]
        self._drop_asked()
        for timer in self._state_waiters.values():
            timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._queue.clear()
        self._state_waiters.clear()
        for job in jobs:
            self._finish(job, error="the feed was closed before the history came")

    async def wait_closed(self) -> None:
        """Wait until the requests that `close` has ended are gone."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    # --- asking -----------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Ask for as many as there are places; what cannot be asked for on this connection any more has failed."""
        passed: list[_Job] = []
        while self._queue and self._is_ready:
            if self.slots_in_use >= SLOTS:
                if self._tasks or any(asked.job is not None for asked in self._asked.values()):
                    break
                self._finish(self._queue.popleft(), error="no request for history is answered on this connection")
                continue
            job = self._queue.popleft()
            asked = self._asked.get(job.conid)
            if asked is None:
                self._ask(job)
            elif asked.job is not None:
                # Its topic is that of the one under way, so it comes after it.
                passed.append(job)
            else:
                self._finish(job, error="an earlier request for this history was never answered on this connection")
        self._queue.extendleft(reversed(passed))

    def _ask(self, job: _Job) -> None:
        job.tries += 1
        # Both are the gateway's time: how long the gap lies back decides how far to reach.
        back_s = (self._clock.time_ns() - self._clock.of_machine_ns(job.gap.last_good_ns)) / 1e9
        job.period, job.bar = span_back(back_s)
        if self._source == "rest":
            task = asyncio.get_running_loop().create_task(self._ask_rest(job), name="cpapi_fast backfill")
            self._tasks[job] = task
            # One that is cancelled before it began has no other way to be taken out.
            task.add_done_callback(lambda done: self._take_out(job, done))
            return
        try:
            text = history_subscribe_text(
                job.conid, period=job.period, bar=job.bar, exchange=job.exchange, outside_rth=True
            )
        except SubscriptionError as error:
            self._finish(job, error=str(error))
            return
        asked = self._asked[job.conid] = _Asked(job)
        asked.timer = self._clock.call_later(self._timeout_s, self._give_up, asked)
        self._send(text)

    async def _ask_rest(self, job: _Job) -> None:
        task = self._tasks[job]
        found: History | None = None
        problem, is_retryable, delay_s = "", False, self._retry_s
        try:
            found = await self._request(job.conid, job.exchange, job.period, job.bar)
        except CpapiError as error:
            problem, is_retryable = str(error), error.is_retryable
            delay_s = max(delay_s, getattr(error, "retry_after_s", 0.0))
        except Exception as error:  # noqa: BLE001 - a fault of ours costs this gap its bars, and the loop is told of it
            problem = f"asking for history failed in an unforeseen way ({type(error).__name__})"
            context = {"message": "a cpapi_fast backfill failed in an unforeseen way", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self._take_out(job, task)
        if self._is_closed:
            return
        if found is not None:
            self._fill(job, found)
        elif is_retryable:
            self._try_again(job, problem, delay_s=delay_s)
        else:
            self._finish(job, error=problem)
        self._serve()

    def _take_out(self, job: _Job, task: asyncio.Task[None]) -> None:
        if self._tasks.get(job) is task:
            del self._tasks[job]

    def _give_up(self, asked: _Asked) -> None:
        """No answer in time. Its place may still be taken, so it counts as taken."""
        job, asked.job, asked.timer = asked.job, None, None
        if job is not None:
            self._finish(job, error=f"the gateway did not answer smh within {self._timeout_s:g} s")
        self._serve()

    def _give_back(self, server_id: object) -> bool:
        if not isinstance(server_id, str):
            return False
        try:
            text = history_unsubscribe_text(server_id)
        except SubscriptionError:
            return False
        self._send(text)
        return True

    def _drop_asked(self) -> None:
        for asked in self._asked.values():
            if asked.timer is not None:
                asked.timer.cancel()
        self._asked.clear()

    def _try_again(self, job: _Job, problem: str, *, delay_s: float | None) -> None:
        if job.tries >= _MOST_TRIES:
            self._finish(job, error=f"{problem}, {job.tries} times")
        elif delay_s is None:
            self._queue.appendleft(job)
        else:
            self._state_waiters[job] = self._clock.call_later(delay_s, self._put_back, job)

    def _put_back(self, job: _Job) -> None:
        del self._state_waiters[job]
        self._queue.append(job)
        self._serve()

    # --- results ----------------------------------------------------------------------------------

    def _take(self, job: _Job, payload: dict[str, Any]) -> None:
        try:
            found = History.parse(payload)
        except ShapeError as error:
            self._finish(job, error=f"the gateway's answer has another shape than documented: {error}")
        else:
            self._fill(job, found)

    def _fill(self, job: _Job, found: History) -> None:
        first_ns, last_ns = (self._clock.of_machine_ns(ns) for ns in (job.gap.last_good_ns, job.first_good_ns))
        bars = found.covering(first_ns, last_ns, bar_s=bar_length_s(job.bar))
        if bars:
            self._tell(Backfill(job.gap, bars, self._source))
        else:
            self._finish(job, error="history has no bars for the time of the gap")

    def _finish(self, job: _Job, *, error: str) -> None:
        self._tell(Backfill(job.gap, (), self._source, error))

    def _tell(self, backfill: Backfill) -> None:
        self._pending -= 1
        self._on_backfill(backfill)

    def __repr__(self) -> str:
        return f"Backfiller({self._source!r}, pending={self.pending}, slots_in_use={self.slots_in_use})"


class _Job:
    """One gap on its way to its history."""

    __slots__ = ("bar", "conid", "exchange", "first_good_ns", "gap", "period", "tries")

    def __init__(self, gap: Gap, first_good_ns: int) -> None:
        self.gap: Final = gap
        self.first_good_ns: Final = first_good_ns
        self.conid = 0
        self.exchange: str | None = None
        self.period = self.bar = ""
        self.tries = 0


class _Asked:
    """A place at the gateway. Without a job, nobody waits for its answer any more."""

    __slots__ = ("job", "timer")

    def __init__(self, job: _Job) -> None:
        self.job: _Job | None = job
        self.timer: asyncio.TimerHandle | None = None


def _payload_of(frame: Frame) -> dict[str, Any]:
    try:
        payload = frame.payload
    except MalformedPayloadError:
        return {}
    return payload if isinstance(payload, dict) else {}

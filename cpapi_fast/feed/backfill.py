"""Backfiller: requests bars of history for gaps in market data, at most five requests at a time."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cpapi_fast.clock import Clock
from cpapi_fast.errors import CpapiError, MalformedPayloadError, SubscriptionError
from cpapi_fast.events import Backfill, BackfillSource, Bar, FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.frames.frame import Frame
from cpapi_fast.protocol.history import History, bar_length_s, span_back
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.protocol.topics import history_subscribe_text, history_unsubscribe_text
from cpapi_fast.protocol.words import error_text
from cpapi_fast.redaction import preview

#: How many `smh` the gateway serves at a time, and how many history requests over REST.
SLOTS: Final = 5

#: How often the history of one gap is requested when the gateway refuses or the connection ends.
_MAX_TRIES: Final = 3

_TOPIC: Final = re.compile(r"smd\+(\d+)(?:@([A-Z0-9._-]+))?", re.ASCII)

#: The states in which the gateway accepts subscribes.
_READY_STATES: Final = (FeedState.AUTHENTICATED, FeedState.STREAMING)


class Backfiller:
    """Turns each `Gap` of a market data subscription into one `Backfill`, with bars or with the reason for none.

    It has no socket: the driver of the feed passes events and frames to it. It belongs to one event loop.

    The gateway keeps the slot of a finished `smh` until it receives `umh` with the `serverId` from the reply. So every
    reply frees a slot, even a late one. The slot of a request without a reply counts as taken until the connection
    ends. The end of a connection frees all slots; requests without a reply are repeated on the next connection.

    Args:
        source: `smh` for history over the socket, `rest` for history over REST, None to fill no gaps.
        clock: the clock of all timers; with compressed time, the one that the gateway uses too.
        send: sends a text on the socket; must not raise.
        request: requests history over REST, such as `Client.history`.
        on_backfill: called with every result.
        timeout_s: how long to wait for the reply to an `smh`, in seconds.
        retry_s: the pause before a refused request is repeated, in seconds.
        max_pending: how many gaps may wait for history; the `Backfill` of any further gap has an error.
    """

    def __init__(
        self,
        source: BackfillSource | None,
        *,
        clock: Clock,
        send: Callable[[str], None],
        request: Callable[..., Awaitable[History]],
        on_backfill: Callable[[Backfill], None],
        timeout_s: float = 60.0,
        retry_s: float = 5.0,
        max_pending: int = 1_000,
    ) -> None:
        self._source: Final[BackfillSource | None] = source
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
        #: The slots taken at the gateway, by conid: the topic of a reply contains nothing else.
        self._slots: Final[dict[int, _Slot]] = {}
        self._retry_timers: Final[dict[_Job, asyncio.TimerHandle]] = {}
        self._tasks: Final[dict[_Job, asyncio.Task[None]]] = {}

    def __repr__(self) -> str:
        return f"Backfiller({self._source!r}, pending={self.pending}, slots_in_use={self.slots_in_use})"

    @property
    def pending(self) -> int:
        """How many gaps have no `Backfill` yet."""
        return self._pending

    @property
    def slots_in_use(self) -> int:
        """How many slots count as taken at the gateway."""
        return len(self._slots) + len(self._tasks)

    # --- input ------------------------------------------------------------------------------------

    def on_event(self, event: FeedEvent) -> None:
        """Process an event of the feed: a gap, or a state in which the gateway accepts subscribes or does not."""
        if isinstance(event, Gap):
            self.on_gap(event)
        elif isinstance(event, StateChange) and event.subscription is None:
            if event.state in _READY_STATES:
                self.on_connection_ready()
            else:
                self.on_connection_busy()

    def on_gap(self, gap: Gap) -> None:
        """Request history for a gap, unless no frame has ended it or it is not of market data."""
        if self._source is None or self._is_closed:
            return
        if gap.subscription is None or not gap.subscription.startswith("smd+") or gap.first_good_ns is None:
            return
        job = _Job(gap, gap.first_good_ns, self._source)
        self._pending += 1
        match = _TOPIC.fullmatch(gap.subscription)
        if match is None:
            self._fail(job, "there is no history for a combination")
        elif self._pending > self._max_pending:
            self._fail(job, f"{self._max_pending} other gaps are waiting for their history")
        else:
            job.conid, job.exchange = int(match[1]), match[2]
            self._queue.append(job)
            self._send_requests()

    def on_connection_ready(self) -> None:
        """Start to send requests: the gateway accepts subscribes. Idempotent."""
        if not self._is_ready:
            self._is_ready = True
            self._send_requests()

    def on_connection_busy(self) -> None:
        """Send no requests: the gateway accepts no subscribes now. Requests already sent may still get a reply."""
        self._is_ready = False

    def on_connection_lost(self) -> None:
        """Queue the requests without a reply for the next connection. Idempotent."""
        self._is_ready = False
        jobs = [slot.job for slot in self._slots.values() if slot.job is not None]
        self._clear_slots()
        for job in reversed(jobs):
            self._retry(job, "the connection ended before the reply came", delay_s=None)

    def takes(self, frame: Frame) -> bool:
        """Whether a frame without a subscription may be the reply to a request of this backfiller."""
        return self._source is not None and (frame.topic or "").partition("+")[0] == "smh"

    def on_frame(self, frame: Frame) -> None:
        """Process a frame of a topic `smh+...`; replies to other requests are ignored."""
        target = (frame.topic or "").partition("+")[2].partition("@")[0]
        slot = self._slots.get(int(target)) if target.isdecimal() else None
        if slot is None:
            return
        payload = _payload_of(frame)
        refusal = payload.get("error")
        job, slot.job = slot.job, None
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None
        # A refused request takes no slot. Any other reply has the id that frees its slot; without one it stays taken.
        if refusal is not None or self._unsubscribe(payload.get("serverId")):
            del self._slots[int(target)]
        if job is None:
            # A late reply: the Backfill of its gap was already reported, with an error.
            pass
        elif refusal is not None:
            words = preview(error_text(payload).encode("utf-8", "replace"))
            said = f': "{words}"' if words else ""
            self._retry(job, f"the gateway refused the request for history{said}", delay_s=self._retry_s)
        else:
            self._parse(job, payload)
        self._send_requests()

    def close(self) -> None:
        """End all requests; every pending gap gets a `Backfill` with an error. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        self._is_ready = False
        jobs = [slot.job for slot in self._slots.values() if slot.job is not None]
        jobs += [*self._tasks, *self._queue, *self._retry_timers]
        self._clear_slots()
        for timer in self._retry_timers.values():
            timer.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._queue.clear()
        self._retry_timers.clear()
        for job in jobs:
            self._fail(job, "the feed was closed before the history came")

    async def wait_closed(self) -> None:
        """Wait until the REST requests that `close` cancelled have ended."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    # --- requests ---------------------------------------------------------------------------------

    def _send_requests(self) -> None:
        """Send as many requests as there are free slots; fail those that cannot be sent on this connection any more."""
        passed: list[_Job] = []
        while self._queue and self._is_ready:
            if self.slots_in_use >= SLOTS:
                if self._tasks or any(slot.job is not None for slot in self._slots.values()):
                    break
                self._fail(self._queue.popleft(), "no request for history gets a reply on this connection")
                continue
            job = self._queue.popleft()
            slot = self._slots.get(job.conid)
            if slot is None:
                self._send_request(job)
            elif slot.job is not None:
                # Its topic equals that of an outstanding request, so it is sent after that one.
                passed.append(job)
            else:
                self._fail(job, "an earlier request for this history never got a reply on this connection")
        self._queue.extendleft(reversed(passed))

    def _send_request(self, job: _Job) -> None:
        job.tries += 1
        # In the gateway's time: the age of the gap decides how much history to request.
        back_s = (self._clock.time_ns() - self._clock.of_machine_ns(job.gap.last_good_ns)) / 1e9
        job.period, job.bar = span_back(back_s)
        if job.source == "rest":
            task = asyncio.get_running_loop().create_task(self._request_rest(job), name="cpapi_fast backfill")
            self._tasks[job] = task
            # A task that is cancelled before it starts does not remove itself.
            task.add_done_callback(lambda done: self._remove_task(job, done))
            return
        try:
            text = history_subscribe_text(
                job.conid, period=job.period, bar=job.bar, exchange=job.exchange, outside_rth=True
            )
        except SubscriptionError as error:
            self._fail(job, str(error))
            return
        slot = self._slots[job.conid] = _Slot(job)
        slot.timer = self._clock.call_later(self._timeout_s, self._on_timeout, slot)
        self._send(text)

    async def _request_rest(self, job: _Job) -> None:
        task = self._tasks[job]
        found: History | None = None
        problem, is_retryable, delay_s = "", False, self._retry_s
        try:
            found = await self._request(
                job.conid, period=job.period, bar=job.bar, exchange=job.exchange, outside_rth=True
            )
        except CpapiError as error:
            problem, is_retryable = str(error), error.is_retryable
            delay_s = max(delay_s, getattr(error, "retry_after_s", 0.0))
        except Exception as error:  # noqa: BLE001 - a bug costs this gap its bars, and is reported to the loop
            problem = f"the request for history failed unexpectedly ({type(error).__name__})"
            context = {"message": "a cpapi_fast backfill failed unexpectedly", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self._remove_task(job, task)
        if self._is_closed:
            return
        if found is not None:
            self._fill(job, found)
        elif is_retryable:
            self._retry(job, problem, delay_s=delay_s)
        else:
            self._fail(job, problem)
        self._send_requests()

    def _remove_task(self, job: _Job, task: asyncio.Task[None]) -> None:
        if self._tasks.get(job) is task:
            del self._tasks[job]

    def _on_timeout(self, slot: _Slot) -> None:
        """Fail a request without a reply. Its slot may still be taken, so it counts as taken."""
        job, slot.job, slot.timer = slot.job, None, None
        if job is not None:
            self._fail(job, f"the gateway did not reply to smh within {self._timeout_s:g} s")
        self._send_requests()

    def _unsubscribe(self, server_id: object) -> bool:
        if not isinstance(server_id, str):
            return False
        try:
            text = history_unsubscribe_text(server_id)
        except SubscriptionError:
            return False
        self._send(text)
        return True

    def _clear_slots(self) -> None:
        for slot in self._slots.values():
            if slot.timer is not None:
                slot.timer.cancel()
        self._slots.clear()

    def _retry(self, job: _Job, problem: str, *, delay_s: float | None) -> None:
        if job.tries >= _MAX_TRIES:
            self._fail(job, f"{problem}, {job.tries} times")
        elif delay_s is None:
            self._queue.appendleft(job)
        else:
            self._retry_timers[job] = self._clock.call_later(delay_s, self._queue_again, job)

    def _queue_again(self, job: _Job) -> None:
        del self._retry_timers[job]
        self._queue.append(job)
        self._send_requests()

    # --- results ----------------------------------------------------------------------------------

    def _parse(self, job: _Job, payload: dict[str, Any]) -> None:
        try:
            found = History.parse(payload)
        except ShapeError as error:
            self._fail(job, f"the gateway's reply has an undocumented shape: {error}")
        else:
            self._fill(job, found)

    def _fill(self, job: _Job, found: History) -> None:
        first_ns, last_ns = (self._clock.of_machine_ns(ns) for ns in (job.gap.last_good_ns, job.first_good_ns))
        bars = found.covering(first_ns, last_ns, bar_s=bar_length_s(job.bar))
        if bars:
            self._finish(job, bars, None)
        else:
            self._fail(job, "history has no bars for the time of the gap")

    def _fail(self, job: _Job, error: str) -> None:
        self._finish(job, (), error)

    def _finish(self, job: _Job, bars: tuple[Bar, ...], error: str | None) -> None:
        self._pending -= 1
        self._on_backfill(Backfill(job.gap, bars, job.source, error))


class _Job:
    # One gap and the request for its history.

    __slots__ = ("bar", "conid", "exchange", "first_good_ns", "gap", "period", "source", "tries")

    def __init__(self, gap: Gap, first_good_ns: int, source: BackfillSource) -> None:
        self.gap: Final = gap
        self.first_good_ns: Final = first_good_ns
        self.source: Final[BackfillSource] = source
        self.conid = 0
        self.exchange: str | None = None
        self.period = self.bar = ""
        self.tries = 0


class _Slot:
    # A slot at the gateway. Without a job, its reply is late and only frees the slot.

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

"""The main job: from a gateway to files, on a feed that survives its connections, until it is told to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cpapi_fast.errors import (
    CompetingSessionError,
    ConfigError,
    CpapiError,
    MalformedPayloadError,
    NotAuthenticatedError,
    OutputError,
    TransportError,
    UsageError,
)
from cpapi_fast.events import Cause, FeedEvent, FeedState, Gap, StateChange
from cpapi_fast.feed import Feed, FeedSubscription
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.capture import CAPTURE_SUFFIX, CaptureWriter
from cpapi_fast.outputs.contract import DiskChange, leftovers, make_folder
from cpapi_fast.outputs.event_log import EventLog
from cpapi_fast.outputs.quotes import QuotesWriter
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.topics import MarketDataFields, market_data_target
from cpapi_fast.redaction import preview

from .notices import Notices
from .reports import CollectStatus, OutputSummary, Summary

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.delivery.consumer import Consumer
    from cpapi_fast.delivery.overflow import OverflowPolicy
    from cpapi_fast.rest.client import Client

#: What to do while the disk is slower than the data: stop reading the socket, or drop frames.
SlowDisk = Literal["hold", "drop_oldest", "drop_newest"]

_POLICIES: Final[dict[str, OverflowPolicy]] = {
    "hold": "block",
    "drop_oldest": "drop_oldest",
    "drop_newest": "drop_newest",
}

_OTHER: Final = bytes([FrameKind.OTHER])

#: How much is passed to the recorder at once: enough to keep its thread busy, and little beside the usual bound.
_CHUNK_BYTES: Final = 1024 * 1024

#: How often what is shown is looked up, in real seconds.
_SAMPLE_S: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class CollectOptions:
    """What to collect and where to put it. Durations are seconds of the client's clock.

    Args:
        conids: the instruments; repeated ones count once.
        out: the folder for the files; made when it is not there.
        fields: what to subscribe to. Whatever it is, the capture has all of it and the quotes the L1 fields.
        duration_s: when to stop; None for never.
        give_up_after_s: without data for this long, from the start or later, the run ends with an error; None for
            never, as a collector that runs for weeks outlives every login and every reset of the gateway.
        flush_interval_s: how old a frame may get before it is in the capture.
        roll_interval_s: how long one file of quotes is written to before it is finished.
        max_queue_bytes: how much may wait for the disk before `slow_disk` says what happens.
        slow_disk: `hold`: the socket is not read until the disk has caught up, so nothing is lost here, and the gateway
            has to wait; `drop_oldest`, `drop_newest`: frames are dropped, and a gap says where and how many.
        feed: the policies of the feed. What it says of overload and last values is set by the run.

    Raises:
        ConfigError: a duration or size that is not above zero, or an unknown policy.
        SubscriptionError: something that is no conid.
    """

    conids: tuple[int, ...]
    out: Path
    fields: MarketDataFields = field(default_factory=MarketDataFields.default_l1)
    duration_s: float | None = None
    give_up_after_s: float | None = None
    flush_interval_s: float = 1.0
    roll_interval_s: float = 300.0
    max_queue_bytes: int = 64 * 1024 * 1024
    slow_disk: SlowDisk = "hold"
    feed: FeedOptions = field(default_factory=FeedOptions)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith(("_s", "_bytes")) and value is not None and not 0 < value < float("inf"):
                raise ConfigError(f"{name} must be a finite number above zero, not {value!r}")
        if self.slow_disk not in get_args(SlowDisk):
            raise ConfigError(f"slow_disk must be one of {', '.join(get_args(SlowDisk))}, not {self.slow_disk!r}")
        for conid in self.conids:
            market_data_target(conid)
        object.__setattr__(self, "conids", tuple(dict.fromkeys(self.conids)))


class Collector:
    """One run of the main job.

    Args:
        client: the gateway. It stays open.
        options: what to collect.
        on_notice: told in words what a person should know: no data and why, data again, a slow disk, and so on.
    """

    def __init__(
        self, client: Client, options: CollectOptions, *, on_notice: Callable[[str], object] | None = None
    ) -> None:
        self.options: Final = options
        #: What the run did; None until it has ended.
        self.summary: Summary | None = None
        #: Where the run stood a moment ago; may be looked at from any thread.
        self.latest_status: CollectStatus = CollectStatus("starting", 0.0, None, 0, (), ())
        self._client = client
        self._clock: Final[Clock] = client.clock
        self._notices = Notices(on_notice or (lambda _text: None), self._clock)
        self._state: str | None = "starting"
        self._started_s = self._clock.monotonic_s()
        self._feed: Feed | None = None
        self._consumer: Consumer | None = None
        self._subscriptions: tuple[FeedSubscription, ...] = ()
        self._recorder: Recorder | None = None
        self._capture: CaptureWriter | None = None
        self._quotes: QuotesWriter | None = None
        self._gaps: dict[Cause, int] = {}
        self._refusal: asyncio.Future[None] | None = None
        self._is_disk_slow = False

    def status(self) -> CollectStatus:
        """Where the run stands; in the loop's thread."""
        feed, recorder = self._feed, self._recorder
        consumer = self._consumer.stats if self._consumer else None
        known = [(subscription.topic.partition("+")[2], subscription.status) for subscription in self._subscriptions]
        change = self._notices.last_trouble
        return CollectStatus(
            state=self._state or (feed.state.value if feed else "starting"),
            elapsed_s=self._clock.monotonic_s() - self._started_s,
            connection=feed.stats.connection if feed else None,
            queued_bytes=consumer.pending_bytes if consumer else 0,
            outputs=tuple((output.name, output.counts) for output in recorder.outputs) if recorder else (),
            # One call into C: the writing thread may add to it meanwhile.
            latest=tuple(self._quotes.latest.values()) if self._quotes else (),
            subscriptions={name: status for name, status in known if status is not None},
            gaps=sum(self._gaps.values()),
            dropped=consumer.dropped if consumer else 0,
            advice=change.advice if change and self._notices.is_in_trouble else "",
        )

    async def run(self, stop: asyncio.Event | None = None) -> Summary:
        """Collect until `stop` is set, the duration is over, or something fails. The files are finished either way.

        What a gateway does, be it gone, in its nightly reset, or waiting for a login, is no failure: the feed goes on
        by itself. See `CollectOptions.give_up_after_s`.

        Raises:
            OutputError: a folder or file cannot be written, at the start or later.
            LimitError: more instruments than the account may have market data lines.
            ConfigError, CertificateError: the TLS policy cannot be used, or does not trust the gateway.
            CpapiError: the gateway's certificate or session is refused (told at the start only); without data for
                `give_up_after_s`; or not one frame came. `summary` is there all the same.
            UsageError: called twice.
        """
        if self._feed is not None or self.summary is not None:
            raise UsageError("a Collector runs once")
        options = self.options
        make_folder(options.out)
        for path in leftovers(options.out):
            self._notices.say(f"left unfinished by an earlier run, and not touched: {path}")
        await self._check_certificate(stop)
        self._feed = feed = Feed(self._client, replace(options.feed, overload="block", last_values=False))
        subscriptions = [await feed.subscribe_market_data(conid, options.fields) for conid in options.conids]
        self._recorder = recorder = self._open_recorder()
        # Each frame costs more than one byte, so the bound on bytes is the only one.
        self._consumer = consumer = feed.consumer(
            policy=_POLICIES[options.slow_disk],
            max_pending_frames=options.max_queue_bytes,
            max_pending_bytes=options.max_queue_bytes,
            name="files",
        )
        self._subscriptions = tuple(subscriptions)
        self._started_s = self._clock.monotonic_s()
        self._state = None
        sampler = asyncio.create_task(self._sample(), name="cpapi_fast status")
        error: CpapiError | None = None
        reason = "cancelled"
        try:
            reason, error = await self._collect(feed, consumer, recorder, stop)
        finally:
            elapsed_s = self._clock.monotonic_s() - self._started_s
            self._state = "finishing the files"
            self._make_sample()
            await feed.aclose()
            failure = await self._finish(consumer, recorder)
            sampler.cancel()
            await asyncio.gather(sampler, return_exceptions=True)
            error = failure or error
            if error is None and reason != "cancelled" and consumer.stats.received == 0:
                what = f"{reason} before anything was received; nothing was collected"
                error = _error_of(what, self._notices.last_trouble)
            if error is not None:
                reason = str(error)
            self._state = "ended"
            self.summary = Summary(
                reason=reason,
                duration_s=elapsed_s,
                feed=feed.stats,
                consumer=consumer.stats,
                gaps={cause.value: count for cause, count in self._gaps.items()},
                outputs=tuple(_summary_of(output) for output in recorder.outputs),
            )
            self._make_sample()
        if error is not None:
            raise error
        return self.summary

    async def _check_certificate(self, stop: asyncio.Event | None) -> None:
        """Refuse a TLS policy that can never work, before there are files. A gateway that is not there yet may come."""
        checking = asyncio.create_task(self._client.ssl_context())
        stopping = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            await asyncio.wait((checking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            checking.cancel()
            stopping.cancel()
            outcome, _ = await asyncio.gather(checking, stopping, return_exceptions=True)
        if isinstance(outcome, CpapiError) and not outcome.is_retryable:
            raise outcome

    def _open_recorder(self) -> Recorder:
        options, clock = self.options, self._clock
        self._capture, stem = _new_capture(options, clock)
        self._quotes = QuotesWriter(options.out, f"quotes-{stem}", roll_interval_s=options.roll_interval_s, clock=clock)
        return Recorder(
            (self._capture, self._quotes),
            events=EventLog(options.out / f"events-{stem}.jsonl"),
            clock=clock,
        )

    async def _collect(
        self, feed: Feed, consumer: Consumer, recorder: Recorder, stop: asyncio.Event | None
    ) -> tuple[str, CpapiError | None]:
        """Have everything run until the first reason to end, and say which that was; every task has ended then."""
        self._refusal = asyncio.get_running_loop().create_future()
        receiver = asyncio.create_task(self._receive(consumer, recorder), name="cpapi_fast receive")
        ends: dict[asyncio.Future[Any], str] = {
            receiver: "the feed was closed",
            asyncio.create_task(recorder.failed(), name="cpapi_fast disk"): "the disk failed",
            self._refusal: "the gateway was refused",
        }
        if self.options.give_up_after_s is not None:
            ends[asyncio.create_task(self._give_up(feed, self.options.give_up_after_s))] = "given up"
        if stop is not None:
            ends[asyncio.create_task(stop.wait())] = "stopped"
        if self.options.duration_s is not None:
            ends[asyncio.create_task(self._clock.sleep(self.options.duration_s))] = "the duration is over"
        others = [task for task in ends if task is not receiver]
        try:
            await feed.start()
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return next(ends[task] for task in done), None
        except CpapiError as exc:
            return str(exc), exc
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            # What was received before the feed is closed still comes; then the iteration ends.
            await feed.aclose()
            await asyncio.gather(receiver, return_exceptions=True)

    async def _finish(self, consumer: Consumer, recorder: Recorder) -> CpapiError | None:
        """Finish the files; an output's error."""
        consumer.close()
        try:
            await recorder.close()
        except CpapiError as exc:
            return exc
        capture = self._capture
        if capture is not None and capture.counts.received == 0:
            # One of ours, with nothing in it: of no use to anybody.
            with suppress(OSError):
                capture.path.unlink()
        return None

    async def _receive(self, consumer: Consumer, recorder: Recorder) -> None:
        # Frames count as pending until the recorder has written them, so the consumer's bound includes them.
        async for items in consumer.chunks(max(1, min(_CHUNK_BYTES, self.options.max_queue_bytes // 2))):
            for item in items:
                if isinstance(item, Batch):
                    if _OTHER in bytes(item.kinds):
                        self._look_for_errors(item)
                    continue
                if isinstance(item, Gap):
                    self._gaps[item.cause] = self._gaps.get(item.cause, 0) + 1
                if not self._is_refusal(item):
                    self._notices.on_event(item)
            self._check_disk()
            await recorder.write(items)

    def _check_disk(self) -> None:
        """Report when more than half of the bound is pending, and when at most an eighth is pending again."""
        consumer, recorder = self._consumer, self._recorder
        if consumer is None or recorder is None or consumer.is_closed:
            return
        is_slow = consumer.stats.pending_bytes > self.options.max_queue_bytes // (8 if self._is_disk_slow else 2)
        if is_slow != self._is_disk_slow:
            self._is_disk_slow = is_slow
            change = DiskChange(time.time_ns(), is_slow, self.options.slow_disk)
            self._notices.on_event(change)
            recorder.put_event(change)

    def _look_for_errors(self, batch: Batch) -> None:
        """Tell what the gateway says in its `error` frames; there are a few per day."""
        for index, kind in enumerate(batch.kinds):
            if kind == FrameKind.OTHER:
                frame = batch[index]
                with suppress(MalformedPayloadError):
                    # Decodes a frame without a topic: an error may come without one.
                    if frame.channel == "error":
                        self._notices.say(f"the gateway reports an error: {preview(frame.raw)}")

    def _is_refusal(self, event: FeedEvent) -> bool:
        """What is refused before anything ever worked (a wrong fingerprint, say) is a mistake, and ends the run."""
        feed, refusal = self._feed, self._refusal
        if not isinstance(event, StateChange) or event.cause is not Cause.REFUSED or refusal is None or feed is None:
            return False
        if feed.stats.connections or refusal.done():
            return False
        refusal.set_exception(CpapiError(event.detail or event.advice))
        return True

    async def _give_up(self, feed: Feed, limit_s: float) -> None:
        clock, good_s = self._clock, self._clock.monotonic_s()
        wanted = {FeedState.STREAMING} if self.options.conids else {FeedState.STREAMING, FeedState.AUTHENTICATED}
        while clock.monotonic_s() - good_s < limit_s:
            await clock.sleep(min(1.0, limit_s / 10))
            if feed.state in wanted:
                good_s = clock.monotonic_s()
        raise _error_of(f"no data for {limit_s:g} s, so it is given up", feed.last_change)

    async def _sample(self) -> None:
        while True:
            self._check_disk()
            self._make_sample()
            await asyncio.sleep(_SAMPLE_S)

    def _make_sample(self) -> None:
        self.latest_status = self.status()


async def collect(
    client: Client,
    options: CollectOptions,
    *,
    stop: asyncio.Event | None = None,
    on_notice: Callable[[str], object] | None = None,
) -> Summary:
    """Collect into files until `stop` is set or the duration is over; see `Collector`, which can also be watched."""
    return await Collector(client, options, on_notice=on_notice).run(stop)


def _error_of(what: str, change: StateChange | None) -> CpapiError:
    """An error of the type that fits where the feed stood, with what to do about it."""
    if change is None:
        return TransportError(what)
    detail = f" ({change.detail})" if change.detail else ""
    text = f"{what}: the feed is {change.state.value}, {change.cause.value}{detail}. To do: {change.advice}"
    if change.state is FeedState.LOGIN_REQUIRED:
        return NotAuthenticatedError(text)
    return CompetingSessionError(text) if change.state is FeedState.COMPETING else TransportError(text)


def _new_capture(options: CollectOptions, clock: Clock) -> tuple[CaptureWriter, str]:
    """A capture under a name that no other run has, and what to call the run's other files."""
    started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number = 1
    while True:
        # Not a dash: `quotes-<stem>-*` of the first run must not match the files of the second.
        stem = started if number == 1 else f"{started}_{number}"
        try:
            path = options.out / f"capture-{stem}{CAPTURE_SUFFIX}"
            return CaptureWriter(path, flush_interval_s=options.flush_interval_s, clock=clock), stem
        except OutputError as exc:
            if not isinstance(exc.__cause__, FileExistsError):
                raise
        number += 1


def _summary_of(output: Any) -> OutputSummary:
    sizes = []
    for path in output.files:
        with suppress(OSError):  # Somebody may have moved a finished file on already.
            sizes.append((path, path.stat().st_size))
    return OutputSummary(output.name, output.unit, output.counts, tuple(sizes))

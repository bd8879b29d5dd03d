"""Collector: collects market data from a gateway into files, across reconnects, until it is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.events import Cause, FeedEvent, Gap, StateChange
from cpapi_fast.feed import Feed, FeedSubscription
from cpapi_fast.feed.driver.control_frames import is_error
from cpapi_fast.feed.trouble import no_data_error
from cpapi_fast.frames.batch import Batch
from cpapi_fast.frames.cost import cost_bytes
from cpapi_fast.outputs.capture import CaptureWriter
from cpapi_fast.outputs.interface import BatchOutput, DiskChange, make_folder, unfinished_files
from cpapi_fast.outputs.kafka.output import KafkaOutput
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.outputs.tables.accounts import AccountWriter
from cpapi_fast.outputs.tables.market_data import MarketDataWriter
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.topics import MarketDataFields

from .account_subscriptions import AccountSubscriptions
from .notices import Notices
from .options import OVERFLOW_POLICIES, CollectOptions
from .outputs import open_kafka, open_outputs
from .preparation import Preparation, prepare, require_data, run_feed_options
from .reports import CollectStatus, OutputSummary, Summary, lost_error
from .trading_hours import follow_schedules

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.delivery.consumer import Consumer
    from cpapi_fast.rest.client import Client

_OTHER: Final = bytes([FrameKind.OTHER])

#: The reason why a run ended whose task was cancelled.
_CANCELLED: Final = "cancelled"

#: How much is passed to the recorder at a time: enough to keep its thread busy, and little enough for the event loop.
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_CHUNK_ITEMS: Final = 4096

#: How often `latest_status` is updated, in real seconds.
_STATUS_INTERVAL_S: Final = 0.2


class Collector:
    """Collects market data into files; one object is one run.

    It writes three kinds of files to `CollectOptions.out`. Their names contain the time in UTC when the file was begun
    and six digits of the run, such as `20260102T143000.123456Z-1f9a3c`. They sort in the order of time:

    - `capture-*.arrows`: every frame with its receive time, Arrow IPC streams; see `read_capture`.
    - `quotes-*.parquet`: the whole state of an instrument after each market data frame, Parquet. Each file is complete.
      `CollectOptions.tables` can add `ticks-*.parquet`, or replace it by them: each frame as sent. See `read_table`.
    - `orders-*.parquet`, `executions-*.parquet` and so on: only with the options of orders and accounts.
    - `events-*.jsonl`: state changes, gaps, a slow disk and lost files, one JSON object per line.

    Only their owner can read the files (`CollectOptions.file_mode`).

    Args:
        client: the client of the gateway. The run does not close it.
        options: what to collect.
        on_notice: a plain function, called with a line of text when data stops or returns, when the disk is slow, and
            so on. Its exceptions are passed to the exception handler of the loop. Without it, the lines are warnings of
            the logger `cpapi_fast`.

    Raises:
        ConfigError: `on_notice` is not a plain function.

    Attributes:
        options: the options.
        summary: the result of the run; None until it has ended.
        latest_status: the status, at most 0.2 s old. Safe to read from any thread.
    """

    def __init__(
        self, client: Client, options: CollectOptions, *, on_notice: Callable[[str], None] | None = None
    ) -> None:
        self.options: Final = options
        self.summary: Summary | None = None
        self.latest_status: CollectStatus = CollectStatus("starting", 0.0, None, 0, (), ())
        self._client = client
        self._clock: Final[Clock] = client.clock
        self._notices = Notices(on_notice, self._clock, (*options.summary, *options.ledger))
        self._state: str | None = "starting"
        self._started_s = self._clock.monotonic_s()
        self._feed: Feed | None = None
        self._consumer: Consumer | None = None
        self._subscriptions: tuple[FeedSubscription, ...] = ()
        self._prepared = Preparation(options)
        self._recorder: Recorder | None = None
        self._capture: CaptureWriter | None = None
        self._tables: tuple[MarketDataWriter, ...] = ()
        self._account_tables: tuple[AccountWriter, ...] = ()
        self._kafka: KafkaOutput | None = None
        self._accounts = AccountSubscriptions(options)
        self._gaps: dict[Cause, int] = {}
        self._refusal: asyncio.Future[None] | None = None
        #: When the disk became slower than the data; None while it is not.
        self._slow_since_s: float | None = None

    def status(self) -> CollectStatus:
        """The current status. Call it only in the thread of the event loop."""
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
            latest=tuple(self._tables[0].latest.values()) if self._tables else (),
            subscriptions={name: status for name, status in known if status is not None},
            gaps=sum(self._gaps.values()),
            dropped=consumer.dropped if consumer else 0,
            advice=change.advice if change and self._notices.is_in_trouble else "",
            rows_unlisted=self._tables[0].rows_unlisted if self._tables else 0,
            symbols={str(one.conid): one.text for one in self._prepared.symbols},
        )

    async def run(self, stop: asyncio.Event | None = None) -> Summary:
        """Collect until `stop` is set, the duration is over, or an error occurs. The files are finished in each case.

        A gateway that is unreachable, in its nightly reset or without a login is not an error: the feed reconnects
        automatically. See `CollectOptions.give_up_after_s`.

        Args:
            stop: ends the run when it is set; None to run until the duration is over.

        Returns:
            The result of the run, which is also `summary`.

        Raises:
            OutputError: a folder or file cannot be written, or something was lost because another program deleted or
                changed a file.
            SymbolError: symbols name no contract, or several.
            LimitError: there are more instruments than market data lines.
            ConfigError, CertificateError: the TLS policy is invalid, or does not trust the gateway.
            CpapiError: the gateway refused the certificate or session at the start, another server than a gateway
                answered at the start, there was no data for `give_up_after_s`, or no frame was received at all.
                `summary` is set.
            UsageError: `run` was called before.
        """
        if self._feed is not None or self.summary is not None:
            raise UsageError("a Collector can run only once")
        options = self.options
        make_folder(options.out)
        for path in unfinished_files(options.out):
            self._notices.report(f"found an unfinished file of another run, left unchanged: {path}")
        prepared = self._prepared = await prepare(self._client, options, self._notices.report, stop)
        options = prepared.options
        self._feed = feed = Feed(self._client, run_feed_options(options))
        # Every row has the symbol and the availability.
        fields = MarketDataFields((*options.fields, "symbol", "6509"))
        hours = options.given_hours
        subscriptions = [await feed.subscribe_market_data(conid, fields, hours=hours) for conid in options.conids]
        self._consumer = consumer = self._open_consumer(feed)
        await self._accounts.subscribe(feed, consumer.queue, self._notices.report)
        # Before the feed starts, so that a wrong set-up ends the run at once.
        self._kafka = await open_kafka(options, self._clock, self._notices.report)
        self._recorder = recorder = self._open_recorder(options)
        self._subscriptions = tuple(subscriptions)
        # The time in which the symbols were resolved belongs to the run.
        self._started_s = self._clock.monotonic_s() - prepared.waited_s
        self._state = None
        following = follow_schedules(self._client, feed, options, fields, self._notices.report)
        tasks = (
            asyncio.create_task(self._update_repeatedly(), name="cpapi_fast status"),
            asyncio.create_task(following, name="cpapi_fast hours"),
        )
        ended: tuple[str, CpapiError | None] = (_CANCELLED, None)
        try:
            ended = await self._collect(feed, consumer, recorder, stop)
        finally:
            summary, error = await self._end(feed, consumer, recorder, tasks, ended)
        if error is not None:
            raise error
        return summary

    async def _end(
        self,
        feed: Feed,
        consumer: Consumer,
        recorder: Recorder,
        tasks: tuple[asyncio.Task[None], ...],
        ended: tuple[str, CpapiError | None],
    ) -> tuple[Summary, CpapiError | None]:
        """Finish the files and set the summary. Returns the summary and the error of the run, if there was one."""
        reason, error = ended
        elapsed_s = self._clock.monotonic_s() - self._started_s
        self._state = "finishing the files"
        self._update_status()
        await feed.aclose()
        error = await self._finish(consumer, recorder) or error
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if error is None and reason != _CANCELLED:
            reason, error = self._check_result(reason, consumer)
        if error is None:
            error = lost_error(recorder.outputs)
        self._notices.close()
        # A run of orders and accounts without instruments expects no market data.
        is_expected = bool(self._subscriptions) or not self.options.account_tables
        unused = [table for table in self._tables if not (is_expected or table.counts.received)]
        self._state = "ended"
        self.summary = Summary(
            reason=reason if error is None else str(error),
            duration_s=elapsed_s,
            feed=feed.stats,
            consumer=consumer.stats,
            gaps={cause.value: count for cause, count in self._gaps.items()},
            outputs=tuple(OutputSummary.of(output) for output in recorder.outputs if output not in unused),
            symbols=self._prepared.symbols,
        )
        self._update_status()
        return self.summary, error

    def _check_result(self, reason: str, consumer: Consumer) -> tuple[str, CpapiError | None]:
        """The reason of the end, with the cause if there is no data, and an error if nothing was collected."""
        notices, tables = self._notices, self._tables
        if consumer.stats.received == 0:
            what = f"{reason} before anything was received; nothing was collected"
            return reason, no_data_error(what, notices.last_trouble or notices.last_change)
        is_without = bool(notices.end_text) and bool(self._subscriptions or self.options.account_tables)
        if is_without and self._subscriptions and tables[0].counts.received == 0:
            what = f"{reason} before any quote was received; no quote was collected"
            return reason, no_data_error(what, notices.last_trouble)
        missing = self._accounts.missing_text(self._account_tables)
        if missing:
            notices.report(f"{missing}; check the accounts")
        return "; ".join(filter(None, (reason, notices.end_text if is_without else "", missing))), None

    def _open_consumer(self, feed: Feed) -> Consumer:
        options = self.options
        # Each frame costs more than one byte, so the bound on bytes is the only one.
        return feed.consumer(
            policy=OVERFLOW_POLICIES[options.slow_disk],
            max_pending_frames=options.max_queue_bytes,
            max_pending_bytes=options.max_queue_bytes,
            name="files",
        )

    def _open_recorder(self, options: CollectOptions) -> Recorder:
        outputs = open_outputs(options, self._clock, self._prepared.symbols, self._prepared.resolved_ns)
        self._capture, self._tables, self._account_tables = outputs.capture, outputs.tables, outputs.account_tables
        writers: tuple[BatchOutput, ...] = (outputs.capture, *outputs.tables, *outputs.account_tables)
        if self._kafka is not None:
            writers += (self._kafka,)
        return Recorder(writers, events=outputs.events, on_change=self._notices.on_event, clock=self._clock)

    async def _collect(
        self, feed: Feed, consumer: Consumer, recorder: Recorder, stop: asyncio.Event | None
    ) -> tuple[str, CpapiError | None]:
        """Run until the first reason to end. Returns the reason and the error, when every task has ended."""
        self._refusal = asyncio.get_running_loop().create_future()
        receiver = asyncio.create_task(self._receive(consumer, recorder), name="cpapi_fast receive")
        ends: dict[asyncio.Future[Any], str] = {
            receiver: "the feed was closed",
            asyncio.create_task(recorder.failed(), name="cpapi_fast disk"): "the disk failed",
            self._refusal: "the gateway was refused",
        }
        if stop is not None:
            ends[asyncio.create_task(stop.wait())] = "stopped"
        prepared, limit_s = self._prepared, feed.options.give_up_after_s
        if prepared.options.duration_s is not None:
            ends[asyncio.create_task(self._clock.sleep(prepared.options.duration_s))] = "the duration is over"
        try:
            await feed.start()
            if prepared.symbols and limit_s is not None:
                required = require_data(feed, limit_s, prepared.waited_s, self._notices)
                ends[asyncio.create_task(required)] = "there was no data"
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return next(ends[task] for task in done), None
        except CpapiError as exc:
            return str(exc), exc
        finally:
            others = [task for task in ends if task is not receiver]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            # The receiver still gets what was received before the feed was closed. Then its iteration ends.
            await feed.aclose()
            await asyncio.gather(receiver, return_exceptions=True)

    async def _finish(self, consumer: Consumer, recorder: Recorder) -> CpapiError | None:
        """Finish the files. Returns the error of an output, if there was one."""
        consumer.close()
        try:
            await recorder.close()
        except CpapiError as exc:
            return exc
        finally:
            self._accounts.settle(self._account_tables)
        if self._capture is not None and self._capture.counts.received == 0:
            # A capture without frames is of no use.
            with suppress(OSError):
                self._capture.path.unlink()
        return None

    async def _receive(self, consumer: Consumer, recorder: Recorder) -> None:
        # Frames count as pending until the recorder has written them, so the consumer's bound includes them.
        # A chunk is small compared with what counts as a slow disk.
        async for items in consumer.chunks(min(_CHUNK_BYTES, self.options.max_queue_bytes // 8 + 1), _CHUNK_ITEMS):
            for item in items:
                if isinstance(item, Batch):
                    if _OTHER in bytes(item.kinds):
                        self._report_errors(item)
                    continue
                if isinstance(item, Gap):
                    self._gaps[item.cause] = self._gaps.get(item.cause, 0) + 1
                if not self._is_refusal(item):
                    self._notices.on_event(item)
            self._check_disk()
            await recorder.write(items)
            # They still count as pending until the next list is requested.
            self._check_disk(sum(cost_bytes(item, 0, len(item)) for item in items if isinstance(item, Batch)))

    def _check_disk(self, written_bytes: int = 0) -> None:
        """Report when more than half of the bound waits for the disk, and when at most an eighth waits again.

        Args:
            written_bytes: how many of the pending bytes have been written.
        """
        consumer, recorder = self._consumer, self._recorder
        if consumer is None or recorder is None or consumer.is_closed:
            return
        waiting_bytes = consumer.stats.pending_bytes - written_bytes
        is_slow = waiting_bytes > self.options.max_queue_bytes // (2 if self._slow_since_s is None else 8)
        if is_slow == (self._slow_since_s is not None):
            return
        now_s = self._clock.monotonic_s()
        duration_s = None if self._slow_since_s is None else now_s - self._slow_since_s
        self._slow_since_s = now_s if is_slow else None
        change = DiskChange(time.time_ns(), is_slow, self.options.slow_disk, duration_s)
        self._notices.on_event(change)
        recorder.put_event(change)

    def _report_errors(self, batch: Batch) -> None:
        """Report the `error` frames of the gateway: a few per day, or many at once."""
        for index, kind in enumerate(batch.kinds):
            if kind == FrameKind.OTHER and is_error(frame := batch[index]):
                self._notices.report_error(frame.raw)

    def _is_refusal(self, event: FeedEvent) -> bool:
        """Whether a retry does not help before the first connection: a wrong fingerprint or URL, say. Ends the run."""
        feed, refusal = self._feed, self._refusal
        if not isinstance(event, StateChange) or refusal is None or feed is None:
            return False
        text = self._notices.refusal_text(event)
        if feed.stats.connections or refusal.done() or not text:
            return False
        refusal.set_exception(CpapiError(text))
        return True

    async def _update_repeatedly(self) -> None:
        while True:
            self._check_disk()
            self._update_status()
            await asyncio.sleep(_STATUS_INTERVAL_S)

    def _update_status(self) -> None:
        self.latest_status = self.status()


async def collect(
    client: Client,
    options: CollectOptions,
    *,
    stop: asyncio.Event | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Summary:
    """Collect market data into files until `stop` is set or the duration is over.

    Args:
        client: the client of the gateway. It stays open.
        options: what to collect.
        stop: ends the run when it is set.
        on_notice: a plain function, called with a line of text when data stops or returns, when the disk is slow, and
            so on; see `Collector`.

    Returns:
        The result of the run.

    Raises:
        CpapiError: see `Collector.run`. Use a `Collector` for the status of a run, and for the summary after an error.
    """
    return await Collector(client, options, on_notice=on_notice).run(stop)

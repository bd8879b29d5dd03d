"""Collector: collects market data from a gateway into files, across reconnects, until it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cpapi_fast.errors import CpapiError, UsageError
from cpapi_fast.events import Cause, FeedEvent, Gap, StateChange
from cpapi_fast.feed import Feed, FeedSubscription
from cpapi_fast.feed.driver.control_frames import is_error
from cpapi_fast.feed.reports.trouble import no_data_error
from cpapi_fast.frames.batch import Batch
from cpapi_fast.outputs.interface import make_folder
from cpapi_fast.outputs.recorder import Recorder
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.topics import MarketDataFields

from .account_subscriptions import AccountSubscriptions
from .earlier_runs import EarlierRuns
from .instruments import InstrumentChange, Instruments
from .notices import Notices
from .observed_run import ObservedRun
from .options import CollectOptions
from .outputs import RunOutputs, check_outputs, open_run_outputs
from .preparation import Preparation, prepare, require_data, run_feed_options
from .reports import CollectStatus, OutputSummary, Summary, lost_error

if TYPE_CHECKING:
    from cpapi_fast.clock import Clock
    from cpapi_fast.delivery.consumer import Consumer
    from cpapi_fast.rest.client import Client

_OTHER: Final = bytes([FrameKind.OTHER])

#: The reason why a run ended whose task was cancelled.
_CANCELLED: Final = "cancelled"

#: How much is passed to the outputs at a time: enough to keep their threads busy, and little enough for the event loop.
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_CHUNK_ITEMS: Final = 4096

#: How often `latest_status` is updated, in real seconds.
_STATUS_INTERVAL_S: Final = 0.2


class Collector(ObservedRun):
    """Collects market data into files; one object is one run.

    It writes three kinds of files to `CollectOptions.out`. Their names contain the time in UTC when the file was begun
    and six digits of the run, such as `20260102T143000.123456Z-1f9a3c`. They sort in the order of time:

    - `capture-*.arrows`: every frame with its receive time, Arrow IPC streams; see `read_capture`.
    - `quotes-*.parquet`: the whole state of an instrument after each market data frame, Parquet. Each file is complete.
      `CollectOptions.tables` can add `ticks-*.parquet`, or replace it by them: each frame as sent. See `read_table`.
    - `orders-*.parquet`, `executions-*.parquet` and so on: only with the options of orders and accounts.
    - `events-*.jsonl`: state changes, gaps, slow outputs and lost files, one JSON object per line.

    Only their owner can read the files (`CollectOptions.file_mode`).

    Args:
        client: the client of the gateway. The run does not close it.
        options: what to collect.
        on_notice: a plain function, called with a line of text when data stops or returns, when an output is slow, and
            so on. Its exceptions are passed to the exception handler of the loop. Without it, the lines are warnings of
            the logger `cpapi_fast`, to which the feed also writes its changes of state, retries and gaps.
        outputs: outputs of the program beside the files; see `Output`. The run closes them.

    Raises:
        ConfigError: `on_notice` is not a plain function, or an output is no output or has a name that is taken.

    Attributes:
        options: the options.
        summary: the result of the run; None until it has ended.
        latest_status: the status, at most 0.2 s old. Safe to read from any thread.
    """

    def __init__(
        self,
        client: Client,
        options: CollectOptions,
        *,
        on_notice: Callable[[str], None] | None = None,
        outputs: Sequence[object] = (),
    ) -> None:
        super().__init__(client)
        self.options: Final = options
        self.summary: Summary | None = None
        self.latest_status: CollectStatus = CollectStatus("starting", 0.0, None, 0, (), ())
        self._own_outputs: Final = check_outputs(outputs, options)
        self._clock: Final[Clock] = client.clock
        self._notices = Notices(on_notice, self._clock, (*options.summary, *options.ledger))
        self._state: str | None = "starting"
        self._started_s = self._clock.monotonic_s()
        self._consumer: Consumer | None = None
        self._instruments: Instruments | None = None
        self._prepared = Preparation(options)
        self._outputs: RunOutputs | None = None
        self._accounts = AccountSubscriptions(options)
        self._earlier = EarlierRuns(options.out, self._notices.report)
        self._gaps: dict[Cause, int] = {}
        self._refusal: asyncio.Future[None] | None = None
        self._has_subscribed: Final = asyncio.Event()

    def status(self) -> CollectStatus:
        """The current status. Call it only in the thread of the event loop."""
        feed, runners = self._feed, self._recorder.runners if self._recorder else ()
        # What waits for room is in both queues, but only once in memory.
        waiting_bytes = self._recorder.waiting_bytes if self._recorder else 0
        queued_bytes = self._consumer.stats.pending_bytes - waiting_bytes if self._consumer else 0
        tables = self._outputs.tables if self._outputs else ()
        queues = {runner.name: runner.queue_stats for runner in runners}
        known = [(subscription.topic.partition("+")[2], subscription.status) for subscription in self._subscriptions]
        change = self._notices.last_trouble
        latest = tables[0].latest if tables else {}
        symbols, left = (one.symbols, one.left) if (one := self._instruments) else (self._prepared.symbols, frozenset())
        return CollectStatus(
            state=self._state or (feed.state.value if feed else "starting"),
            elapsed_s=self._clock.monotonic_s() - self._started_s,
            connection=feed.stats.connection if feed else None,
            queued_bytes=queued_bytes + max((queue.pending_bytes for queue in queues.values()), default=0),
            outputs=tuple((runner.name, runner.counts) for runner in runners),
            latest=tuple(quote for name, quote in latest.items() if name not in left),
            subscriptions={name: status for name, status in known if status is not None},
            gaps=sum(self._gaps.values()),
            dropped=sum(queue.dropped_total for queue in queues.values()),
            advice=change.advice if change and self._notices.is_in_trouble else "",
            rows_unlisted=tables[0].rows_unlisted if tables else 0,
            symbols={str(one.conid): one.text for one in symbols},
            queues=queues,
        )

    async def set_instruments(self, conids: Iterable[int | str] = (), symbols: Iterable[str] = ()) -> InstrumentChange:
        """Change the instruments while the run continues. Those that stay are not touched; see `Instruments.change`.

        Args:
            conids: all instruments from now on, as `CollectOptions.conids`.
            symbols: further ones, as `CollectOptions.symbols`.

        Returns:
            The instruments that joined and left.

        Raises:
            UsageError: the run has not subscribed yet, or has ended.
            CpapiError: an instrument is invalid, there are too many, or symbols were not resolved; nothing is changed.
        """
        if self._instruments is None or self._state is not None:
            raise UsageError("instruments can be changed only while the collector runs")
        instruments = self._instruments
        before = instruments.symbols
        change = await instruments.change(conids, symbols)
        # The outputs of a run that has ended meanwhile get nothing more.
        if self._outputs is not None and self._recorder is not None and self._state is None:
            self._outputs.record_change(self._recorder, change.added, change.removed, before, instruments.symbols)
        return change

    async def subscribed(self) -> None:
        """Wait until the run has subscribed, from when on `set_instruments` can change its instruments."""
        await self._has_subscribed.wait()

    @property
    def _subscriptions(self) -> tuple[FeedSubscription, ...]:
        return self._instruments.subscriptions if self._instruments else ()

    async def run(self, stop: asyncio.Event | None = None) -> Summary:
        """Collect until `stop` is set, the duration is over, or an error occurs. The files are finished in each case.

        A gateway that is unreachable, in its nightly reset or without a login is not an error: the feed reconnects
        automatically. See `CollectOptions.give_up_after_s`.

        Args:
            stop: ends the run when it is set; None to run until the duration is over.

        Returns:
            The result of the run, which is also `summary`.

        Raises:
            OutputError: a folder or file cannot be written, an output of the program with `on_failure="stop"` has
                failed, or something was lost because another program deleted or changed a file.
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
        prepared = self._prepared = await prepare(self._client, options, self._notices.report, stop)
        options = prepared.options
        self._feed = feed = Feed(self._client, run_feed_options(options, logs=self._notices.is_logging))
        self._on_feed(feed)
        # Every row has the symbol and the availability.
        fields = MarketDataFields((*options.fields, "symbol", "6509"))
        instruments = Instruments(self._client, feed, prepared, fields, self._notices.report)
        await instruments.subscribe()
        self._consumer = consumer = self._open_consumer(feed)
        await self._accounts.subscribe(feed, consumer.queue, self._notices.report)
        await self._earlier.begin()
        with self._earlier.stopped_by_error():
            recorder, outputs = await self._open_outputs(options)
        self._instruments = instruments
        # The time in which the symbols were resolved belongs to the run.
        self._started_s = self._clock.monotonic_s() - prepared.waited_s
        self._state = None
        self._has_subscribed.set()
        tasks = (
            asyncio.create_task(self._update_repeatedly(), name="cpapi_fast status"),
            asyncio.create_task(instruments.follow_hours(), name="cpapi_fast hours"),
        )
        ended: tuple[str, CpapiError | None] = (_CANCELLED, None)
        try:
            ended = await self._collect(feed, consumer, recorder, stop)
        finally:
            summary, error = await self._end(feed, consumer, recorder, outputs, tasks, ended)
        if error is not None:
            raise error
        return summary

    async def _end(
        self,
        feed: Feed,
        consumer: Consumer,
        recorder: Recorder,
        outputs: RunOutputs,
        tasks: tuple[asyncio.Task[None], ...],
        ended: tuple[str, CpapiError | None],
    ) -> tuple[Summary, CpapiError | None]:
        """Finish the files and set the summary. Returns the summary and the error of the run, if there was one."""
        reason, error = ended
        elapsed_s = self._clock.monotonic_s() - self._started_s
        self._state = "finishing the files"
        self._update_status()
        await feed.aclose()
        if (gap := self._earlier.gap_until(None)) is not None:
            self._gaps[gap.cause] = self._gaps.get(gap.cause, 0) + 1
            recorder.put_event(gap)
        error = await self._finish(consumer, recorder, outputs) or error
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._earlier.finish()
        if error is None and reason != _CANCELLED:
            reason, error = self._check_result(reason, consumer, outputs)
        results = [OutputSummary.of(runner) for runner in recorder.runners]
        if error is None:
            error = lost_error(results)
        self._notices.close()
        # A run of orders and accounts without instruments expects no market data.
        is_expected = bool(self._subscriptions) or not self.options.account_tables
        unused = [table.name for table in outputs.tables if not (is_expected or table.counts.received)]
        self._state = "ended"
        self.summary = Summary(
            reason=reason if error is None else str(error),
            duration_s=elapsed_s,
            feed=feed.stats,
            consumer=consumer.stats,
            gaps={cause.value: count for cause, count in self._gaps.items()},
            outputs=tuple(result for result in results if result.name not in unused),
            symbols=self._instruments.symbols if self._instruments else (),
        )
        self._update_status()
        return self.summary, error

    def _check_result(self, reason: str, consumer: Consumer, outputs: RunOutputs) -> tuple[str, CpapiError | None]:
        """The reason of the end, with the cause if there is no data, and an error if nothing was collected."""
        notices, tables = self._notices, outputs.tables
        if consumer.stats.received == 0:
            what = f"{reason} before anything was received; nothing was collected"
            return reason, no_data_error(what, notices.last_trouble or notices.last_change)
        is_without = bool(notices.end_text) and bool(self._subscriptions or self.options.account_tables)
        if is_without and self._subscriptions and tables[0].counts.received == 0:
            what = f"{reason} before any quote was received; no quote was collected"
            return reason, no_data_error(what, notices.last_trouble)
        missing = self._accounts.missing_text(outputs.account_tables)
        if missing:
            notices.report(f"{missing}; check the accounts")
        return "; ".join(filter(None, (reason, notices.end_text if is_without else "", missing))), None

    def _open_consumer(self, feed: Feed) -> Consumer:
        # Each output has a queue with a policy of its own. This queue only fills while one of them holds the stream.
        # Each frame costs more than one byte, so the bound on bytes is the only one.
        nbytes = self.options.consumer_bytes
        return feed.consumer(policy="block", max_pending_frames=nbytes, max_pending_bytes=nbytes, name="outputs")

    async def _open_outputs(self, options: CollectOptions) -> tuple[Recorder, RunOutputs]:
        prepared, report = self._prepared, self._notices.report
        outputs = await open_run_outputs(options, self._clock, report, prepared.symbols, prepared.resolved_ns)
        every = [*outputs.checked(options), *self._own_outputs]
        recorder = Recorder(every, on_event=self._notices.on_event, clock=self._clock, meter_of=self._meter_of)
        self._recorder, self._outputs = recorder, outputs
        return recorder, outputs

    async def _collect(
        self, feed: Feed, consumer: Consumer, recorder: Recorder, stop: asyncio.Event | None
    ) -> tuple[str, CpapiError | None]:
        """Run until the first reason to end. Returns the reason and the error, when every task has ended."""
        self._refusal = asyncio.get_running_loop().create_future()
        receiver = asyncio.create_task(self._receive(consumer, recorder), name="cpapi_fast receive")
        ends: dict[asyncio.Future[Any], str] = {
            receiver: "the feed was closed",
            asyncio.create_task(recorder.failed(), name="cpapi_fast failure"): "an output failed",
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
            recorder.release()
            await asyncio.gather(receiver, return_exceptions=True)

    async def _finish(self, consumer: Consumer, recorder: Recorder, outputs: RunOutputs) -> CpapiError | None:
        """Finish the outputs. Returns the error of one of them, if there was one."""
        consumer.close()
        try:
            await recorder.close()
        except CpapiError as exc:
            return exc
        finally:
            self._accounts.settle(outputs.account_tables)
        outputs.remove_empty_capture()
        return None

    async def _receive(self, consumer: Consumer, recorder: Recorder) -> None:
        # A chunk is small compared with what counts as a slow output.
        async for items in consumer.chunks(min(_CHUNK_BYTES, self.options.max_queue_bytes // 8 + 1), _CHUNK_ITEMS):
            items = self._earlier.with_gap(items)
            for item in items:
                if isinstance(item, Batch):
                    if _OTHER in bytes(item.kinds):
                        self._report_errors(item)
                    continue
                if isinstance(item, Gap):
                    self._gaps[item.cause] = self._gaps.get(item.cause, 0) + 1
                if not self._is_refusal(item):
                    self._notices.on_event(item)
            await recorder.write(items)

    def _report_errors(self, batch: Batch) -> None:
        """Report the `error` frames of the gateway: a few per day, or many at once."""
        for index, kind in enumerate(batch.kinds):
            if kind == FrameKind.OTHER and is_error(frame := batch[index]):
                self._notices.report_error(frame.raw)

    def _is_refusal(self, event: FeedEvent) -> bool:
        """Whether a retry does not help before the first connection: a wrong fingerprint or URL, say. Ends the run."""
        feed, refusal = self._feed, self._refusal
        text = self._notices.refusal_text(event) if isinstance(event, StateChange) else ""
        if feed is None or refusal is None or feed.stats.connections or refusal.done() or not text:
            return False
        refusal.set_exception(CpapiError(text))
        return True

    async def _update_repeatedly(self) -> None:
        while True:
            if self._recorder is not None:
                self._recorder.check()
            self._update_status()
            await asyncio.sleep(_STATUS_INTERVAL_S)

    def _update_status(self) -> None:
        self.latest_status = self.status()

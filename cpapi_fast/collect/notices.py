"""Notices of a run: one line of text when data stops, returns or is late, when the disk is slow, or a file is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from cpapi_fast.callbacks import callback_error, check_callback, refuse_awaitable
from cpapi_fast.clock import Clock
from cpapi_fast.events import Cause, Gap, Standstill, StandstillReason, StateChange
from cpapi_fast.feed.machine.advice import FEED_WORDING
from cpapi_fast.feed.reports.feed_log import FeedLog
from cpapi_fast.feed.reports.trouble import TroubleReporter
from cpapi_fast.limited_reporter import CHANGE_BURST, LimitedReporter
from cpapi_fast.loop import running_loop
from cpapi_fast.outputs.run_events import DiskChange, FileChange, OutputFailure, OutputGap, RecordedEvent
from cpapi_fast.printable import printable
from cpapi_fast.redaction import PREVIEW_SOURCE_BYTES, preview

#: The time between two notices about dropped frames, in real seconds.
_DROPS_INTERVAL_S: Final = 10.0


class Notices:
    """Turns events into notices.

    Args:
        on_notice: called with the text of each notice; None writes it to the logger `cpapi_fast`, to which the feed
            then writes its events itself. An exception is passed to the exception handler of the loop.
        clock: measures the time without data.
        secrets: the accounts of the run, which no text of the gateway may show.

    Raises:
        ConfigError: `on_notice` is not a plain function.
    """

    def __init__(self, on_notice: Callable[[str], None] | None, clock: Clock, secrets: Sequence[str] = ()) -> None:
        if on_notice is not None:
            check_callback(on_notice, "on_notice")
        self._on_notice: Final = on_notice
        self._secrets: Final = tuple(secrets)
        self._changes: Final = LimitedReporter(self.report, clock, burst=CHANGE_BURST)
        self._errors: Final = LimitedReporter(self.report, clock)
        report = _ignore if on_notice is None else self._changes
        self._trouble: Final = TroubleReporter(report, report, clock)
        self._log: Final = FeedLog("collect")
        #: How many frames each output has dropped.
        self._dropped: dict[str, int] = {}
        self._drop_reported_s = -_DROPS_INTERVAL_S

    @property
    def last_trouble(self) -> StateChange | None:
        """The last failure of the feed; None before the first."""
        return self._trouble.last_trouble

    @property
    def last_change(self) -> StateChange | None:
        """The last change of the feed of any kind except for its end; None before the first."""
        return self._trouble.last_change

    @property
    def is_in_trouble(self) -> bool:
        """Whether the feed delivers no data, for a cause that was reported."""
        return self._trouble.is_in_trouble

    @property
    def is_logging(self) -> bool:
        """Whether notices are written to the logger `cpapi_fast`."""
        return self._on_notice is None

    def report(self, text: str) -> None:
        """Report a text, with everything in it made printable."""
        text = printable(text)
        if self._on_notice is None:
            self._log.write(logging.WARNING, text)
            return
        try:
            if (returned := self._on_notice(text)) is not None:
                refuse_awaitable(returned)
        except Exception as error:
            loop = running_loop()
            if loop is None:
                raise
            # A broken callback must not end a collection of weeks.
            report = callback_error(error, "on_notice", "it is called again with the next notice")
            loop.call_exception_handler({"message": "on_notice of a cpapi_fast run raised", "exception": report})

    def report_error(self, raw: bytes) -> None:
        """Report an error frame of the gateway; of many, the first ones and the number of the others."""
        start = raw[:PREVIEW_SOURCE_BYTES]
        self._errors(lambda: f"the gateway reports an error: {preview(start, self._secrets)}")

    def close(self) -> None:
        """Report how many notices were left out."""
        self._changes.close()
        self._errors.close()
        self._log.close()

    @property
    def end_text(self) -> str:
        """Why there is no data at the end of the run; empty if there is."""
        return self._trouble.end_text

    def refusal_text(self, event: StateChange) -> str:
        """Why a retry does not help if there was no connection yet, with what to do; empty if it may help.

        A server that is certainly no gateway means a wrong URL, unless another answer came before: then it may be a
        gateway that starts or is in its nightly reset.
        """
        if event.cause is Cause.REFUSED:
            return event.detail or event.advice
        trouble = self.last_trouble
        if event.cause is not Cause.NOT_A_GATEWAY or (trouble is not None and trouble.cause is not Cause.UNREACHABLE):
            return ""
        return f"{event.detail}. {event.advice.removesuffix(FEED_WORDING.retries)}"

    def on_event(self, event: RecordedEvent) -> None:
        """Report an event that matters to a person."""
        if isinstance(event, DiskChange):
            self._on_disk(event)
        elif isinstance(event, FileChange):
            self._on_file(event)
        elif isinstance(event, Gap):
            if event.cause is Cause.NOT_RUNNING and event.first_good_ns is not None:
                self.report(_restart_text(event.last_good_ns, event.first_good_ns))
        elif isinstance(event, OutputGap):
            self._on_drop(event)
        elif isinstance(event, OutputFailure):
            self._on_failure(event)
        elif isinstance(event, Standstill):
            if not self.is_logging:
                self.report(_standstill_text(event))
        elif isinstance(event, StateChange):
            self._trouble.on_change(event)

    def _on_disk(self, change: DiskChange) -> None:
        who = f"the output {change.output}"
        if not change.is_slow:
            self.report(f"{who} has caught up with the data after {change.duration_s or 0.0:,.1f} s")
        elif change.policy == "block":
            self.report(f"{who} is slower than the data; the socket is not read until it has caught up")
        else:
            self.report(f"{who} is slower than the data; frames beyond its limit are dropped ({change.policy})")

    def _on_failure(self, failure: OutputFailure) -> None:
        who = f"the output {failure.output}"
        if not failure.is_failing:
            self._changes(lambda: f"{who} works again after {failure.duration_s or 0.0:,.1f} s")
        elif failure.on_failure != "stop":
            follows = "it is tried again" if failure.on_failure == "retry" else "what it cannot write is dropped"
            self._changes(lambda: f"{who} has failed: {failure.error}; {follows}; the other outputs continue")

    def _on_file(self, change: FileChange) -> None:
        lost = f"{change.lost:,} {change.unit} in it are lost" if change.lost else f"its {change.unit} are not lost"
        follows = "the run ends" if change.policy == "fail" else "a new file follows"
        self.report(f"another program has {change.change} {change.path}; {lost}; {follows}")

    def _on_drop(self, gap: OutputGap) -> None:
        dropped = self._dropped
        dropped[gap.output] = dropped.get(gap.output, 0) + gap.frames_dropped
        if time.monotonic() - self._drop_reported_s >= _DROPS_INTERVAL_S:
            self._drop_reported_s = time.monotonic()
            counts = ", ".join(f"{count:,} of {name}" for name, count in sorted(dropped.items()))
            self.report(f"frames dropped so far: {counts} ({gap.reason})")


def _ignore(_text: object) -> None:
    """Take a text that the feed writes to the log itself."""


_STANDSTILLS: Final = {
    StandstillReason.PROCESS: "this process stood still",
    StandstillReason.SUSPEND: "this machine was suspended",
    StandstillReason.NETWORK: "the network stood still",
}


def _standstill_text(event: Standstill) -> str:
    start, end = (
        f"{datetime.fromtimestamp(ns / 1e9, UTC):%H:%M:%S}" for ns in (event.start_ns, event.start_ns + event.length_ns)
    )
    what, length_s = _STANDSTILLS[event.reason], event.length_ns / 1e9
    return f"{what} for {length_s:.1f} s, from {start} to {end} UTC; what waited is late"


def _restart_text(last_ns: int, first_ns: int) -> str:
    start, end = (f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M:%S}" for ns in (last_ns, first_ns))
    length_s = (first_ns - last_ns) / 1e9
    return f"a gap of {length_s:,.1f} s: no run collected into this folder from {start} to {end} UTC"

"""Replay: a recorded run in the place of a feed, with its frames and events in their order, at any pace"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.overflow import OverflowPolicy
from cpapi_fast.errors import ConfigError, CpapiError, UsageError
from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.feed_log import LOGGER
from cpapi_fast.feed.feed_reading import FeedReading
from cpapi_fast.feed.machine import SubscriptionSpec
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.subscription import FeedSubscription
from cpapi_fast.feed.trouble import FeedTrouble
from cpapi_fast.printable import printable
from cpapi_fast.protocol.topics import Subscription
from cpapi_fast.redaction import redact_accounts, shown

from .recorded_feed import RecordedClock
from .recording import Recording, find_runs
from .replay_driver import ReplayDriver

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
#: The last time of a frame: int64.
_LAST_NS: Final = 2**63 - 1
#: How many topics a warning names.
_MOST_NAMES: Final = 10


class Replay(FeedReading):
    """A capture, or a folder of captures, in the place of a `Feed`: the same consumers, callbacks, quotes and states.

    Frames and events come in the recorded order. The frames of one socket read are one batch, as they were received,
    and have their recorded receive times. Times of the feed, such as `Quote.age_s`, are recorded times. Nothing is
    requested, and no text is sent.

    Use it as `async with`, or call `start` and `aclose`; the replay begins at the first `await` after that. It waits
    for its readers: `async for` and `batches()` read a default consumer with the policy `block`, so that nothing is
    dropped, and `consumer()` has that policy by default. An iteration ends after the last frame.

    Without a subscription, everything is replayed. With subscriptions, only their frames and events are, and what
    belongs to no subscription, such as heartbeats. The fields in a subscribe do not matter: frames are as recorded.
    A subscription to a topic of which the replay had no frame is reported at its end, as a warning of the logger
    `cpapi_fast`.

    Args:
        path: a capture, or a folder with captures and events files. The captures of a folder are replayed in the order
            of their names, run after run. A capture may be unfinished: it is replayed up to its last whole message.
        speed: how many recorded seconds pass in one real second: 1.0 for the recorded pace, 10.0 for ten times as fast;
            None to replay as fast as the readers read.
        start: begin with what was received at this time or later: ns since the Unix epoch, or a datetime with a time
            zone; None for the first frame. The states of before are known.
        end: end before what was received at this time or later; None for the last frame.
        only_run: of a folder, only the run with these six digits in the names of its files.
        options: the bounds of consumers, and what is kept. Policies of a connection do not matter.

    Attributes:
        options: the same.

    Raises:
        ConfigError: there is no capture, an argument is invalid, or runs in the folder overlap in time.
        MissingDependencyError: pyarrow is not installed.
    """

    _driver: ReplayDriver

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        speed: float | None = 1.0,
        start: datetime | int | None = None,
        end: datetime | int | None = None,
        only_run: str | None = None,
        options: FeedOptions | None = None,
    ) -> None:
        start_ns, end_ns = _time_ns("start", start), _time_ns("end", end)
        if start_ns is not None and end_ns is not None and start_ns >= end_ns:
            raise ConfigError("start must be before end")
        given = FeedOptions() if options is None else options
        self.options: Final = replace(
            given, overload="block", log_trouble=False, give_up_after_s=None, record_decisions=None
        )
        clock = RecordedClock(1.0 if speed is None else speed)
        self._recording: Final = Recording(find_runs(Path(path), only_run), start_ns, end_ns)
        dispatcher = self._begin("replay", self._hold)
        driver = ReplayDriver(
            self._recording, self.options, dispatcher, clock, speed, self._on_event, self._on_feed_state
        )
        trouble = FeedTrouble(driver.machine, self.options, clock, str(path), self._stop)
        super().__init__(driver, clock, self.options, trouble, "block")
        self._task: asyncio.Task[None] | None = None
        self._has_ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Replay {self.state.value}, {len(self._driver.machine.subscriptions)} subscriptions>"

    # --- start and end ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start to replay, at the next `await` of the caller.

        Raises:
            UsageError: it was started or closed before.
        """
        self._owner.check()
        if self._is_started:
            raise UsageError("a replay can be started only once. Create a new one after `aclose`.")
        self._is_started = True
        self._consumers.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="cpapi_fast replay")

    async def aclose(self) -> None:
        """End the replay and all consumers; pending items can still be read. Idempotent."""
        self._owner.check()
        if self._is_closed:
            return
        self._is_started = self._is_closed = True
        self._end_changes()
        try:
            if self._task is not None and not self._task.done():
                self._task.cancel()
                await asyncio.wait([self._task])
        finally:
            self._dispatcher.end(None)
            self._end(UsageError(self._closed))
            self._has_ended.set()

    async def __aenter__(self) -> Replay:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def wait_end(self) -> None:
        """Wait until everything was delivered to callbacks, and to the queues of consumers.

        For programs that use callbacks, or read a consumer in another task.

        Raises:
            ConfigError: a file cannot be read, or is damaged.
            UsageError: the replay was never started.
        """
        self._check_reading()
        # Nobody reads the default consumer while this task waits, unless another task has begun to.
        self._consumers.drop_unread()
        await self._has_ended.wait()
        if self._error is not None:
            raise self._error.with_traceback(None)

    # --- what is replayed -------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """A clock with the recorded time. Its timers run at the speed of the replay, in real time at `speed=None`."""
        return self._clock

    @property
    def files(self) -> Sequence[Path]:
        """The captures, in the order of the replay."""
        return tuple(path for run in self._recording.runs for path in run.captures)

    @property
    def torn(self) -> Mapping[Path, int]:
        """The captures read so far that end in an incomplete message, as a killed run leaves them, with its bytes."""
        return MappingProxyType(self._recording.torn)

    @property
    def time_ns(self) -> int:
        """The recorded time of what was delivered last, in ns since the Unix epoch; 0 before the first item."""
        return self._driver.time_ns

    @property
    def frames_left_out(self) -> int:
        """How many frames were left out until the last message, because nobody subscribes to their topics."""
        return self._driver.frames_left_out

    # --- subscriptions and consumers --------------------------------------------------------------

    async def unsubscribe(self, topic: str) -> None:
        """End a subscription by its topic. Idempotent. After the last one, everything is replayed again."""
        self._owner.check()
        if self._ended_with is None and not self._is_closed:
            self._driver.unsubscribe(topic)

    def _subscribe(self, texts: Subscription, spec: SubscriptionSpec) -> FeedSubscription:
        self._owner.check()
        self._check_not_ended()
        self._driver.subscribe(spec)
        return FeedSubscription(texts.name, texts.topic, self.status_of, self.unsubscribe)

    def consumer(
        self,
        *,
        policy: OverflowPolicy = "block",
        max_pending_frames: int | None = None,
        max_pending_bytes: int | None = None,
        name: str | None = None,
    ) -> Consumer:
        """Add a reader with its own queue and counters; it receives what is replayed from now on.

        Args:
            policy: what happens to frames beyond the bounds. With `block`, the replay waits for the reader.
            max_pending_frames: how many frames may be pending; `options.max_pending_frames` by default.
            max_pending_bytes: how many bytes, with 64 more for each frame; `options.max_pending_bytes` by default.
            name: the name in logs and error messages.

        Raises:
            ConfigError: an unknown policy, or a bound that is not a whole number above zero.
            UsageError: called from another event loop or thread than that of the replay.
        """
        return super().consumer(
            policy=policy, max_pending_frames=max_pending_frames, max_pending_bytes=max_pending_bytes, name=name
        )

    # --- the task ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._driver.run()
        except CpapiError as error:
            self._stop(error)
        except Exception as error:  # noqa: BLE001 - readers must not wait forever
            context = {"message": "a cpapi_fast replay failed unexpectedly", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            self._stop(UsageError("the replay failed unexpectedly; the exception handler of the loop has the error"))
        else:
            self._report_end()
            self._dispatcher.end(None)
            self._end(UsageError(f"the replay has ended, in the state {self.state.value}"))
            self._has_ended.set()

    def _stop(self, error: CpapiError) -> None:
        self._error = error
        self._dispatcher.end(error)
        self._end(error)
        self._has_ended.set()

    def _report_end(self) -> None:
        for path, size in self._recording.torn.items():
            LOGGER.warning(
                "the capture %s ends in an incomplete message, and was replayed without it (%d bytes)",
                printable(str(path)),
                size,
            )
        for run in self._recording.misplaced:
            LOGGER.warning(
                "the events of the run %s count more frames than its captures have: a capture is missing or torn, so "
                "events may be at the wrong place",
                run.name or printable(str(run.captures[0])),
            )
        silent = self._driver.silent_topics()
        if silent:
            LOGGER.warning(
                "the replay had no frame of %d subscriptions: %s",
                len(silent),
                printable(redact_accounts(", ".join(silent[:_MOST_NAMES]))),
            )

    def _hold(self, is_held: bool) -> None:
        self._driver.hold(is_held)

    def _on_state_change(self, change: StateChange) -> None:
        # The end of a feed is no change of quotes, as it was live.
        if change.cause is not Cause.STOPPED:
            super()._on_state_change(change)

    def _on_feed_state(self, state: FeedState) -> None:
        self._state_waiters.on_state(state)


def _time_ns(name: str, value: object) -> int | None:
    """A time in ns since the Unix epoch.

    Raises:
        ConfigError: it is no time, or a datetime without a time zone.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigError(f"{name} must have a time zone, such as datetime.now(UTC)")
        return (value - _EPOCH) // _MICROSECOND * 1000
    if type(value) is not int or not 0 <= value <= _LAST_NS:
        raise ConfigError(f"{name} must be a datetime, or ns since the Unix epoch, not {shown(value)}")
    return value

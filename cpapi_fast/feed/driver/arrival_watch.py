"""ArrivalWatch: notices standstills of this process, and frames that arrive late, and counts both.

A standstill is noticed by a timer of the event loop that is late, and at the first read after it. Neither uses the
wall clock. Suspended time is the difference of two monotonic clocks, of which one counts it.

A frame is late if the time from its `_updated` to its receive time is more than a second above the usual time of its
subscription. The usual time is the smallest of the last minutes. It follows the gateway's clock, so an offset between
the clocks does not matter. Heartbeats, which have the gateway's time too, show when that clock is set.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from cpapi_fast.clock import Clock
from cpapi_fast.events import StandstillReason
from cpapi_fast.feed.machine import Action
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.feed.tracked_topics import TrackedTopics
from cpapi_fast.frames.batch import Batch

from .machine_runner import MachineRunner

#: How often the timer runs, in real seconds.
_TICK_S: Final = 0.5
#: From which length on a standstill is reported, and from which lateness on a frame is late, in real seconds.
LIMIT_S: Final = 1.0
#: How long after a standstill frames without an event time count as late, in real seconds.
_DRAIN_S: Final = 1.0
#: After this time in seconds of the clock, the smallest time from `_updated` to the receive time starts anew.
_WINDOW_S: Final = 600.0
#: A late frame cannot be older than the newest data before it by more than this, in ms: a socket delivers in order.
_ORDER_MS: Final = 2_000.0


class ArrivalWatch:
    """Watches when the frames of one feed arrive.

    Args:
        clock: the clock of the feed.
        options: the options of the feed.
        topics: measures the frames.
        runner: passes standstills to the machine.
        carry_out: carries out the actions that follow.
    """

    def __init__(
        self,
        clock: Clock,
        options: FeedOptions,
        topics: TrackedTopics,
        runner: MachineRunner,
        carry_out: Callable[[list[Action]], None],
    ) -> None:
        #: How many frames were late, the largest lateness in ns, and how many standstills there were.
        self.late_frames = 0
        self.latest_ns = 0
        self.standstills = 0
        self._clock: Final = clock
        self._topics: Final = topics
        self._tracker: Final = topics.tracker
        self._times: Final = topics.event_times
        self._runner: Final = runner
        self._carry_out: Final = carry_out
        self._limit_s: Final = LIMIT_S * clock.speed
        #: A silent socket is reported from the length on at which the most frequent subscriptions become stale.
        self._silence_s: Final = max(options.stale_after_min_s, self._limit_s)
        self._timer: asyncio.TimerHandle | None = None
        self._alive_s = self._alive_elapsed_s = 0.0
        #: When the last standstill ended, and how late frames without an event time are, in ms.
        self._woken_s = 0.0
        self._carry_ms = 0.0
        self._window_s = 0.0
        #: The last heartbeat, and the usual time from one to its receive time, in ms.
        self._heartbeat_ms = 0
        self._usual_ms: float | None = None
        self._recent_ms: float | None = None

    def counts(self) -> dict[str, int]:
        """How many standstills and late frames there were, and the largest lateness, as `FeedStats` names them."""
        return {
            "standstills": self.standstills,
            "late_frames": self.late_frames,
            "max_lateness_ns": self.latest_ns,
        }

    # --- the loop ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the timer. Call it in the loop."""
        self._alive_s, self._alive_elapsed_s = self._clock.monotonic_s(), self._clock.elapsed_s()
        self._window_s = self._alive_s
        self._tracker.set_alive(self._alive_s, self._limit_s)
        self._set_clock()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """Stop the timer. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self._set_clock()
        self._note_time()
        if self._alive_s - self._window_s >= _WINDOW_S:
            self._window_s = self._alive_s
            self._times.start_window()
            self._usual_ms, self._recent_ms = self._recent_ms or self._usual_ms, None

    def _set_clock(self) -> None:
        clock = self._clock
        self._times.set_clock(time.time_ns(), clock.steady_ns(), clock.speed, self._limit_s)

    def _note_time(self) -> None:
        """Record that the loop runs now, and report a standstill until now."""
        now_s, elapsed_s = self._clock.monotonic_s(), self._clock.elapsed_s()
        stood_s, suspended_s = now_s - self._alive_s, elapsed_s - self._alive_elapsed_s - (now_s - self._alive_s)
        self._alive_s, self._alive_elapsed_s = now_s, elapsed_s
        self._tracker.set_alive(now_s, self._limit_s)
        if suspended_s > self._limit_s:
            self._report(stood_s + suspended_s, StandstillReason.SUSPEND, suspended_s)
        elif stood_s > self._limit_s + _TICK_S * self._clock.speed:
            self._report(stood_s, StandstillReason.PROCESS, 0.0)

    def _report(self, length_s: float, reason: StandstillReason, suspended_s: float) -> None:
        self.standstills += 1
        self._woken_s = self._clock.monotonic_s()
        if reason is not StandstillReason.NETWORK:
            # What is read next waited for at most this long.
            self._carry_ms = 1e3 * length_s
            self._tracker.checks_all = True
        runner = self._runner
        length_ns = int(self._clock.real_s(length_s) * 1e9)
        self._carry_out(
            runner.put(runner.machine.on_standstill, length_ns, reason, runner.now(), suspended_s=suspended_s)
        )

    # --- frames -----------------------------------------------------------------------------------

    def on_batch(self, batch: Batch) -> None:
        """Measure the frames of a batch that may be late, before it is delivered."""
        # The wall clock may have been set since the last tick.
        self._set_clock()
        self._note_time()
        late_ms, has_measured = self._measure(batch)
        if not any(late_ms):
            self._carry_ms = 0.0
        if not has_measured and self._clock.monotonic_s() - self._woken_s > _DRAIN_S * self._clock.speed:
            self._carry_ms = 0.0
        self._tracker.checks_all = self._carry_ms > 0.0
        if any(late_ms):
            silence_s = self._tracker.silence_s
            if silence_s >= self._silence_s and self._clock.monotonic_s() - silence_s >= self._woken_s:
                self._report(silence_s, StandstillReason.NETWORK, 0.0)
            self._tracker.set_lateness(batch, [int(self._clock.real_s(late * 1e6)) for late in late_ms])

    def _measure(self, batch: Batch) -> tuple[list[float], bool]:
        """How late each frame is, in ms, and whether a frame had an event time."""
        times, limit_ms = self._times, 1e3 * self._limit_s
        found: list[float] = []
        has_measured = False
        newest_ms = times.newest_ms
        for slot, event_ms, transit_ms in times.measure(batch):
            if event_ms < 0:
                found.append(self._carry_ms)
                continue
            usual_ms = times.usual_ms(slot)
            is_usual_for_gateway = self._usual_ms is not None and abs(transit_ms - self._usual_ms) <= limit_ms
            if usual_ms is None:
                is_draining = self._carry_ms > 0.0 and self._usual_ms is not None
                usual_ms = self._usual_ms if is_draining and self._usual_ms is not None else transit_ms
                times.set_usual_ms(slot, usual_ms)
            late_ms = transit_ms - usual_ms
            if abs(late_ms) > limit_ms and is_usual_for_gateway:
                # What was learned first was of an old snapshot, or wrong.
                times.set_usual_ms(slot, transit_ms)
                late_ms = 0.0
            if late_ms <= limit_ms:
                has_measured = True
                self._carry_ms = late_ms = 0.0
                newest_ms = max(newest_ms, event_ms)
            elif event_ms < newest_ms - _ORDER_MS or self._topics.is_old_update(slot, event_ms):
                # A snapshot of an instrument that has not changed, or the gateway's clock was set back.
                late_ms = 0.0
            else:
                has_measured = True
                self._carry_ms = late_ms
                newest_ms = max(newest_ms, event_ms)
                self.late_frames += 1
                self.latest_ns = max(self.latest_ns, int(self._clock.real_s(late_ms * 1e6)))
            found.append(late_ms)
        times.newest_ms = newest_ms
        return found, has_measured

    def on_heartbeat(self, heartbeat_ms: int, received_ns: int) -> None:
        """Compare the gateway's clock with the one of this machine.

        Args:
            heartbeat_ms: the time in the heartbeat, in ms since the Unix epoch.
            received_ns: its receive time.
        """
        self._set_clock()
        times, limit_ms = self._times, 1e3 * self._limit_s
        transit_ms = times.transit_ms(received_ns, heartbeat_ms)
        was_set_back = heartbeat_ms < self._heartbeat_ms
        usual_ms = self._usual_ms
        if usual_ms is not None and (transit_ms < usual_ms - limit_ms or was_set_back):
            times.forget_usual()
            usual_ms = self._recent_ms = None
        self._heartbeat_ms = heartbeat_ms
        self._usual_ms = transit_ms if usual_ms is None else min(usual_ms, transit_ms)
        self._recent_ms = transit_ms if self._recent_ms is None else min(self._recent_ms, transit_ms)
        times.newest_ms = max(times.newest_ms, heartbeat_ms)

    def on_connection_lost(self) -> None:
        """What waited on the socket is lost; the next one starts without."""
        self._carry_ms = 0.0
        self._tracker.checks_all = False

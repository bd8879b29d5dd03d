"""What is sent for subscriptions, each text for its purpose and in its turn, and what the answers tell."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.options import FeedOptions

from .actions import Action, Activity, Arm, Disarm, Emit, Moment, Send
from .advice import ADVICE
from .resubscribe_behaviour import ResubscribeBehaviour
from .send_queue import Purpose, Queued, SendQueue
from .subscription_state import SNAPSHOTS, OpenGap, SubscriptionState
from .timers import Timers

_NEVER: Final = float("inf")
#: One that was heard of so recently is taken to be alive.
_ALIVE_S: Final = 1.0


class SubscriptionRequests:
    """The texts of all subscriptions of one feed, and the frames that answer them.

    Args:
        options: paces and limits.
        random: where the jitter of renewals comes from.
        meter: what was heard of a topic.
        act: told what is to be done, in order.
    """

    def __init__(
        self,
        options: FeedOptions,
        random: Random,
        meter: Callable[[str], Activity],
        act: Callable[[Action], None],
    ) -> None:
        self.lines: dict[str, SubscriptionState] = {}
        #: Texts sent to renew, to ask, and to revive.
        self.renewals = 0
        self.probes = 0
        self.revivals = 0
        self._options = options
        self._random = random
        self._meter = meter
        self._act = act
        self._sends = SendQueue(options.send_interval_s)
        self._timers = Timers()
        self._streams = ResubscribeBehaviour()
        #: Which lines may be sent now: none, those of the outer session, or all.
        self._has_socket = False
        self._has_brokerage = False

    def send_text(self, text: str, now: Moment) -> None:
        """Send a text that belongs to no subscription."""
        self._sends.put(Queued(None, Purpose.SUBSCRIBE, text), is_urgent=True)
        self.send_due(now)

    def send_due(self, now: Moment) -> None:
        """Send what has its turn."""
        while self._has_socket and (item := self._sends.take(now.s)) is not None:
            if item.topic is None:
                self._act(Send(item.text))
                continue
            line = self.lines.get(item.topic)
            # What was queued for a subscription that has ended since is no longer wanted.
            if line is not None and line.queued is item:
                line.queued = None
                self._send(line, item.purpose, now)

    def _subscribe(self, line: SubscriptionState, now: Moment) -> None:
        may_send = self._has_brokerage or (self._has_socket and not line.spec.needs_brokerage)
        if may_send and not line.is_sent and line.queued is None:
            if not line.sent_ns:
                # Before it is sent, so that the first hole cannot begin too late.
                line.sent_ns = now.ns
            self._queue(line, Purpose.SUBSCRIBE)

    def _queue(self, line: SubscriptionState, purpose: Purpose, *, is_urgent: bool = False) -> None:
        if line.queued is None:
            line.queued = Queued(line.topic, purpose)
            self._sends.put(line.queued, is_urgent=is_urgent)

    def _send(self, line: SubscriptionState, purpose: Purpose, now: Moment) -> None:
        spec = line.spec
        self._arm(line)
        activity = self._meter(line.topic)
        is_alive = line.silence_s(activity, now.s) < max(2.0 * line.rhythm.ticking_s, _ALIVE_S)
        is_plain = self._count(line, purpose, is_alive=is_alive)
        is_first = purpose is Purpose.SUBSCRIBE
        if not is_first and not is_plain:
            if line.state is FeedState.STREAMING and line.rhythm.ticking_s and not is_alive and line.hole is None:
                # The answer will not tell whether the stream had died: to be on the safe side it has.
                line.hole = OpenGap(activity.last_ns, Cause.SUBSCRIPTION_SILENT)
            self._act(Send(spec.cancel_payload))
            self._sends.charge(1)
        self._act(Send(spec.payload))
        line.is_sent = True
        line.sent_s = now.s
        if is_first:
            self._begin(line, now)
        if spec.is_market_data:
            line.snapshots_due = SNAPSHOTS
            line.is_plain = line.is_asked = is_plain
            line.asked_id = line.stream_id if is_plain else None
            line.asked_ns = activity.last_ns or line.sent_ns
            line.was_alive_when_asked = is_alive
            if line.unanswered_s is None or not is_plain:
                line.unanswered_s = now.s
            line.renew_s = now.s + self._random.uniform(*self._options.renew_after_s)
            self._timers.set(line)

    def _count(self, line: SubscriptionState, purpose: Purpose, *, is_alive: bool) -> bool:
        """Count a text by its purpose. Returns whether it repeats a subscribe, and does not end it first."""
        if purpose is Purpose.PROBE:
            self.probes += 1
            return True
        if purpose is Purpose.RENEW:
            line.renewals += 1
            self.renewals += 1
            # Of one that ticks, the ticks are the answer.
            return self._streams.answers or (line.rhythm.ticking_s > 0.0 and is_alive)
        if purpose is Purpose.REVIVE:
            self.revivals += 1
        return False

    def _begin(self, line: SubscriptionState, now: Moment) -> None:
        line.floor_s = now.s
        was_stale = line.state is FeedState.STALE
        line.state = FeedState.OPEN
        if was_stale and not line.spec.is_market_data:
            # Nothing confirms it but that it is not refused again.
            line.is_told_stale = False
            line.check_s = _NEVER
            self._tell(line, FeedState.OPEN, FeedState.STALE, Cause.RETRY, now)

    # --- answers ----------------------------------------------------------------------------------

    def _note_stream(self, line: SubscriptionState, stream_id: str, now: Moment, *, is_snapshot: bool) -> None:
        """Frames of one stream carry one id. Another one after a question means that the stream is new."""
        asked_id, line.stream_id = line.asked_id, stream_id
        if asked_id is None or (asked_id == stream_id and not is_snapshot):
            return
        line.asked_id = None
        is_trial, line.is_trial = line.is_trial, False
        changes_ids = self._streams.changes_ids
        if asked_id == stream_id:
            self._streams.note_same(line, is_trial=is_trial)
            return
        self._streams.note_new(is_trial=is_trial)
        if is_trial or line.hole is not None:
            return
        if changes_ids:
            # Such a gateway does not tell a new stream from an old one. To be on the safe side there may be a hole.
            if line.rhythm.ticking_s and not line.was_alive_when_asked:
                line.hole = OpenGap(line.asked_ns, Cause.SUBSCRIPTION_SILENT)
            return
        line.hole = OpenGap(line.asked_ns, Cause.SUBSCRIPTION_SILENT)
        if changes_ids is False:
            self._tell(line, FeedState.STALE, line.state, Cause.SUBSCRIPTION_SILENT, now)
        if self._streams.wants_trial(now.s):
            line.is_trial = True
            self._queue(line, Purpose.PROBE)

    def _on_answer(self, line: SubscriptionState, now: Moment) -> None:
        if line.silence_at_probe_s > 0.0 and line.unanswered_s is not None:
            silence_s = line.silence_at_probe_s + now.s - line.unanswered_s
            line.rhythm.forgive(silence_s)
            line.pause_from_s = now.s - silence_s
        line.silence_at_probe_s = 0.0
        if line.was_plain_unanswered:
            self._streams.note_unanswered()
        line.was_plain_unanswered = line.is_plain = False
        line.unanswered_s = None

    def _arm(self, line: SubscriptionState) -> None:
        if not line.is_armed:
            line.is_armed = True
            self._act(Arm(line.topic))

    def _disarm_unless_needed(self, line: SubscriptionState) -> None:
        is_needed = (
            line.hole is not None
            or line.unanswered_s is not None
            or line.pause_from_s is not None
            or line.rhythm.is_quiet
            or not line.has_data
        )
        if is_needed or not line.is_armed:
            return
        line.is_armed = False
        line.snapshots_due = 0
        if line.is_asked:
            # It ticks on, and no snapshot has come.
            line.is_asked = False
            self._streams.note_unanswered()
        if line.asked_id is not None:
            # Whatever came carried the id of before.
            line.asked_id = None
            self._streams.note_same(line, is_trial=line.is_trial)
            line.is_trial = False
        self._act(Disarm(line.topic))

    def _tell(self, line: SubscriptionState, state: FeedState, previous: FeedState, cause: Cause, now: Moment) -> None:
        if state is FeedState.STALE:
            line.is_told_stale = True
        self._act(Emit(StateChange(now.ns, state, previous, cause, ADVICE[cause], line.topic)))

"""The care of all subscriptions: sent in turn, renewed in time, watched each by its own rhythm, their holes kept.

How a quiet subscription is told from a dead one: the gateway answers a subscribe with a snapshot, also one that is
live already. So a silence that is long for a subscription is answered with a question, and only silence after that is
death. A renewal is such a question, so an instrument that ticks once an hour is known to live every few minutes, at no
cost. A gateway that leaves a repeated subscribe unanswered is found out, and asked by ending and subscribing anew.

The question revives a stream that had died, too. Its answer then comes from a new stream, which `server_id` tells, and
the silence before it is told as what it was. A gateway that gives live streams new ids as well is found out likewise.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.errors import LimitError
from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed_options import FeedOptions

from .actions import Action, Activity, Arm, Disarm, Emit, Moment, Send
from .advice import ADVICE
from .lines import SNAPSHOTS, Hole, Line, LineSpec
from .rhythm import Rhythm
from .sends import Purpose, Queued, Sends

_NEVER: Final = float("inf")
#: At this part of the silence that is too long it is asked whether the subscription lives.
_SUSPECT_PART: Final = 0.75
#: A subscription that ticks is looked at this often at least, so that its rhythm follows it.
_LOOK_S: Final = 15.0
#: Outside of its trading hours one is looked at this often.
_CLOSED_LOOK_S: Final = 60.0
#: The longest pause between two tries to revive a stale one.
_REVIVE_MAX_S: Final = 60.0
#: A refused subscription is asked for again after this, doubled with each refusal, up to _REVIVE_MAX_S.
_REFUSED_S: Final = 5.0
#: One that was heard of so recently is taken to be alive.
_ALIVE_S: Final = 1.0
#: How a gateway treats a live stream is tried out once in so long.
_TRIAL_S: Final = 60.0
#: So many repeated subscribes without an answer, and a gateway counts as one that never answers them.
_PLAIN_UNANSWERED: Final = 2


class Care:
    """All subscriptions of one feed.

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
        self.lines: dict[str, Line] = {}
        #: Texts sent to renew, to ask, and to revive.
        self.renewals = 0
        self.probes = 0
        self.revivals = 0
        #: Reading is held back by ourselves: silence means nothing.
        self.is_paused = False
        self._options = options
        self._random = random
        self._meter = meter
        self._act = act
        self._sends = Sends(options.send_interval_s)
        self._timers: list[tuple[float, int, str]] = []
        self._timer_count = 0
        self._blind_until_s = 0.0
        self._plain_unanswered = 0
        #: Whether this gateway gives a live stream a new id when it is asked for again; None while nobody knows.
        self._changes_ids: bool | None = None
        self._next_trial_s = 0.0
        #: Which lines may be sent now: none, those of the outer session, or all.
        self._has_socket = False
        self._has_brokerage = False

    # --- the set ----------------------------------------------------------------------------------

    def add(self, spec: LineSpec, now: Moment) -> None:
        """Subscribe, now or when it can be; one that is there already gets its new text.

        Raises:
            LimitError: the account has no market data line left.
        """
        line = self.lines.get(spec.topic)
        if line is not None:
            line.spec = spec
            if spec.usual_interval_s is not None:
                line.rhythm = self._rhythm(spec)
            if line.is_sent and not line.is_queued:
                self._queue(line, Purpose.RENEW, is_urgent=True)
            return
        if spec.is_market_data:
            in_use = sum(line.spec.is_market_data for line in self.lines.values())
            if in_use >= self._options.market_data_lines:
                raise LimitError(
                    "market data lines",
                    most=self._options.market_data_lines,
                    in_use=in_use,
                    advice="unsubscribe one first, or raise market_data_lines if the account has more (100 is IB's "
                    "default)",
                )
        self.lines[spec.topic] = line = Line(spec, self._rhythm(spec))
        self._subscribe(line, now)

    def remove(self, topic: str, now: Moment) -> None:
        """Unsubscribe. A hole that is still open is told, without an end."""
        line = self.lines.pop(topic, None)
        if line is None:
            return
        gap = line.close_hole(None)
        if gap is not None:
            self._act(Emit(gap))
        if line.is_sent:
            self._sends.put(Queued(None, Purpose.SUBSCRIBE, line.spec.cancel_payload), is_urgent=True)
            self.send_due(now)

    def _rhythm(self, spec: LineSpec) -> Rhythm:
        options = self._options
        return Rhythm(options.stale_factor, options.stale_after_min_s, options.stale_after_max_s, spec.usual_interval_s)

    # --- the connection ---------------------------------------------------------------------------

    def go_live(self, now: Moment, *, has_brokerage: bool) -> None:
        """The gateway listens: subscribe to everything that the session allows and that is not subscribed to."""
        self._has_socket = True
        self._has_brokerage = has_brokerage
        for line in self.lines.values():
            self._subscribe(line, now)
        self.send_due(now)

    def lose(self, cause: Cause, *, brokerage_only: bool = False) -> None:
        """The connection is gone, or the brokerage session: so is every subscription that stood on it."""
        self._has_brokerage = False
        if not brokerage_only:
            self._has_socket = False
            self._sends.clear()
        for line in self.lines.values():
            if brokerage_only and not line.spec.needs_brokerage:
                continue
            line.lose(cause, self._meter(line.topic))
            line.drop()
            if line.hole is not None:
                self._arm(line)

    def end(self) -> None:
        """Tell the holes that nothing will end any more."""
        for line in self.lines.values():
            gap = line.close_hole(None)
            if gap is not None:
                self._act(Emit(gap))

    def go_blind(self, until_s: float) -> None:
        """Nobody was looking, so silence until now means nothing: judge none before `until_s`."""
        self._blind_until_s = until_s

    def ask_again(self, now: Moment) -> None:
        """The gateway did not listen before: send again what is not answered."""
        for line in self.lines.values():
            if line.is_sent and line.state is not FeedState.STREAMING:
                self._queue(line, Purpose.REVIVE)
        self.send_due(now)

    def start_anew(self, now_s: float) -> None:
        """Reading was held back by ourselves until now: silence counts from here."""
        for line in self.lines.values():
            line.floor_s = now_s
            if line.unanswered_s is not None:
                line.unanswered_s = now_s
            if line.check_s != _NEVER:
                self._check_at(line, now_s + self._options.answer_timeout_s)

    @property
    def is_dead(self) -> bool:
        """Whether there are market data subscriptions, and none of them answers."""
        is_any = False
        for line in self.lines.values():
            if line.spec.is_market_data:
                if line.state is not FeedState.STALE:
                    return False
                is_any = True
        return is_any

    # --- what is heard ----------------------------------------------------------------------------

    def on_frame(self, topic: str, received_ns: int, now: Moment, *, is_snapshot: bool, stream_id: str | None) -> bool:
        """A frame of an armed line came. Returns whether it is data of a subscription that stands."""
        line = self.lines.get(topic)
        if line is None:
            return False
        if not line.is_sent:
            # Still on its way when the subscription ended: the hole begins after it.
            if line.hole is not None:
                line.hole.last_good_ns = received_ns
            return False
        was_first, was_quiet = not line.has_data, line.rhythm.is_quiet
        line.has_data = True
        line.refusals = 0
        if stream_id is not None:
            self._note_stream(line, stream_id, now, is_snapshot=is_snapshot)
        line.asked_ns = received_ns
        if is_snapshot:
            line.is_asked = False
        if is_snapshot and line.snapshots_due > 0:
            line.snapshots_due -= 1
            line.snapshots += 1
        elif line.state is FeedState.STREAMING:
            if line.pause_from_s is not None:
                line.rhythm.tolerate(now.s - line.pause_from_s, _SUSPECT_PART)
                line.pause_from_s = None
            if was_quiet:
                line.rhythm.learn(1, now.s - line.base_s)
                self._rebase(line, now)
        if line.unanswered_s is not None:
            self._on_answer(line, now)
        gap = line.close_hole(received_ns)
        if gap is not None:
            self._act(Emit(gap))
        if line.is_told_stale:
            line.is_told_stale = False
            self._tell(line, FeedState.STREAMING, FeedState.STALE, Cause.DATA, now)
        if line.state is not FeedState.STREAMING:
            line.state = FeedState.STREAMING
            line.retries = 0
            self._rebase(line, now)
            self._plan_check(line, now)
        elif was_first or was_quiet:
            self._plan_check(line, now)
        if line.snapshots_due == 0:
            self._disarm_unless_needed(line)
        return True

    def _note_stream(self, line: Line, stream_id: str, now: Moment, *, is_snapshot: bool) -> None:
        """Frames of one stream carry one id. Another one after a question means that the stream is new."""
        asked_id, line.stream_id = line.asked_id, stream_id
        if asked_id is None or (asked_id == stream_id and not is_snapshot):
            return
        line.asked_id = None
        is_trial, line.is_trial = line.is_trial, False
        if asked_id == stream_id:
            self._note_same_stream(line, is_trial=is_trial)
        elif is_trial:
            self._changes_ids = True
        elif self._changes_ids:
            # Such a gateway does not tell a new stream from an old one. To be on the safe side there may be a hole.
            is_active = line.rhythm.usual_s is not None and not line.rhythm.is_quiet
            if line.hole is None and is_active and not line.was_alive_when_asked:
                line.hole = Hole(line.asked_ns, Cause.SUBSCRIPTION_SILENT)
        elif line.hole is None:
            line.hole = Hole(line.asked_ns, Cause.SUBSCRIPTION_SILENT)
            if self._changes_ids is False:
                self._tell(line, FeedState.STALE, line.state, Cause.SUBSCRIPTION_SILENT, now)
            if now.s >= self._next_trial_s:
                # Certainly alive now: its answer to another question shows how this gateway does it.
                self._next_trial_s = now.s + _TRIAL_S
                line.is_trial = True
                self._queue(line, Purpose.PROBE)

    def _note_same_stream(self, line: Line, *, is_trial: bool) -> None:
        if is_trial or line.was_alive_when_asked:
            self._changes_ids = False
        if line.is_asked:
            self._plain_unanswered = 0

    def _on_answer(self, line: Line, now: Moment) -> None:
        if line.silence_at_probe_s > 0.0 and line.unanswered_s is not None:
            silence_s = line.silence_at_probe_s + now.s - line.unanswered_s
            line.rhythm.forgive(silence_s)
            line.pause_from_s = now.s - silence_s
        line.silence_at_probe_s = 0.0
        if line.was_plain_unanswered:
            self._plain_unanswered += 1
        line.was_plain_unanswered = line.is_plain = False
        line.unanswered_s = None

    def on_refused(self, topic: str, now: Moment) -> bool:
        """The gateway refused a subscribe. Returns whether it was one of ours; it is asked for again in a while."""
        line = self.lines.get(topic)
        if line is None or not line.is_sent:
            return False
        previous = line.state
        line.lose(Cause.SUBSCRIPTION_REFUSED, self._meter(topic))
        line.drop()
        self._arm(line)
        pause_s = min(_REFUSED_S * 2.0 ** min(line.refusals, 10), _REVIVE_MAX_S)
        line.refusals += 1
        line.state = FeedState.STALE
        if not line.is_told_stale:
            self._tell(line, FeedState.STALE, previous, Cause.SUBSCRIPTION_REFUSED, now)
        self._check_at(line, now.s + pause_s)
        return True

    # --- time -------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When `tick` is to be called next."""
        sends_s = self._sends.due_s if self._has_socket else None
        timer_s = self._timers[0][0] if self._timers else _NEVER
        return timer_s if sends_s is None else min(sends_s, timer_s)

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        timers = self._timers
        while timers and timers[0][0] <= now.s:
            due_s, _, topic = heapq.heappop(timers)
            line = self.lines.get(topic)
            if line is None:
                continue
            if line.renew_s == due_s:
                line.renew_s = _NEVER
                if line.is_sent and not line.is_queued:
                    self._queue(line, Purpose.RENEW)
            if line.check_s == due_s:
                line.check_s = _NEVER
                self._check(line, now)
        self.send_due(now)

    def send_text(self, text: str, now: Moment) -> None:
        """Send a text that belongs to no subscription."""
        self._sends.put(Queued(None, Purpose.SUBSCRIBE, text), is_urgent=True)
        self.send_due(now)

    def send_due(self, now: Moment) -> None:
        """Send what has its turn."""
        while self._has_socket and (item := self._sends.take(now.s)) is not None:
            if item.topic is None:
                self._act(Send(item.text))
            else:
                line = self.lines.get(item.topic)
                if line is not None and line.is_queued:
                    line.is_queued = False
                    self._send(line, item.purpose, now)

    def _subscribe(self, line: Line, now: Moment) -> None:
        may_send = self._has_brokerage or (self._has_socket and not line.spec.needs_brokerage)
        if may_send and not line.is_sent and not line.is_queued:
            if not line.sent_ns:
                # Before it is sent, so that the first hole cannot begin too late.
                line.sent_ns = now.ns
            self._queue(line, Purpose.SUBSCRIBE)

    def _queue(self, line: Line, purpose: Purpose, *, is_urgent: bool = False) -> None:
        if not line.is_queued:
            line.is_queued = True
            self._sends.put(Queued(line.topic, purpose), is_urgent=is_urgent)

    def _send(self, line: Line, purpose: Purpose, now: Moment) -> None:
        spec, options = line.spec, self._options
        is_first = purpose is Purpose.SUBSCRIBE
        self._arm(line)
        activity = self._meter(line.topic)
        silence_s = line.silence_s(activity, now.s)
        usual_s = 0.0 if line.rhythm.usual_s is None or line.rhythm.is_quiet else line.rhythm.usual_s
        is_alive = silence_s < max(2.0 * usual_s, _ALIVE_S)
        is_plain = purpose in (Purpose.RENEW, Purpose.PROBE)
        if purpose is Purpose.RENEW:
            line.renewals += 1
            self.renewals += 1
            # Of one that ticks, the ticks are the answer.
            is_plain = self._is_plain_heard or (usual_s > 0.0 and is_alive)
        elif purpose is Purpose.REVIVE:
            self.revivals += 1
        elif purpose is Purpose.PROBE:
            self.probes += 1
        if not is_first and not is_plain:
            if line.state is FeedState.STREAMING and usual_s > 0.0 and not is_alive and line.hole is None:
                # The answer will not tell whether the stream had died: to be on the safe side it has.
                line.hole = Hole(activity.last_ns, Cause.SUBSCRIPTION_SILENT)
            self._act(Send(spec.cancel_payload))
            self._sends.charge(1)
        self._act(Send(spec.payload))
        line.is_sent = True
        line.sent_s = now.s
        if is_first:
            line.floor_s = now.s
            if spec.is_market_data or line.state is not FeedState.STALE:
                line.state = FeedState.OPEN
            else:
                # Nothing confirms it but that it is not refused again.
                line.state, line.is_told_stale = FeedState.OPEN, False
                line.check_s = _NEVER
                self._tell(line, FeedState.OPEN, FeedState.STALE, Cause.RETRY, now)
        if not spec.is_market_data:
            self._plan_check(line, now)
            return
        line.snapshots_due = SNAPSHOTS
        line.is_plain = line.is_asked = is_plain
        line.asked_id = line.stream_id if is_plain else None
        line.asked_ns = activity.last_ns or line.sent_ns
        line.was_alive_when_asked = is_alive
        if line.unanswered_s is None or not line.is_plain:
            line.unanswered_s = now.s
        line.renew_s = now.s + self._random.uniform(*options.renew_after_s)
        self._timer(line, line.renew_s)
        self._plan_check(line, now)

    # --- silence ----------------------------------------------------------------------------------

    def _check(self, line: Line, now: Moment) -> None:
        if line.state is FeedState.STALE:
            self._retry(line, now)
            return
        if not line.is_sent:
            return
        if self.is_paused or now.s < self._blind_until_s:
            self._check_at(line, now.s + _LOOK_S if self.is_paused else self._blind_until_s)
            return
        activity = self._meter(line.topic)
        if not line.rhythm.is_quiet:
            ticks = activity.frames - line.snapshots
            if ticks > line.base_ticks:
                line.rhythm.learn(ticks - line.base_ticks, now.s - line.base_s)
                line.base_ticks, line.base_s = ticks, now.s
            if line.rhythm.is_quiet:
                self._arm(line)
            else:
                self._disarm_unless_needed(line)
        if self._is_answer_overdue(line, activity, now):
            has_no_rhythm = line.rhythm.usual_s is None or line.rhythm.limit_s > self._options.stale_after_max_s
            if line.is_plain and has_no_rhythm:
                # Maybe this gateway leaves a repeated subscribe unanswered. A new one it does not.
                line.was_plain_unanswered = True
                self._queue(line, Purpose.REVIVE, is_urgent=True)
            else:
                self._go_stale(line, activity, now)
            return
        hours = line.spec.hours
        if hours is not None and not hours.is_open(now.day_ns):
            line.floor_s = now.s
        elif line.unanswered_s is None and not line.is_queued:
            silence_s = line.silence_s(activity, now.s)
            if silence_s >= _SUSPECT_PART * line.rhythm.limit_s:
                line.silence_at_probe_s = silence_s
                if line.spec.is_market_data:
                    self._queue(line, Purpose.PROBE if self._is_plain_heard else Purpose.REVIVE, is_urgent=True)
                elif silence_s >= line.rhythm.limit_s:
                    # Nothing answers a repeated subscribe of these; the user has said how often they tick.
                    self._go_stale(line, activity, now)
                    return
        self._plan_check(line, now)

    @property
    def _is_plain_heard(self) -> bool:
        """Whether this gateway answers a subscribe for a stream that lives."""
        return self._plain_unanswered < _PLAIN_UNANSWERED

    def _is_answer_overdue(self, line: Line, activity: Activity, now: Moment) -> bool:
        if line.unanswered_s is None:
            return False
        return now.s >= self._answer_due_s(line, activity, now.s)

    def _answer_due_s(self, line: Line, activity: Activity, now_s: float) -> float:
        """When a text that is not answered makes the line stale."""
        asked_s = now_s if line.unanswered_s is None else line.unanswered_s
        patience_s = asked_s + self._options.answer_timeout_s
        limit_s = line.rhythm.limit_s
        if line.state is FeedState.OPEN or line.rhythm.usual_s is None or limit_s > self._options.stale_after_max_s:
            return patience_s
        # One that ticks often owes a frame anyway, and by then at the latest.
        heard_s = max(activity.last_s, line.floor_s)
        return max(heard_s + limit_s, asked_s + (1.0 - _SUSPECT_PART) * limit_s)

    def _go_stale(self, line: Line, activity: Activity, now: Moment) -> None:
        previous = line.state
        line.was_plain_unanswered = line.is_plain
        line.asked_id = None
        line.lose(Cause.SUBSCRIPTION_SILENT, activity)
        line.state = FeedState.STALE
        if not line.is_told_stale:
            self._tell(line, FeedState.STALE, previous, Cause.SUBSCRIPTION_SILENT, now)
        self._retry(line, now)

    def _retry(self, line: Line, now: Moment) -> None:
        self._arm(line)
        pause_s = min(self._options.answer_timeout_s * 2.0 ** min(line.retries, 10), _REVIVE_MAX_S)
        line.retries += 1
        if line.is_sent:
            self._queue(line, Purpose.REVIVE, is_urgent=True)
        else:
            self._subscribe(line, now)
        self._check_at(line, now.s + pause_s)

    def _plan_check(self, line: Line, now: Moment) -> None:
        """When to look at a line next, so that nothing is noticed late and nothing is looked at for nothing."""
        if line.state is FeedState.STALE:
            return  # _retry has planned it.
        is_watched = line.spec.is_market_data or line.rhythm.usual_s is not None
        if not is_watched:
            return
        rhythm = line.rhythm
        due_s = _NEVER
        activity = self._meter(line.topic)
        if line.unanswered_s is not None:
            due_s = self._answer_due_s(line, activity, now.s)
        elif line.spec.hours is not None and not line.spec.hours.is_open(now.day_ns):
            due_s = now.s + _CLOSED_LOOK_S
        else:
            part = _SUSPECT_PART if line.spec.is_market_data else 1.0
            suspect_s = part * rhythm.limit_s
            if suspect_s < self._options.renew_after_s[0] or not line.spec.is_market_data:
                due_s = max(activity.last_s, line.floor_s) + suspect_s
        if not rhythm.is_quiet:
            due_s = min(due_s, now.s + _LOOK_S)
        if due_s != _NEVER:
            self._check_at(line, max(due_s, now.s + 0.05))

    # --- small things -----------------------------------------------------------------------------

    def _rebase(self, line: Line, now: Moment) -> None:
        line.base_ticks = self._meter(line.topic).frames - line.snapshots
        line.base_s = now.s

    def _check_at(self, line: Line, due_s: float) -> None:
        if line.check_s != due_s:
            line.check_s = due_s
            self._timer(line, due_s)

    def _timer(self, line: Line, due_s: float) -> None:
        self._timer_count += 1
        heapq.heappush(self._timers, (due_s, self._timer_count, line.topic))

    def _arm(self, line: Line) -> None:
        if not line.is_armed:
            line.is_armed = True
            self._act(Arm(line.topic))

    def _disarm_unless_needed(self, line: Line) -> None:
        is_needed = (
            line.hole is not None
            or line.unanswered_s is not None
            or line.pause_from_s is not None
            or line.rhythm.is_quiet
            or not line.has_data
        )
        if line.is_armed and not is_needed:
            line.is_armed = False
            line.snapshots_due = 0
            if line.is_asked:
                # It ticks on, and no snapshot has come.
                line.is_asked = False
                self._plain_unanswered += 1
            if line.asked_id is not None:
                line.asked_id = None
                self._note_same_stream(line, is_trial=line.is_trial)
                line.is_trial = False
            self._act(Disarm(line.topic))

    def _tell(self, line: Line, state: FeedState, previous: FeedState, cause: Cause, now: Moment) -> None:
        if state is FeedState.STALE:
            line.is_told_stale = True
        self._act(Emit(StateChange(now.ns, state, previous, cause, ADVICE[cause], line.topic)))

"""The care of all subscriptions: sent in turn, renewed in time, watched each by its own rhythm, their holes kept.

How a quiet subscription is told from a dead one: the gateway answers a subscribe with a snapshot, also one that is
live already. So a silence that is long for a subscription is answered with a question, and only silence after that is
death. A renewal is such a question, so an instrument that ticks once an hour is known to live every few minutes, at no
cost. A gateway that leaves a repeated subscribe unanswered is found out, and asked by ending and subscribing anew.

The question revives a stream that had died, too. Its answer then comes from a new stream, which `server_id` tells, and
the silence before it is told as what it was. A gateway that gives live streams new ids as well is found out likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.errors import LimitError
from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.options import FeedOptions

from .actions import Action, Activity, Emit, Moment
from .interval_estimator import IntervalEstimator
from .send_queue import Purpose, Queued
from .subscription_requests import SubscriptionRequests
from .subscription_state import SubscriptionSpec, SubscriptionState

_NEVER: Final = float("inf")
#: At this part of the silence that is too long it is asked whether the subscription lives.
_SUSPECT_PART: Final = 0.75
#: A subscription that ticks is looked at this often at least, so that its rhythm follows it.
_LOOK_S: Final = 15.0
#: Outside of its trading hours one is looked at this often.
_CLOSED_LOOK_S: Final = 60.0
#: However soon the next look is due, not sooner than this.
_SOONEST_S: Final = 0.05
#: The longest pause between two tries to revive a stale one.
_REVIVE_MAX_S: Final = 60.0
#: A refused subscription is asked for again after this, doubled with each refusal, up to _REVIVE_MAX_S.
_REFUSED_S: Final = 5.0


class SubscriptionManager(SubscriptionRequests):
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
        super().__init__(options, random, meter, act)
        #: Reading is held back by ourselves: silence means nothing.
        self.is_paused = False
        self._blind_until_s = 0.0

    # --- the set ----------------------------------------------------------------------------------

    def add(self, spec: SubscriptionSpec, now: Moment) -> None:
        """Subscribe, now or when it can be; one that is there already gets its new text.

        Raises:
            LimitError: the account has no market data line left.
        """
        line = self.lines.get(spec.topic)
        if line is not None:
            line.spec = spec
            if spec.usual_interval_s is not None:
                line.rhythm = self._rhythm(spec)
            if line.is_sent and line.queued is None:
                self._queue(line, Purpose.RENEW, is_urgent=True)
            return
        if spec.is_market_data:
            in_use = sum(line.spec.is_market_data for line in self.lines.values())
            if in_use >= self._options.market_data_lines:
                raise LimitError(
                    "market data lines",
                    most=self._options.market_data_lines,
                    in_use=in_use,
                    advice="Unsubscribe one first, or raise market_data_lines if the account has more (100 is IB's "
                    "default).",
                )
        self.lines[spec.topic] = line = SubscriptionState(spec, self._rhythm(spec))
        self._subscribe(line, now)

    def remove(self, topic: str, now: Moment) -> None:
        """Unsubscribe. A hole that is still open is told, without an end."""
        line = self.lines.pop(topic, None)
        if line is None:
            return
        line.check_s = line.renew_s = _NEVER
        gap = line.close_hole(None)
        if gap is not None:
            self._act(Emit(gap))
        if line.is_sent:
            self._sends.put(Queued(None, Purpose.SUBSCRIBE, line.spec.cancel_payload), is_urgent=True)
            self.send_due(now)

    def _rhythm(self, spec: SubscriptionSpec) -> IntervalEstimator:
        options = self._options
        return IntervalEstimator(
            options.stale_factor, options.stale_after_min_s, options.stale_after_max_s, spec.usual_interval_s
        )

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
            self._timers.set(line)
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

    def is_dead(self, now_s: float) -> bool:
        """Whether there are market data subscriptions, none of them answers, and nothing else tells that data flows."""
        is_any = False
        for line in self.lines.values():
            if line.spec.is_market_data:
                if line.state is not FeedState.STALE:
                    return False
                is_any = True
            elif line.is_sent and now_s - self._meter(line.topic).last_s < self._options.stale_after_max_s:
                # P&L or the like goes on: it is these instruments, and not the connection.
                return False
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
            self._plan_check(line, self._meter(topic), now)
        elif was_first or was_quiet:
            self._plan_check(line, self._meter(topic), now)
        if line.snapshots_due == 0:
            self._disarm_unless_needed(line)
        return True

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
        timer_s = self._timers.due_s
        return timer_s if sends_s is None or timer_s < sends_s else sends_s

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        timers, now_s = self._timers, now.s
        if timers.due_s <= now_s:
            while (line := timers.take(now_s)) is not None:
                self._look(line, now)
            timers.shrink(self.lines)
        self.send_due(now)

    def _look(self, line: SubscriptionState, now: Moment) -> None:
        try:
            if line.renew_s <= now.s:
                line.renew_s = _NEVER
                if line.is_sent:
                    self._queue(line, Purpose.RENEW)
            if line.check_s <= now.s:
                line.check_s = _NEVER
                self._check(line, now)
        except BaseException:
            # A look that fails, as at trading hours of a user's own, is not the last one.
            line.check_s = now.s + _LOOK_S
            raise
        finally:
            self._timers.set(line)

    def _send(self, line: SubscriptionState, purpose: Purpose, now: Moment) -> None:
        super()._send(line, purpose, now)
        self._plan_check(line, self._meter(line.topic), now)

    # --- silence ----------------------------------------------------------------------------------

    def _check(self, line: SubscriptionState, now: Moment) -> None:
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
        elif line.unanswered_s is None and line.queued is None:
            silence_s = line.silence_s(activity, now.s)
            if silence_s >= _SUSPECT_PART * line.rhythm.limit_s:
                line.silence_at_probe_s = silence_s
                if line.spec.is_market_data:
                    self._queue(line, Purpose.PROBE if self._streams.answers else Purpose.REVIVE, is_urgent=True)
                elif silence_s >= line.rhythm.limit_s:
                    # Nothing answers a repeated subscribe of these; the user has said how often they tick.
                    self._go_stale(line, activity, now)
                    return
        self._plan_check(line, activity, now)

    def _is_answer_overdue(self, line: SubscriptionState, activity: Activity, now: Moment) -> bool:
        if line.unanswered_s is None:
            return False
        return now.s >= self._answer_due_s(line, activity, now.s)

    def _answer_due_s(self, line: SubscriptionState, activity: Activity, now_s: float) -> float:
        """When a text that is not answered makes the line stale."""
        asked_s = now_s if line.unanswered_s is None else line.unanswered_s
        patience_s = asked_s + self._options.answer_timeout_s
        limit_s = line.rhythm.limit_s
        if line.state is FeedState.OPEN or line.rhythm.usual_s is None or limit_s > self._options.stale_after_max_s:
            return patience_s
        # One that ticks often owes a frame anyway, and by then at the latest.
        heard_s = max(activity.last_s, line.floor_s)
        return max(heard_s + limit_s, asked_s + (1.0 - _SUSPECT_PART) * limit_s)

    def _go_stale(self, line: SubscriptionState, activity: Activity, now: Moment) -> None:
        previous = line.state
        line.was_plain_unanswered = line.is_plain
        line.asked_id = None
        line.lose(Cause.SUBSCRIPTION_SILENT, activity)
        line.state = FeedState.STALE
        if not line.is_told_stale:
            self._tell(line, FeedState.STALE, previous, Cause.SUBSCRIPTION_SILENT, now)
        self._retry(line, now)

    def _retry(self, line: SubscriptionState, now: Moment) -> None:
        self._arm(line)
        pause_s = min(self._options.answer_timeout_s * 2.0 ** min(line.retries, 10), _REVIVE_MAX_S)
        line.retries += 1
        if line.is_sent:
            self._queue(line, Purpose.REVIVE, is_urgent=True)
        else:
            self._subscribe(line, now)
        self._check_at(line, now.s + pause_s)

    def _plan_check(self, line: SubscriptionState, activity: Activity, now: Moment) -> None:
        """When to look at a line next, so that nothing is noticed late and nothing is looked at for nothing."""
        spec, rhythm = line.spec, line.rhythm
        if line.state is FeedState.STALE:
            return  # _retry has planned it.
        if not spec.is_market_data and rhythm.usual_s is None:
            return
        due_s = _NEVER if rhythm.is_quiet else now.s + _LOOK_S
        if line.unanswered_s is not None:
            due_s = min(due_s, self._answer_due_s(line, activity, now.s))
        elif spec.hours is not None and not spec.hours.is_open(now.day_ns):
            due_s = min(due_s, now.s + _CLOSED_LOOK_S)
        else:
            suspect_s = _SUSPECT_PART * rhythm.limit_s if spec.is_market_data else rhythm.limit_s
            if suspect_s < self._options.renew_after_s[0] or not spec.is_market_data:
                heard_s = max(line.floor_s, activity.last_s)
                due_s = min(due_s, heard_s + suspect_s)
        if due_s != _NEVER:
            self._check_at(line, max(due_s, now.s + _SOONEST_S))

    # --- small things -----------------------------------------------------------------------------

    def _rebase(self, line: SubscriptionState, now: Moment) -> None:
        line.base_ticks = self._meter(line.topic).frames - line.snapshots
        line.base_s = now.s

    def _check_at(self, line: SubscriptionState, due_s: float) -> None:
        if line.check_s != due_s:
            line.check_s = due_s
            self._timers.set(line)

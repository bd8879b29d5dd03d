"""Whether a quiet subscription still streams: when to check it, when to probe it, and when it is stale.

After 75 % of its staleness limit a quiet subscription is probed: its subscribe is repeated, and the gateway replies
with a snapshot even if the stream is active. Only a subscription that does not reply either is stale.
"""

from __future__ import annotations

import enum
from typing import Final

from cpapi_fast.events import FeedState
from cpapi_fast.feed.machine.actions import Moment
from cpapi_fast.feed.options import FeedOptions

from .interval_estimator import IntervalEstimator
from .subscription_state import SubscriptionSpec, SubscriptionState
from .timers import Timers

_NEVER: Final = float("inf")
#: A subscription is probed after this part of its staleness limit.
_PROBE_PART: Final = 0.75
#: A subscription that ticks is checked this often at least, so that the estimated interval follows its ticks.
CHECK_S: Final = 15.0
#: Outside its trading hours a subscription is checked this often.
_CLOSED_CHECK_S: Final = 60.0
#: The shortest pause before a check.
_SOONEST_S: Final = 0.05
#: The longest pause before a stale or refused subscription is resubscribed.
_RETRY_MAX_S: Final = 60.0
#: The first pause before a refused subscription is resubscribed; it doubles with each refusal.
_REFUSED_S: Final = 5.0


class Verdict(enum.Enum):
    """The result of a check."""

    #: Nothing is to be done.
    FINE = "fine"
    #: It has been quiet for so long that it has to be probed.
    QUIET = "quiet"
    #: A repeated subscribe had no reply; the gateway may not reply to those, so it has to be resubscribed.
    UNANSWERED = "unanswered"
    #: It does not stream.
    STALE = "stale"


class StalenessMonitor:
    """The limits of all subscriptions of one feed, and when each is checked.

    Args:
        options: limits.
        timers: receives the time of each check.
    """

    def __init__(self, options: FeedOptions, timers: Timers) -> None:
        self._options = options
        self._timers = timers

    # --- the interval -----------------------------------------------------------------------------

    def new_interval(self, spec: SubscriptionSpec) -> IntervalEstimator:
        """An interval estimator for a new subscription."""
        options = self._options
        return IntervalEstimator(
            options.stale_factor, options.stale_after_min_s, options.stale_after_max_s, spec.usual_interval_s
        )

    def replace_interval(self, subscription: SubscriptionState) -> None:
        """Start with the interval that the user has given now."""
        subscription.staleness.interval = self.new_interval(subscription.spec)

    def learn(self, subscription: SubscriptionState, now_s: float) -> bool:
        """Learn from the ticks since the last check. Returns False for one whose single ticks are learned instead."""
        staleness = subscription.staleness
        if staleness.interval.is_infrequent:
            return False
        ticks = subscription.ticks
        if ticks > staleness.counted_ticks:
            staleness.interval.learn(ticks - staleness.counted_ticks, now_s - staleness.counted_s)
            staleness.counted_ticks, staleness.counted_s = ticks, now_s
        return True

    def on_tick(self, subscription: SubscriptionState, now_s: float, *, is_infrequent: bool) -> None:
        """A tick of a streaming subscription was inspected."""
        staleness = subscription.staleness
        if staleness.pause_from_s is not None:
            staleness.interval.tolerate(now_s - staleness.pause_from_s, _PROBE_PART)
            staleness.pause_from_s = None
        if is_infrequent:
            staleness.interval.learn(1, now_s - staleness.counted_s)
            self.count_from(subscription, now_s)

    def count_from(self, subscription: SubscriptionState, now_s: float) -> None:
        """Learn nothing from the ticks until now."""
        subscription.staleness.counted_ticks = subscription.ticks
        subscription.staleness.counted_s = now_s

    # --- quiet time -------------------------------------------------------------------------------

    def start_quiet_time(self, subscription: SubscriptionState, now_s: float) -> None:
        """Count its quiet time from now."""
        subscription.staleness.quiet_from_s = now_s

    def on_streaming(self, subscription: SubscriptionState, now_s: float) -> None:
        """It streams again."""
        subscription.staleness.retries = 0
        self.count_from(subscription, now_s)

    def on_reply(self, subscription: SubscriptionState, now_s: float) -> None:
        """A frame was received after a text that waited for a reply: a probed pause was harmless."""
        staleness, asked_s = subscription.staleness, subscription.request.unanswered_s
        if staleness.quiet_at_probe_s > 0.0 and asked_s is not None:
            pause_s = staleness.quiet_at_probe_s + now_s - asked_s
            staleness.interval.forgive(pause_s)
            staleness.pause_from_s = now_s - pause_s
        staleness.quiet_at_probe_s = 0.0

    def judge(self, subscription: SubscriptionState, now: Moment) -> Verdict:
        """Decide about a subscription that was sent and is not stale yet."""
        spec, staleness, request = subscription.spec, subscription.staleness, subscription.request
        interval = staleness.interval
        if request.unanswered_s is not None and now.s >= self._reply_due_s(subscription, now.s):
            is_unknown = interval.usual_s is None or interval.limit_s > self._options.stale_after_max_s
            return Verdict.UNANSWERED if request.is_repeat and is_unknown else Verdict.STALE
        if spec.hours is not None and not spec.hours.is_open(now.day_ns):
            staleness.quiet_from_s = now.s
        elif request.unanswered_s is None and request.queued is None:
            quiet_s = subscription.quiet_s(now.s)
            if quiet_s >= _PROBE_PART * interval.limit_s:
                staleness.quiet_at_probe_s = quiet_s
                if spec.is_market_data:
                    return Verdict.QUIET
                if quiet_s >= interval.limit_s:
                    # The gateway does not reply to a repeated subscribe of these; the user has given the interval.
                    return Verdict.STALE
        return Verdict.FINE

    def _reply_due_s(self, subscription: SubscriptionState, now_s: float) -> float:
        """When the subscription becomes stale without a reply."""
        asked_s = subscription.request.unanswered_s
        if asked_s is None:
            asked_s = now_s
        staleness, options = subscription.staleness, self._options
        interval = staleness.interval
        limit_s = interval.limit_s
        if subscription.state is FeedState.OPEN or interval.usual_s is None or limit_s > options.stale_after_max_s:
            return asked_s + options.answer_timeout_s
        # A frequent one has to tick by then anyway.
        quiet_from_s = max(subscription.activity.last_s, staleness.quiet_from_s)
        return max(quiet_from_s + limit_s, asked_s + (1.0 - _PROBE_PART) * limit_s)

    # --- the next check ---------------------------------------------------------------------------

    def check_at(self, subscription: SubscriptionState, due_s: float) -> None:
        """Check it at this time."""
        if subscription.staleness.check_s != due_s:
            subscription.staleness.check_s = due_s
            self._timers.set(subscription)

    def check_after_pause(self, subscription: SubscriptionState, now_s: float) -> None:
        """Resume checks after the socket was not read for a while."""
        subscription.staleness.quiet_from_s = now_s
        if subscription.staleness.check_s != _NEVER:
            self.check_at(subscription, now_s + self._options.answer_timeout_s)

    def retry_later(self, subscription: SubscriptionState, now_s: float) -> None:
        """Schedule the next resubscribe of a stale subscription; the pause doubles each time."""
        pause_s = min(self._options.answer_timeout_s * 2.0 ** min(subscription.staleness.retries, 10), _RETRY_MAX_S)
        subscription.staleness.retries += 1
        self.check_at(subscription, now_s + pause_s)

    def retry_refused(self, subscription: SubscriptionState, refusals: int, now_s: float) -> None:
        """Schedule the next subscribe of a subscription that was refused `refusals` times before."""
        self.check_at(subscription, now_s + min(_REFUSED_S * 2.0 ** min(refusals, 10), _RETRY_MAX_S))

    def plan(self, subscription: SubscriptionState, now: Moment) -> None:
        """Schedule the next check: early enough to probe in time, and not earlier than necessary."""
        spec, staleness = subscription.spec, subscription.staleness
        interval = staleness.interval
        if subscription.state is FeedState.STALE:
            return  # `retry_later` has scheduled it.
        if not spec.is_market_data and interval.usual_s is None:
            return
        due_s = _NEVER if interval.is_infrequent else now.s + CHECK_S
        if subscription.request.unanswered_s is not None:
            due_s = min(due_s, self._reply_due_s(subscription, now.s))
        elif spec.hours is not None and not spec.hours.is_open(now.day_ns):
            due_s = min(due_s, now.s + _CLOSED_CHECK_S)
        else:
            limit_s = _PROBE_PART * interval.limit_s if spec.is_market_data else interval.limit_s
            if limit_s < self._options.renew_after_s[0] or not spec.is_market_data:
                due_s = min(due_s, max(staleness.quiet_from_s, subscription.activity.last_s) + limit_s)
        if due_s != _NEVER:
            self.check_at(subscription, max(due_s, now.s + _SOONEST_S))

    def clear_check(self, subscription: SubscriptionState) -> None:
        """Remove the next check."""
        subscription.staleness.check_s = _NEVER

    def set_failed_check(self, subscription: SubscriptionState, now_s: float) -> None:
        """Check again in a while, because this check raised."""
        subscription.staleness.check_s = now_s + CHECK_S

    def drop(self, subscription: SubscriptionState) -> None:
        """Forget what belongs to the connection or session that has ended."""
        staleness = subscription.staleness
        staleness.check_s = _NEVER
        staleness.retries = 0
        staleness.quiet_at_probe_s = 0.0
        staleness.pause_from_s = None

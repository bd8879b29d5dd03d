"""When to check a quiet subscription, when to probe it, and when it is stale.

After 75 % of its staleness limit a quiet subscription is probed: its subscribe is repeated, and the gateway replies
with a snapshot even if the stream is active. The subscription is stale only if the probe is not answered.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

from cpapi_fast.events import FeedState
from cpapi_fast.feed.machine.actions import Moment
from cpapi_fast.feed.options import FeedOptions

from .interval_estimator import IntervalEstimator
from .subscription_state import SubscriptionSpec, SubscriptionState
from .timers import Timers

_NEVER: Final = float("inf")
#: A quiet subscription is probed after this fraction of its staleness limit.
_PROBE_PART: Final = 0.75
#: The longest interval between two checks of a frequent subscription, so that the estimate follows its ticks.
CHECK_S: Final = 15.0
#: The interval between two checks outside the trading hours of a subscription.
_CLOSED_CHECK_S: Final = 60.0
#: The shortest pause before a check.
_SOONEST_S: Final = 0.05
#: A frame that arrives this long after a probe shows that the socket works, and so that the reply is missing.
_REPLY_S: Final = 0.3
#: The pause before the next check while nothing at all arrives on the socket.
_SILENT_CHECK_S: Final = 0.25
#: The longest pause before a stale or refused subscription is resubscribed.
_RETRY_MAX_S: Final = 60.0
#: The first pause before a refused subscription is resubscribed; it doubles with each refusal.
_REFUSED_S: Final = 5.0


class CheckResult(enum.Enum):
    """The result of a check."""

    #: Nothing has to be done.
    OK = "ok"
    #: It was quiet for so long that it has to be probed.
    QUIET = "quiet"
    #: A repeated subscribe had no reply. This gateway may never reply to those, so it has to be resubscribed.
    UNANSWERED = "unanswered"
    #: The whole socket is silent, so that nothing shows whether it still works.
    SILENT = "silent"
    #: Its staleness limit has passed, and a subscribe was not answered.
    STALE = "stale"


class StalenessMonitor:
    """The limits of all subscriptions of one feed, and when each is checked.

    Args:
        options: limits.
        timers: receives the time of each check.
    """

    def __init__(self, options: FeedOptions, timers: Timers) -> None:
        #: When the last frame of any kind was received, on any socket of the feed.
        self.last_frame_s = 0.0
        self._options = options
        self._timers = timers

    # --- the interval -----------------------------------------------------------------------------

    def new_interval(self, spec: SubscriptionSpec) -> IntervalEstimator:
        """Return an interval estimator for a new subscription."""
        options = self._options
        return IntervalEstimator(
            options.stale_factor, options.stale_after_min_s, options.stale_after_max_s, spec.usual_interval_s
        )

    def replace_interval(self, subscription: SubscriptionState) -> None:
        """Use the interval that the user gave for an existing subscription."""
        subscription.staleness.interval = self.new_interval(subscription.spec)

    def learn(self, subscription: SubscriptionState, now_s: float) -> bool:
        """Learn from the ticks since the last check.

        Returns:
            False for an infrequent subscription, whose ticks are learned one by one in `on_tick`.
        """
        staleness = subscription.staleness
        if staleness.interval.is_infrequent:
            return False
        ticks = subscription.ticks
        if ticks > staleness.counted_ticks:
            staleness.interval.learn(ticks - staleness.counted_ticks, now_s - staleness.counted_s)
            staleness.counted_ticks, staleness.counted_s = ticks, now_s
        return True

    def on_tick(self, subscription: SubscriptionState, now_s: float, *, is_infrequent: bool) -> None:
        """Learn from one inspected tick of a streaming subscription."""
        staleness = subscription.staleness
        if staleness.pause_from_s is not None:
            staleness.interval.raise_limit(now_s - staleness.pause_from_s, _PROBE_PART)
            staleness.pause_from_s = None
        if is_infrequent:
            staleness.interval.learn(1, now_s - staleness.counted_s)
            self.count_from(subscription, now_s)

    def count_from(self, subscription: SubscriptionState, now_s: float) -> None:
        """Start to count ticks for the estimate now; earlier ones are not learned."""
        subscription.staleness.counted_ticks = subscription.ticks
        subscription.staleness.counted_s = now_s

    # --- quiet time -------------------------------------------------------------------------------

    def start_quiet_time(self, subscription: SubscriptionState, now_s: float) -> None:
        """Count the quiet time from now."""
        subscription.staleness.quiet_from_s = now_s

    def on_streaming(self, subscription: SubscriptionState, now_s: float) -> None:
        """Reset the pause between resubscribes, because the subscription streams again."""
        subscription.staleness.retries = 0
        self.count_from(subscription, now_s)

    def on_reply(self, subscription: SubscriptionState, now_s: float) -> None:
        """Learn that the pause before a probe was harmless, because a frame was received after the probe."""
        staleness, waiting_since_s = subscription.staleness, subscription.request.unanswered_s
        if staleness.quiet_at_probe_s > 0.0 and waiting_since_s is not None:
            pause_s = staleness.quiet_at_probe_s + now_s - waiting_since_s
            staleness.interval.learn_pause(pause_s)
            staleness.pause_from_s = now_s - pause_s
        staleness.quiet_at_probe_s = 0.0

    def on_standstill(self, subscription: SubscriptionState) -> None:
        """Do not learn from a pause in which nothing could arrive."""
        subscription.staleness.quiet_at_probe_s = 0.0
        subscription.staleness.pause_from_s = None

    def on_stopped(self, subscription: SubscriptionState) -> None:
        """Forget the pauses that were learned as harmless, because the stream had stopped."""
        self.on_standstill(subscription)
        if subscription.revival.usual_s is not None:
            subscription.staleness.interval.forget_pauses(subscription.revival.usual_s)

    def check(self, subscription: SubscriptionState, now: Moment) -> CheckResult:
        """Check a subscription that was sent and is not stale."""
        spec, staleness, request = subscription.spec, subscription.staleness, subscription.request
        interval = staleness.interval
        if request.unanswered_s is not None and now.s >= self._reply_due_s(subscription, now.s):
            is_silent = self.last_frame_s < request.unanswered_s + _REPLY_S
            if is_silent and subscription.state is FeedState.STREAMING:
                # A silent socket has a time limit of its own. Nothing may be missing.
                return CheckResult.SILENT
            is_unknown = interval.usual_s is None or interval.limit_s > self._options.stale_after_max_s
            return CheckResult.UNANSWERED if request.is_repeat and is_unknown else CheckResult.STALE
        if spec.hours is not None and not spec.hours.is_open(now.day_ns):
            staleness.quiet_from_s = now.s
        elif request.unanswered_s is None and request.queued is None:
            quiet_s = subscription.quiet_s(now.s)
            if quiet_s >= _PROBE_PART * interval.limit_s:
                staleness.quiet_at_probe_s = quiet_s
                if spec.is_market_data:
                    return CheckResult.QUIET
                if quiet_s >= interval.limit_s:
                    # Not probed: the gateway does not reply to a repeated subscribe of these topics.
                    is_silent = self.last_frame_s < now.s - quiet_s + _REPLY_S
                    return CheckResult.SILENT if is_silent else CheckResult.STALE
        return CheckResult.OK

    def _reply_due_s(self, subscription: SubscriptionState, now_s: float) -> float:
        """When the subscription becomes stale if there is no reply."""
        waiting_since_s = subscription.request.unanswered_s
        if waiting_since_s is None:
            waiting_since_s = now_s
        staleness, options = subscription.staleness, self._options
        interval = staleness.interval
        limit_s = interval.limit_s
        if subscription.state is FeedState.OPEN or interval.usual_s is None or limit_s > options.stale_after_max_s:
            return waiting_since_s + options.answer_timeout_s
        # A frequent subscription has to tick within its limit even without a reply.
        quiet_from_s = max(subscription.activity.last_s, staleness.quiet_from_s)
        return max(quiet_from_s + limit_s, waiting_since_s + (1.0 - _PROBE_PART) * limit_s)

    # --- the next check ---------------------------------------------------------------------------

    def check_at(self, subscription: SubscriptionState, due_s: float) -> None:
        """Schedule the next check for this time."""
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
        """Schedule the next check for the earliest time at which something can be due."""
        spec, staleness = subscription.spec, subscription.staleness
        interval = staleness.interval
        if subscription.state is FeedState.STALE:
            return  # `retry_later` has scheduled it.
        if not spec.is_market_data and interval.usual_s is None:
            return
        due_s = _NEVER if interval.is_infrequent else now.s + CHECK_S
        if subscription.request.unanswered_s is not None:
            reply_due_s = self._reply_due_s(subscription, now.s)
            due_s = min(due_s, reply_due_s if reply_due_s > now.s else now.s + _SILENT_CHECK_S)
        elif spec.hours is not None and not spec.hours.is_open(now.day_ns):
            due_s = min(due_s, now.s + _CLOSED_CHECK_S)
        else:
            limit_s = _PROBE_PART * interval.limit_s if spec.is_market_data else interval.limit_s
            if limit_s < self._options.renewal_ages_s[0] or not spec.is_market_data:
                due_s = min(due_s, max(staleness.quiet_from_s, subscription.activity.last_s) + limit_s)
                if due_s <= now.s and not spec.is_market_data:
                    due_s = now.s + _SILENT_CHECK_S
        if due_s != _NEVER:
            self.check_at(subscription, max(due_s, now.s + _SOONEST_S))

    def clear_check(self, subscription: SubscriptionState) -> None:
        """Remove the next check."""
        subscription.staleness.check_s = _NEVER

    def set_failed_check(self, subscription: SubscriptionState, now_s: float) -> None:
        """Schedule the next check after one that raised."""
        subscription.staleness.check_s = now_s + CHECK_S

    def drop(self, subscription: SubscriptionState) -> None:
        """Reset what belongs to the connection or session that has ended."""
        staleness = subscription.staleness
        staleness.check_s = _NEVER
        staleness.retries = 0
        staleness.quiet_at_probe_s = 0.0
        staleness.pause_from_s = None


def is_all_stale(subscriptions: Iterable[SubscriptionState], now_s: float, recent_s: float) -> bool:
    """Whether all market data is stale (and there is some), and no other topic had a frame in the last `recent_s`."""
    is_any = False
    for subscription in subscriptions:
        if subscription.spec.is_market_data:
            if subscription.state is not FeedState.STALE:
                return False
            is_any = True
        elif subscription.request.is_sent and now_s - subscription.activity.last_s < recent_s:
            # Another topic such as P&L still streams, so the connection is not the reason.
            return False
    return is_any

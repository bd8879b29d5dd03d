"""The subscriptions of one feed: which exist, the state of each, and what follows from each frame and timer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from cpapi_fast.errors import LimitError
from cpapi_fast.events import Cause, FeedState, StateChange
from cpapi_fast.feed.machine.actions import Action, Activity, Emit, FrameHeader, Moment, Unwatch, Watch
from cpapi_fast.feed.machine.advice import ADVICE
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.topics import TIC_TEXT

from . import revival
from .gaps import Gaps
from .revival import RevivalResult
from .send_queue import Purpose, QueuedRequest, SendQueue
from .staleness import CHECK_S, CheckResult, StalenessMonitor, is_all_stale
from .subscription_requests import SubscriptionRequests
from .subscription_state import SubscriptionSpec, SubscriptionState
from .timers import Timers

_NEVER: Final = float("inf")
#: The shortest time between two `tic` on a silent socket.
_SILENT_TIC_S: Final = 5.0


class SubscriptionManager:
    """Adds, subscribes, checks and removes the subscriptions of one feed.

    Args:
        options: pauses and limits.
        random: the source of the jitter of renewals.
        act: receives each action, in order.
    """

    def __init__(self, options: FeedOptions, random: Random, act: Callable[[Action], None]) -> None:
        self.subscriptions: Final[dict[str, SubscriptionState]] = {}
        self._options = options
        self._act = act
        self._gaps = Gaps(act)
        self._timers = Timers()
        self.send_queue: Final = SendQueue(options.send_bytes_per_s, options.send_burst_bytes)
        self._staleness = StalenessMonitor(options, self._timers)
        self._tic_s = float("-inf")
        self.requests: Final = SubscriptionRequests(options, random, act, self.send_queue, self._timers, self._gaps)
        #: Without a socket no subscribe may be sent; without a brokerage session, only those that need none.
        self._has_socket = False
        self._has_brokerage = False
        #: Quiet subscriptions are not checked while the socket is not read, nor before the end of the grace period.
        self._is_paused = False
        self._grace_until_s = 0.0

    # --- the user ---------------------------------------------------------------------------------

    def add(self, spec: SubscriptionSpec, now: Moment) -> None:
        """Subscribe as soon as the connection allows it; an existing subscription gets the new text.

        Raises:
            LimitError: all market data lines of the account are in use.
        """
        subscription = self.subscriptions.get(spec.topic)
        if subscription is not None:
            subscription.spec = spec
            if spec.usual_interval_s is not None:
                self._staleness.replace_interval(subscription)
            if subscription.request.is_sent:
                self.requests.queue(subscription, Purpose.RENEW, now.s)
        else:
            if spec.is_market_data:
                self._check_limit()
            subscription = SubscriptionState(spec, self._staleness.new_interval(spec))
            self.subscriptions[spec.topic] = subscription
            self._subscribe(subscription, now)
        self._send_due(now)

    def _check_limit(self) -> None:
        in_use = sum(subscription.spec.is_market_data for subscription in self.subscriptions.values())
        if in_use >= self._options.market_data_lines:
            raise LimitError(
                "market data lines",
                most=self._options.market_data_lines,
                in_use=in_use,
                advice="Subscribe to fewer, or raise market_data_lines if the account has more.",
            )

    def remove(self, topic: str, now: Moment) -> None:
        """Unsubscribe, and report an open gap without an end."""
        subscription = self.subscriptions.pop(topic, None)
        if subscription is None:
            return
        self._staleness.clear_check(subscription)
        self._gaps.close(subscription, None)
        self.requests.queue_unsubscribe(subscription, now.s)
        self._send_due(now)

    # --- the connection ---------------------------------------------------------------------------

    def subscribe_all(self, now: Moment, *, has_brokerage: bool) -> None:
        """Subscribe to everything; without a brokerage session, only to what does not need one."""
        self._has_socket = True
        self._has_brokerage = has_brokerage
        for subscription in self.subscriptions.values():
            self._subscribe(subscription, now)
        self._send_due(now)

    def drop_all(self, cause: Cause, *, brokerage_only: bool = False) -> None:
        """Drop all subscriptions, or those that need the brokerage session. The cause STOPPED closes their gaps."""
        if cause is Cause.STOPPED:
            for subscription in self.subscriptions.values():
                self._gaps.close(subscription, None)
        self._has_brokerage = False
        if not brokerage_only:
            self._has_socket = self._is_paused = False
            self.send_queue.clear()
        for subscription in self.subscriptions.values():
            if brokerage_only and not subscription.spec.needs_brokerage:
                continue
            self._drop(subscription, cause)
            self._timers.set(subscription)
            if subscription.open_gap is not None:
                self._watch(subscription)

    def send_text(self, text: str, now: Moment) -> None:
        """Send a text that belongs to no subscription."""
        self.send_queue.put(QueuedRequest(text, None, now.s, text))
        self._send_due(now)

    def resubscribe_unanswered(self, now: Moment) -> None:
        """Resubscribe what has no frame yet, because the gateway may have lost earlier subscribes."""
        for subscription in self.subscriptions.values():
            if subscription.request.is_sent and subscription.state is not FeedState.STREAMING:
                self._gaps.open_after_last_frame(subscription, Cause.READY_TIMEOUT)
                self.requests.queue(subscription, Purpose.RESUBSCRIBE, now.s)
        self._send_due(now)

    # --- received frames --------------------------------------------------------------------------

    def observe(self, activity: Mapping[str, Activity], last_frame_s: float) -> None:
        """Store the counts of the received frames of some topics, and the time of the last frame of any kind."""
        subscriptions = self.subscriptions
        self._staleness.last_frame_s = last_frame_s
        for topic, current in activity.items():
            subscription = subscriptions.get(topic)
            if subscription is not None:
                subscription.activity = current

    def on_frame(self, topic: str, now: Moment, header: FrameHeader) -> bool:
        """Handle a frame of a watched topic. Returns whether it is data of a current subscription."""
        subscription = self.subscriptions.get(topic)
        if subscription is None:
            return False
        request, staleness = subscription.request, self._staleness
        received_ns, late_ns, is_snapshot, stream_id, is_newer = header
        if not request.is_sent:
            # The gateway sent it before the subscription was dropped: the gap begins after it.
            self._gaps.move_start(subscription, received_ns - late_ns)
            return False
        if revival.proves_nothing(subscription, stream_id, is_snapshot=is_snapshot, is_newer=is_newer):
            self.requests.on_data(subscription, subscription.last_good_ns, now.s, is_snapshot=True)
            self.requests.on_reply(subscription)
            return False
        before = (request.frame_ns_before_repeat, request.frame_s_before_repeat, request.stream_id)
        was_first, was_infrequent = not subscription.has_data, subscription.staleness.interval.is_infrequent
        subscription.has_data = True
        if stream_id is not None and self.requests.on_stream_id(
            subscription, stream_id, now.s, is_snapshot=is_snapshot
        ):
            self._report(subscription, FeedState.STALE, subscription.state, Cause.SUBSCRIPTION_SILENT, now)
        is_reply = self.requests.on_data(
            subscription, received_ns - late_ns, now.s - late_ns / 1e9, is_snapshot=is_snapshot
        )
        result = self.requests.evaluate(subscription, header, before, now.s, is_reply=is_reply)
        if result is not RevivalResult.QUIET:
            # The gateway had answered for a stream that had stopped.
            staleness.on_stopped(subscription)
            if result is RevivalResult.FROZEN:
                self._go_stale(subscription, now)
                return False
            revival.reset(subscription)
            if not subscription.is_stale_reported:
                self._report(subscription, FeedState.STALE, subscription.state, Cause.SUBSCRIPTION_SILENT, now)
        if not is_reply and subscription.state is FeedState.STREAMING:
            staleness.on_tick(subscription, now.s, is_infrequent=was_infrequent)
        if request.unanswered_s is not None:
            staleness.on_reply(subscription, now.s)
            self.requests.on_reply(subscription)
        self._gaps.close(subscription, received_ns, now_s=now.s, is_newer=is_newer)
        if subscription.is_stale_reported:
            self._report(subscription, FeedState.STREAMING, FeedState.STALE, Cause.DATA, now)
        if subscription.state is not FeedState.STREAMING:
            subscription.state = FeedState.STREAMING
            staleness.on_streaming(subscription, now.s)
            staleness.plan(subscription, now)
        elif was_first or was_infrequent:
            staleness.plan(subscription, now)
        if request.snapshots_due == 0:
            self._unwatch_unless_needed(subscription)
        return True

    def on_refused(self, topic: str, now: Moment) -> bool:
        """Schedule another subscribe after a refusal. Returns whether this feed had subscribed to the topic."""
        subscription = self.subscriptions.get(topic)
        if subscription is None or not subscription.request.is_sent:
            return False
        previous = subscription.state
        self._drop(subscription, Cause.SUBSCRIPTION_REFUSED)
        self._watch(subscription)
        refusals = self.requests.on_refused(subscription)
        subscription.state = FeedState.STALE
        if not subscription.is_stale_reported:
            self._report(subscription, FeedState.STALE, previous, Cause.SUBSCRIPTION_REFUSED, now)
        self._staleness.retry_refused(subscription, refusals, now.s)
        return True

    # --- time -------------------------------------------------------------------------------------

    @property
    def due_s(self) -> float:
        """When `tick` is due."""
        send_s = self.send_queue.due_s if self._has_socket else None
        timer_s = self._timers.due_s
        return timer_s if send_s is None or timer_s < send_s else send_s

    def topics_due(self, now_s: float) -> list[str]:
        """The topics whose counts `observe` needs before a tick at this time."""
        topics = self._timers.topics_due(now_s)
        if self._has_socket:
            topics += self.send_queue.topics_due(now_s)
        # After a pause of the reading all topics are due together.
        due = frozenset(topics)
        for subscription in self.subscriptions.values():
            is_stale = subscription.state is FeedState.STALE or not subscription.spec.is_market_data
            if not is_stale and subscription.topic not in due:
                return topics
        # `is_all_stale` may depend on the topics that are not market data.
        return topics + [other.topic for other in self.subscriptions.values() if not other.spec.is_market_data]

    def tick(self, now: Moment) -> None:
        """Do what is due."""
        timers, now_s = self._timers, now.s
        if timers.due_s <= now_s:
            while (subscription := timers.take(now_s)) is not None:
                self._on_timer(subscription, now)
            timers.shrink(self.subscriptions)
        self._send_due(now)

    def is_all_stale(self, now_s: float) -> bool:
        """Whether every market data subscription is stale (and one exists), and no other topic had a recent frame."""
        return is_all_stale(self.subscriptions.values(), now_s, self._options.stale_after_max_s)

    def pause(self) -> None:
        """Check no quiet subscription until `resume`, because the socket is not read."""
        self._is_paused = True

    def resume(self, now_s: float) -> None:
        """Count the quiet time of every subscription from now, because the socket is read again. Idempotent."""
        if self._is_paused:
            self._is_paused = False
            for subscription in self.subscriptions.values():
                self.requests.wait_from(subscription, now_s)
                self._staleness.check_after_pause(subscription, now_s)

    def set_grace(self, until_s: float) -> None:
        """Check no quiet subscription before `until_s`, because frames may wait unread in the socket."""
        self._grace_until_s = until_s

    def on_standstill(self, now_s: float, suspended_s: float) -> None:
        """Learn nothing from the pause, wait for replies from now, and renew earlier what aged during a suspend."""
        for subscription in self.subscriptions.values():
            self._staleness.on_standstill(subscription)
            self.requests.wait_from(subscription, now_s)
            if suspended_s:
                self.requests.renew_earlier(subscription, suspended_s)

    def _on_timer(self, subscription: SubscriptionState, now: Moment) -> None:
        try:
            if subscription.request.renew_s <= now.s:
                self.requests.queue_renewal(subscription, now.s)
            if subscription.staleness.check_s <= now.s:
                self._staleness.clear_check(subscription)
                self._check(subscription, now)
        except BaseException:
            # A user's own class of trading hours may raise. The next check must be scheduled all the same.
            self._staleness.set_failed_check(subscription, now.s)
            raise
        finally:
            self._timers.set(subscription)

    def _check(self, subscription: SubscriptionState, now: Moment) -> None:
        staleness = self._staleness
        if subscription.state is FeedState.STALE:
            self._retry(subscription, now)
            return
        if not subscription.request.is_sent:
            return
        if self._is_paused or now.s < self._grace_until_s:
            staleness.check_at(subscription, now.s + CHECK_S if self._is_paused else self._grace_until_s)
            return
        if staleness.learn(subscription, now.s):
            if subscription.staleness.interval.is_infrequent:
                self._watch(subscription)
            else:
                self._unwatch_unless_needed(subscription)
        result = staleness.check(subscription, now)
        if result is CheckResult.UNANSWERED:
            self.requests.queue_resubscribe_after_probe(subscription, now.s)
        elif result is CheckResult.STALE:
            self._go_stale(subscription, now)
        else:
            if result is CheckResult.QUIET:
                self.requests.queue_probe(subscription, now.s)
            elif result is CheckResult.SILENT and now.s - self._tic_s >= _SILENT_TIC_S:
                # Its reply shows that the socket works, sooner than the next heartbeat.
                self._tic_s = now.s
                self.send_text(TIC_TEXT, now)
            staleness.plan(subscription, now)

    # --- one subscription -------------------------------------------------------------------------

    def _subscribe(self, subscription: SubscriptionState, now: Moment) -> None:
        if self._has_brokerage or (self._has_socket and not subscription.spec.needs_brokerage):
            self.requests.queue_subscribe(subscription, now)

    def _send_due(self, now: Moment) -> None:
        while self._has_socket and (item := self.send_queue.take(now.s)) is not None:
            if item.purpose is None:
                self.requests.send_text(item.text, now.s)
            else:
                self._send(self.subscriptions[item.key], item.purpose, now)

    def _send(self, subscription: SubscriptionState, purpose: Purpose, now: Moment) -> None:
        self._watch(subscription)
        self.requests.send(subscription, purpose, now)
        if purpose is Purpose.SUBSCRIBE:
            self._staleness.start_quiet_time(subscription, now.s)
            was_stale = subscription.state is FeedState.STALE
            subscription.state = FeedState.OPEN
            if was_stale and not subscription.spec.is_market_data:
                # Such topics get no reply; a renewed refusal is the only sign of failure.
                self._staleness.clear_check(subscription)
                self._report(subscription, FeedState.OPEN, FeedState.STALE, Cause.RETRY, now)
        self._staleness.plan(subscription, now)

    def _drop(self, subscription: SubscriptionState, cause: Cause) -> None:
        self._gaps.open_after_last_frame(subscription, cause, no_stream_from_s=subscription.activity.data_s)
        self.requests.drop(subscription)
        self._staleness.drop(subscription)
        revival.reset(subscription)
        subscription.state = FeedState.DISCONNECTED

    def _go_stale(self, subscription: SubscriptionState, now: Moment) -> None:
        previous = subscription.state
        self.requests.on_stale(subscription)
        self._gaps.open_after_last_frame(subscription, Cause.SUBSCRIPTION_SILENT)
        subscription.state = FeedState.STALE
        if not subscription.is_stale_reported:
            self._report(subscription, FeedState.STALE, previous, Cause.SUBSCRIPTION_SILENT, now)
        self._retry(subscription, now)

    def _retry(self, subscription: SubscriptionState, now: Moment) -> None:
        self._watch(subscription)
        if subscription.request.is_sent:
            self.requests.queue(subscription, Purpose.RESUBSCRIBE, now.s)
        else:
            self._subscribe(subscription, now)
        self._staleness.retry_later(subscription, now.s)

    def _watch(self, subscription: SubscriptionState) -> None:
        if not subscription.is_watched:
            subscription.is_watched = True
            self._act(Watch(subscription.topic))

    def _unwatch_unless_needed(self, subscription: SubscriptionState) -> None:
        is_needed = (
            subscription.open_gap is not None
            or subscription.request.unanswered_s is not None
            or subscription.staleness.pause_from_s is not None
            or subscription.revival.soon_s > 0.0
            or subscription.staleness.interval.is_infrequent
            or not subscription.has_data
        )
        if not is_needed and subscription.is_watched:
            subscription.is_watched = False
            self.requests.on_unwatched(subscription)
            self._act(Unwatch(subscription.topic))

    def _report(
        self, subscription: SubscriptionState, state: FeedState, previous: FeedState, cause: Cause, now: Moment
    ) -> None:
        subscription.is_stale_reported = state is FeedState.STALE
        self._act(Emit(StateChange(now.ns, state, previous, cause, ADVICE[cause], subscription.topic)))

"""Sends the subscribes of all kinds (first, renewal, probe, resubscribe), and evaluates the replies."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Action, FrameHeader, Moment, Send
from cpapi_fast.feed.options import FeedOptions

from . import revival
from .gaps import Gaps
from .resubscribe_behaviour import ResubscribeBehaviour
from .revival import RevivalResult
from .send_queue import Lane, Purpose, QueuedRequest, SendQueue
from .subscription_state import SubscriptionState
from .timers import Timers

_NEVER: Final = float("inf")
#: In how many frames the gateway sends the snapshot that replies to a market data subscribe.
_SNAPSHOTS: Final = 2
#: A stream that had a frame within this time, or within two usual intervals, counts as active.
_ACTIVE_S: Final = 1.0


class SubscriptionRequests:
    """The requests of all subscriptions of one feed.

    Args:
        options: pauses and limits.
        random: the source of the jitter of renewals.
        act: receives each action, in order.
        queue: receives the requests to send.
        timers: receives the time of each renewal.
        gaps: opens a gap when a reply shows that frames may be missing.
    """

    def __init__(
        self,
        options: FeedOptions,
        random: Random,
        act: Callable[[Action], None],
        queue: SendQueue,
        timers: Timers,
        gaps: Gaps,
    ) -> None:
        #: How many texts were sent to renew, to probe and to resubscribe.
        self.renewals = 0
        self.probes = 0
        self.resubscribes = 0
        self._options = options
        self._random = random
        self._act = act
        self._queue = queue
        self._timers = timers
        self._gaps = gaps
        self._behaviour = ResubscribeBehaviour()

    # --- queue ------------------------------------------------------------------------------------

    def queue(self, subscription: SubscriptionState, purpose: Purpose, now_s: float) -> None:
        """Queue a request for a subscription, unless one is queued already."""
        if subscription.request.queued is None:
            subscription.request.queued = QueuedRequest(subscription.topic, purpose, now_s)
            self._queue.put(subscription.request.queued)

    def queue_subscribe(self, subscription: SubscriptionState, now: Moment) -> None:
        """Queue the first subscribe on this connection, unless it was sent or is queued already."""
        request = subscription.request
        if not request.is_sent and request.queued is None:
            if not request.first_sent_ns:
                # The time before the text is sent, so that the first gap cannot begin too late.
                request.first_sent_ns = now.ns
            cancelled = self._queue.take_unsubscribe(subscription.topic)
            if cancelled is not None:
                request.unsubscribe_before = cancelled.text
            self.queue(subscription, Purpose.SUBSCRIBE, now.s)

    def queue_renewal(self, subscription: SubscriptionState, now_s: float) -> None:
        """Queue the renewal that is due: a revival if an infrequent subscription has had no tick for long."""
        subscription.request.renew_s = _NEVER
        if subscription.request.is_sent:
            is_infrequent = subscription.staleness.interval.is_infrequent
            is_revival = is_infrequent and self._behaviour.replies and revival.is_due(subscription, now_s)
            self.queue(subscription, Purpose.REVIVE if is_revival else Purpose.RENEW, now_s)
            if subscription.request.queued is not None:
                # An earlier request for it renews it too, if it is sent in time.
                self._queue.hasten(subscription.request.queued)

    def renew_earlier(self, subscription: SubscriptionState, by_s: float) -> None:
        """Renew earlier, because the gateway's clock ran while this machine's did not."""
        if subscription.request.renew_s != _NEVER:
            subscription.request.renew_s -= by_s
            self._timers.set(subscription)

    def queue_probe(self, subscription: SubscriptionState, now_s: float) -> None:
        """Queue a probe: a revival if earlier replies proved nothing, a resubscribe if the gateway sends no replies."""
        purpose = Purpose.PROBE if self._behaviour.replies else Purpose.RESUBSCRIBE
        if self._behaviour.replies and revival.is_due(subscription, now_s):
            purpose = Purpose.REVIVE
        self.queue(subscription, purpose, now_s)

    def queue_resubscribe_after_probe(self, subscription: SubscriptionState, now_s: float) -> None:
        """Queue a resubscribe after an unanswered repeated subscribe, which some gateways never answer."""
        subscription.request.has_unanswered_repeat = True
        self.queue(subscription, Purpose.RESUBSCRIBE, now_s)

    def queue_unsubscribe(self, subscription: SubscriptionState, now_s: float) -> None:
        """Queue the unsubscribe of a subscription that the user has ended, if its stream is open at the gateway.

        A subscribe that was not sent yet is discarded, so both together cost nothing.
        """
        request = subscription.request
        request.renew_s = _NEVER
        text = subscription.spec.cancel_payload if request.is_sent else request.unsubscribe_before
        self._discard(subscription)
        if text:
            self._queue.put(QueuedRequest(subscription.topic, None, now_s, text), Lane.UNSUBSCRIBE)

    def _discard(self, subscription: SubscriptionState) -> None:
        request = subscription.request
        if request.queued is not None:
            self._queue.discard(request.queued)
            request.queued = None

    # --- texts ------------------------------------------------------------------------------------

    def send(self, subscription: SubscriptionState, purpose: Purpose, now: Moment) -> None:
        """Send the text of an entry that was taken from the queue."""
        spec, request, activity = subscription.spec, subscription.request, subscription.activity
        request.queued = None
        frequent_s = subscription.staleness.interval.frequent_s
        is_active = subscription.quiet_s(now.s) < max(2.0 * frequent_s, _ACTIVE_S)
        is_repeat = self._count(subscription, purpose, is_active=is_active)
        if request.unsubscribe_before:
            self.send_text(request.unsubscribe_before, now.s)
            request.unsubscribe_before = ""
        if purpose is not Purpose.SUBSCRIBE and not is_repeat:
            request.is_revival, request.stream_id_before_revival = True, request.stream_id
            is_doubtful = bool(frequent_s) or (request.has_unanswered_repeat and self._behaviour.has_replied)
            is_to_be_safe = is_doubtful and purpose is not Purpose.REVIVE and not subscription.revival.is_frozen
            if is_to_be_safe and subscription.state is FeedState.STREAMING and not is_active:
                # The reply cannot show whether the stream had ended before, so a gap is reported to be safe.
                self._gaps.open(subscription, subscription.last_good_ns, Cause.SUBSCRIPTION_SILENT)
            self.send_text(spec.cancel_payload, now.s)
        self.send_text(spec.payload, now.s)
        request.is_sent = True
        request.sent_s = now.s
        if spec.is_market_data:
            request.snapshots_due = _SNAPSHOTS
            request.is_repeat = request.awaits_snapshot = is_repeat
            request.stream_id_before_repeat = request.stream_id if is_repeat else None
            request.frame_ns_before_repeat = activity.data_ns or request.first_sent_ns
            request.frame_s_before_repeat = activity.data_s
            request.ticked_before_repeat = is_active
            if request.unanswered_s is None or not is_repeat:
                request.unanswered_s = now.s
            request.renew_s = now.s + self._random.uniform(*self._options.renewal_ages_s)
            self._timers.set(subscription)

    def send_text(self, text: str, now_s: float) -> None:
        """Send a text, at the cost of the queue's rate."""
        self._queue.spend(text, now_s)
        self._act(Send(text))

    def _count(self, subscription: SubscriptionState, purpose: Purpose, *, is_active: bool) -> bool:
        """Count a text by its purpose. Returns whether it repeats the subscribe without an unsubscribe."""
        if purpose is Purpose.PROBE:
            self.probes += 1
            return True
        if purpose is Purpose.RENEW:
            subscription.request.renewals += 1
            self.renewals += 1
            # The ticks of a frequent subscription serve as the reply.
            return self._behaviour.replies or (subscription.staleness.interval.frequent_s > 0.0 and is_active)
        if purpose in (Purpose.RESUBSCRIBE, Purpose.REVIVE):
            self.resubscribes += 1
        return False

    # --- replies ----------------------------------------------------------------------------------

    def on_stream_id(self, subscription: SubscriptionState, stream_id: str, now_s: float, *, is_snapshot: bool) -> bool:
        """Compare the stream of a frame with the stream before the subscribe was repeated.

        Returns:
            Whether the stream had certainly ended before the subscribe was repeated.
        """
        request = subscription.request
        id_before, request.stream_id = request.stream_id_before_repeat, stream_id
        if id_before is None or (id_before == stream_id and not is_snapshot):
            return False
        request.stream_id_before_repeat = None
        is_trial, request.is_trial = request.is_trial, False
        changes_ids = self._behaviour.changes_ids
        if id_before == stream_id:
            is_certain = is_trial or request.ticked_before_repeat
            self._behaviour.note_same_stream(is_certain=is_certain, has_reply=request.awaits_snapshot)
            return False
        self._behaviour.note_new_stream(is_trial=is_trial)
        if is_trial or subscription.open_gap is not None:
            return False
        if changes_ids:
            # The id does not show whether the old stream had ended, so a gap is reported to be safe.
            if subscription.staleness.interval.frequent_s and not request.ticked_before_repeat:
                self._gaps.open(subscription, request.frame_ns_before_repeat, Cause.SUBSCRIPTION_SILENT)
            return False
        self._gaps.open(
            subscription,
            request.frame_ns_before_repeat,
            Cause.SUBSCRIPTION_SILENT,
            no_stream_from_s=request.frame_s_before_repeat if changes_ids is False else None,
        )
        if self._behaviour.may_start_trial(now_s):
            request.is_trial = True
            self.queue(subscription, Purpose.PROBE, now_s)
        return changes_ids is False

    def on_data(self, subscription: SubscriptionState, data_ns: int, data_s: float, *, is_snapshot: bool) -> bool:
        """Record a frame of the subscription, with the time of its data on both clocks.

        Returns:
            Whether it is a snapshot that replies to a subscribe.
        """
        request = subscription.request
        request.refusals = 0
        request.frame_ns_before_repeat, request.frame_s_before_repeat = data_ns, data_s
        if not is_snapshot:
            return False
        request.awaits_snapshot = False
        if request.snapshots_due <= 0:
            return False
        request.snapshots_due -= 1
        request.snapshots += 1
        return True

    def evaluate(
        self,
        subscription: SubscriptionState,
        header: FrameHeader,
        before: tuple[int, float, str | None],
        now_s: float,
        *,
        is_reply: bool,
    ) -> RevivalResult:
        """Evaluate whether a frame proves that the stream runs, or that it had stopped; open a gap if it may have.

        Args:
            subscription: the subscription.
            header: of the frame.
            before: of the frame before: when its data was new, when it was received, and the id of its stream.
            now_s: the time of the feed's clock.
            is_reply: whether it is a snapshot that replies to a subscribe.
        """
        request = subscription.request
        last_ns, last_s, last_id = before
        result = RevivalResult.QUIET
        if not is_reply:
            stopped_ns = revival.on_tick(subscription, now_s)
            if stopped_ns is not None:
                self._gaps.open(subscription, stopped_ns, Cause.SUBSCRIPTION_SILENT)
        elif request.unanswered_s is None:
            revival.on_snapshot(subscription)
        elif request.is_revival:
            from_ns, from_s = subscription.revival.from_ns, subscription.revival.from_s
            result = revival.on_reply(
                subscription, header.stream_id, now_s, is_snapshot=header.is_snapshot, is_newer=header.is_newer
            )
            if result is RevivalResult.STOPPED:
                self._gaps.open(subscription, from_ns, Cause.SUBSCRIPTION_SILENT, no_stream_from_s=from_s)
        elif subscription.state is FeedState.STREAMING and (
            header.is_newer is False or not request.ticked_before_repeat
        ):
            revival.on_probe_reply(
                subscription,
                last_ns=last_ns,
                last_s=last_s,
                is_newer=header.is_newer,
                is_same_stream=header.stream_id in (None, last_id),
            )
        return result

    def on_reply(self, subscription: SubscriptionState) -> None:
        """Record that the outstanding reply has arrived."""
        request = subscription.request
        if request.has_unanswered_repeat:
            self._behaviour.note_unanswered()
        request.has_unanswered_repeat = request.is_repeat = request.is_revival = False
        request.unanswered_s = None

    def on_unwatched(self, subscription: SubscriptionState) -> None:
        """Conclude from the frames inspected so far, because further ones are only counted."""
        request = subscription.request
        request.snapshots_due = 0
        if request.awaits_snapshot:
            # The stream ticks, but sent no snapshot.
            request.awaits_snapshot = False
            self._behaviour.note_unanswered()
        if request.stream_id_before_repeat is not None:
            # Every inspected frame had the same id as before.
            request.stream_id_before_repeat = None
            is_certain = request.is_trial or request.ticked_before_repeat
            self._behaviour.note_same_stream(is_certain=is_certain, has_reply=False)
            request.is_trial = False

    def on_stale(self, subscription: SubscriptionState) -> None:
        """Record that the reply did not arrive."""
        request = subscription.request
        request.has_unanswered_repeat = request.is_repeat
        request.is_revival = False
        request.stream_id_before_repeat = None

    def on_refused(self, subscription: SubscriptionState) -> int:
        """Count a refusal. Returns how many refusals preceded it."""
        refusals = subscription.request.refusals
        subscription.request.refusals += 1
        return refusals

    def wait_from(self, subscription: SubscriptionState, now_s: float) -> None:
        """Restart the time limit of an outstanding reply."""
        if subscription.request.unanswered_s is not None:
            subscription.request.unanswered_s = now_s

    def drop(self, subscription: SubscriptionState) -> None:
        """Reset what belongs to the connection or session that has ended."""
        request = subscription.request
        self._discard(subscription)
        request.is_sent = False
        request.unsubscribe_before = ""
        request.unanswered_s = None
        request.snapshots_due = 0
        request.renew_s = _NEVER
        request.is_repeat = request.has_unanswered_repeat = request.awaits_snapshot = request.is_revival = False
        request.stream_id_before_repeat = None
        request.is_trial = False
        request.stream_id = None

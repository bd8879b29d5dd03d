"""The state of one subscription, in four parts. Each part is changed by one module only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Activity
from cpapi_fast.protocol.hours import TradingHours
from cpapi_fast.redaction import repr_without_accounts

from .interval_estimator import IntervalEstimator
from .send_queue import QueuedRequest

_NEVER: Final = float("inf")
_NO_ACTIVITY: Final = Activity(0, 0, 0.0)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """The parameters of a subscription.

    Attributes:
        topic: the topic of its frames, which identifies it: `smd+265598`, `sor`.
        payload: the text that subscribes.
        cancel_payload: the text that unsubscribes.
        needs_brokerage: whether it requires an open brokerage session.
        is_market_data: whether the gateway replies to it with a snapshot, and ends it after its lifetime.
        usual_interval_s: the usual interval between its ticks, if the user gave it; None estimates the interval.
        hours: its trading hours, if the user gave them.
    """

    topic: str
    payload: str
    cancel_payload: str
    needs_brokerage: bool = True
    is_market_data: bool = False
    usual_interval_s: float | None = None
    hours: TradingHours | None = None


@repr_without_accounts
@dataclass(slots=True)
class OpenGap:
    """A gap without an end: frames are missing after `last_good_ns`, until the next frame of the subscription.

    `is_resubscribed` is whether a subscribe was sent since it opened, so that a late frame can be of the new stream.
    """

    last_good_ns: int
    cause: Cause
    #: Since when it is certain that no frame can arrive, in seconds of the feed's clock; None if it is not certain.
    no_stream_from_s: float | None
    is_resubscribed: bool = False


class RequestState:
    """The texts sent for a subscription, and the outstanding reply. Changed by `subscription_requests` only."""

    __slots__ = (
        "awaits_snapshot",
        "first_sent_ns",
        "frame_ns_before_repeat",
        "frame_s_before_repeat",
        "has_unanswered_repeat",
        "is_repeat",
        "is_revival",
        "is_sent",
        "is_trial",
        "queued",
        "refusals",
        "renew_s",
        "renewals",
        "sent_s",
        "snapshots",
        "snapshots_due",
        "stream_id",
        "stream_id_before_repeat",
        "stream_id_before_revival",
        "ticked_before_repeat",
        "unanswered_s",
        "unsubscribe_before",
    )

    def __init__(self) -> None:
        #: Whether its subscribe was sent on this connection, and when its latest text was sent.
        self.is_sent = False
        self.sent_s = 0.0
        #: When it was first subscribed to: a gap before its first frame begins here.
        self.first_sent_ns = 0
        #: Its entry in the send queue.
        self.queued: QueuedRequest | None = None
        #: The unsubscribe to send before its first subscribe, because its former stream is still open; empty for none.
        self.unsubscribe_before = ""
        #: When the unanswered text was sent; None if no reply is outstanding.
        self.unanswered_s: float | None = None
        #: How many of the next frames may be snapshots, and how many frames were snapshots. Snapshots are not ticks.
        self.snapshots_due = 0
        self.snapshots = 0
        #: When to renew it, and how often it was renewed.
        self.renew_s = _NEVER
        self.renewals = 0
        #: How many consecutive times the gateway refused it.
        self.refusals = 0
        #: `server_id` of its latest inspected frame on this connection.
        self.stream_id: str | None = None
        #: Whether the unanswered text repeats the subscribe without an unsubscribe, and whether an earlier such text
        #: was not answered.
        self.is_repeat = False
        self.has_unanswered_repeat = False
        #: Whether a repeated subscribe has had no snapshot yet.
        self.awaits_snapshot = False
        #: When the subscribe was repeated: the stream's id, whether it had just ticked, and when the data of its latest
        #: frame was new, also in seconds of the feed's clock.
        self.stream_id_before_repeat: str | None = None
        self.ticked_before_repeat = False
        self.frame_ns_before_repeat = 0
        self.frame_s_before_repeat = 0.0
        #: Whether the unanswered text is a revival, and the stream's id before it.
        self.is_revival = False
        self.stream_id_before_revival: str | None = None
        #: Whether the repeated subscribe is a trial; see `resubscribe_behaviour`.
        self.is_trial = False


class StalenessState:
    """How long a subscription may be quiet, and when to check it. Changed by `staleness` only."""

    __slots__ = (
        "check_s",
        "counted_s",
        "counted_ticks",
        "interval",
        "pause_from_s",
        "quiet_at_probe_s",
        "quiet_from_s",
        "retries",
    )

    def __init__(self, interval: IntervalEstimator) -> None:
        self.interval = interval
        #: When to check it.
        self.check_s = _NEVER
        #: Its quiet time starts here, or at its last frame if that is later.
        self.quiet_from_s = 0.0
        #: The number of ticks, and the time, up to which the interval estimator has learned.
        self.counted_ticks = 0
        self.counted_s = 0.0
        #: The time of its last tick before the pause that caused a probe; None if there was none.
        self.pause_from_s: float | None = None
        #: How long it had been quiet when it was probed; zero if it was not.
        self.quiet_at_probe_s = 0.0
        #: How many consecutive times it was resubscribed without a reply.
        self.retries = 0


class RevivalState:
    """The replies to subscribes since the last tick. Changed by `revival` only, which explains it."""

    __slots__ = (
        "from_ns",
        "from_s",
        "frozen_id",
        "is_frozen",
        "next_quiet_s",
        "replies",
        "soon_s",
        "ticks_at_reply",
        "usual_s",
        "was_reply_newer",
    )

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        #: How many snapshots replied to subscribes since the last tick, and whether the last one had newer data.
        self.replies = 0
        self.was_reply_newer: bool | None = None
        #: The last frame before the first of them: when its data was new, and when it was received.
        self.from_ns = 0
        self.from_s = 0.0
        #: The usual interval before the quiet time, and the number of ticks at the last reply.
        self.usual_s: float | None = None
        self.ticks_at_reply = 0
        #: How long it has to be quiet before the next revival.
        self.next_quiet_s = 0.0
        #: Until when a tick shows that the stream may have been revived; zero for never.
        self.soon_s = 0.0
        #: Whether the gateway sends the snapshot of a stopped stream, and the id of that stream.
        self.is_frozen = False
        self.frozen_id: str | None = None


class SubscriptionState:
    """The state of one subscription. Attributes without another owner are changed by `subscription_manager` only."""

    __slots__ = (
        "activity",
        "has_data",
        "is_stale_reported",
        "is_watched",
        "open_gap",
        "request",
        "revival",
        "spec",
        "staleness",
        "state",
        "timer_s",
        "topic",
    )

    def __init__(self, spec: SubscriptionSpec, interval: IntervalEstimator) -> None:
        self.topic = spec.topic
        self.spec = spec
        #: DISCONNECTED (not sent on this connection), OPEN (sent, no frame yet), STREAMING, STALE.
        self.state = FeedState.DISCONNECTED
        #: Its received frames, as of the last `Machine.observe`.
        self.activity = _NO_ACTIVITY
        #: Whether a frame was received since the user subscribed.
        self.has_data = False
        #: Whether the last reported state is STALE.
        self.is_stale_reported = False
        #: Whether each of its frames is inspected.
        self.is_watched = False
        self.request = RequestState()
        self.staleness = StalenessState(interval)
        self.revival = RevivalState()
        #: The gap that has no end yet. Changed by `gaps` only.
        self.open_gap: OpenGap | None = None
        #: When its entry in `timers` is due. Changed by `timers` only.
        self.timer_s = _NEVER

    def quiet_s(self, now_s: float) -> float:
        """How long it has been quiet, in seconds."""
        since_s = max(self.activity.last_s, self.staleness.quiet_from_s)
        if not self.has_data:
            since_s = max(since_s, self.request.sent_s)
        return now_s - since_s

    @property
    def last_good_ns(self) -> int:
        """When its last data was new, in ns since the Unix epoch; zero before its first frame.

        The snapshots of a frequent subscription that has not ticked since may be those of a stopped stream.
        """
        revival = self.revival
        is_unproven = revival.replies and self.ticks <= revival.ticks_at_reply
        if is_unproven and (revival.is_frozen or self.staleness.interval.frequent_s):
            return revival.from_ns
        return self.activity.data_ns

    @property
    def ticks(self) -> int:
        """How many frames of it were ticks, not replies to a subscribe."""
        return self.activity.frames - self.request.snapshots

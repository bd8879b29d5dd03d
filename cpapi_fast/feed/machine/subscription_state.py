"""One subscription as the machine sees it: what is to be sent for it, when it was heard, and its hole if it has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cpapi_fast.events import Cause, FeedState, Gap
from cpapi_fast.protocol.hours import TradingHours

from .actions import Activity
from .interval_estimator import IntervalEstimator
from .send_queue import Queued

#: A market data subscribe is answered by a snapshot that comes twice.
SNAPSHOTS: Final = 2


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """What a user subscribes to.

    Attributes:
        topic: the topic of its frames, which is its identity: `smd+265598`, `sor`.
        payload: the text that subscribes.
        cancel_payload: the text that unsubscribes.
        needs_brokerage: whether the brokerage session has to be open for it.
        is_market_data: whether the gateway answers it with a snapshot, and ends it after 15 minutes.
        usual_interval_s: how often it usually ticks, where the user knows; None learns it.
        hours: when it trades, where the user knows.
    """

    topic: str
    payload: str
    cancel_payload: str
    needs_brokerage: bool = True
    is_market_data: bool = False
    usual_interval_s: float | None = None
    hours: TradingHours | None = None


@dataclass(slots=True)
class OpenGap:
    """Data is missing since `last_good_ns`; the next frame of the subscription ends it."""

    last_good_ns: int
    cause: Cause


class SubscriptionState:
    """The state of one subscription."""

    __slots__ = (
        "asked_id",
        "asked_ns",
        "base_s",
        "base_ticks",
        "check_s",
        "floor_s",
        "has_data",
        "hole",
        "is_armed",
        "is_asked",
        "is_plain",
        "is_sent",
        "is_told_stale",
        "is_trial",
        "pause_from_s",
        "queued",
        "refusals",
        "renew_s",
        "renewals",
        "retries",
        "rhythm",
        "sent_ns",
        "sent_s",
        "silence_at_probe_s",
        "snapshots",
        "snapshots_due",
        "spec",
        "state",
        "stream_id",
        "timer_s",
        "unanswered_s",
        "was_alive_when_asked",
        "was_plain_unanswered",
    )

    def __init__(self, spec: SubscriptionSpec, rhythm: IntervalEstimator) -> None:
        self.spec = spec
        self.rhythm = rhythm
        #: DISCONNECTED (not sent on this connection), OPEN (sent, nothing heard), STREAMING, STALE.
        self.state = FeedState.DISCONNECTED
        #: Whether its subscribe was sent on this connection, and when its latest text was.
        self.is_sent = False
        self.sent_s = 0.0
        #: When it was first subscribed to: where a hole before its first frame begins.
        self.sent_ns = 0
        #: What waits for it in the queue of texts.
        self.queued: Queued | None = None
        #: Whether a frame has come since it was subscribed to by the user.
        self.has_data = False
        self.hole: OpenGap | None = None
        self.is_armed = False
        #: Since when a text waits for an answer; None when none does.
        self.unanswered_s: float | None = None
        #: How many frames more may be snapshots that answer us, and how many were: those are no ticks.
        self.snapshots_due = 0
        self.snapshots = 0
        #: When to look at it, and when to renew it.
        self.check_s = float("inf")
        self.renew_s = float("inf")
        #: When its entry among the timers is due.
        self.timer_s = float("inf")
        #: Silence counts from here at the earliest.
        self.floor_s = 0.0
        #: Ticks and time of the last look, for the rhythm.
        self.base_ticks = 0
        self.base_s = 0.0
        #: How often it was asked anew without an answer, and how often the gateway refused it.
        self.retries = 0
        self.refusals = 0
        #: How often it was renewed.
        self.renewals = 0
        #: Whether the text that waits for an answer repeats a live subscription, and whether one such had none before.
        self.is_plain = False
        self.was_plain_unanswered = False
        #: A live subscription was repeated and no snapshot has come of it: the id that its stream had then, whether it
        #: had just ticked, and its latest frame.
        self.is_asked = False
        self.asked_id: str | None = None
        #: It was repeated right after an answer, to see what the gateway does to a stream that lives.
        self.is_trial = False
        self.was_alive_when_asked = False
        self.asked_ns = 0
        #: `server_id` of its frames on this connection, as far as it was looked at.
        self.stream_id: str | None = None
        #: When it last ticked before the pause that raised suspicion; None when there is none such.
        self.pause_from_s: float | None = None
        #: Whether the user was told that it is stale, and not yet that it streams.
        self.is_told_stale = False
        #: How long it had been silent when it was asked whether it lives; zero when it was not asked.
        self.silence_at_probe_s = 0.0

    @property
    def topic(self) -> str:
        """Its identity."""
        return self.spec.topic

    def silence_s(self, activity: Activity, now_s: float) -> float:
        """How long nothing has come that should have."""
        heard_s = max(activity.last_s, self.floor_s)
        if not self.has_data:
            heard_s = max(heard_s, self.sent_s)
        return now_s - heard_s

    def lose(self, cause: Cause, activity: Activity) -> None:
        """What the gateway sends from now on does not arrive. A hole that is open already stays as it is."""
        if self.hole is None and (self.has_data or self.is_sent):
            self.hole = OpenGap(activity.last_ns or self.sent_ns, cause)

    def close_hole(self, first_good_ns: int | None) -> Gap | None:
        """The gap that ends with this frame, if there was one."""
        hole, self.hole = self.hole, None
        if hole is None:
            return None
        return Gap(self.spec.topic, hole.last_good_ns, first_good_ns, hole.cause)

    def drop(self) -> None:
        """It is not subscribed to on this connection any more."""
        self.is_sent = False
        self.queued = None
        self.unanswered_s = None
        self.snapshots_due = 0
        self.check_s = self.renew_s = float("inf")
        self.state = FeedState.DISCONNECTED
        self.retries = 0
        self.is_plain = self.was_plain_unanswered = self.is_asked = False
        self.asked_id = None
        self.is_trial = False
        self.silence_at_probe_s = 0.0
        self.pause_from_s = None
        self.stream_id = None

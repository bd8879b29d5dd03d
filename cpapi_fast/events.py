"""The events of a feed: changes of state, gaps in the data, standstills, and history that fills gaps."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, Literal

from cpapi_fast.redaction import repr_without_accounts

#: The source of the bars for a gap: `smh` on the feed's own socket, or REST.
BackfillSource = Literal["smh", "rest"]


class FeedState(enum.Enum):
    """The state of a feed, or of one of its subscriptions."""

    #: No connection and no attempt in progress: not started, waiting before the next attempt, or closed.
    DISCONNECTED = "disconnected"
    #: Requesting a session from the gateway and opening the socket.
    CONNECTING = "connecting"
    #: The socket is open; the gateway has not sent `system` with `success` yet.
    OPEN = "open"
    #: The gateway has sent `system` with `success`.
    READY = "ready"
    #: The brokerage session is open; subscriptions are sent.
    AUTHENTICATED = "authenticated"
    #: Data arrives.
    STREAMING = "streaming"
    #: A person has to log in to the gateway. The feed checks periodically whether that has happened.
    LOGIN_REQUIRED = "login_required"
    #: Another login of the same user holds the brokerage session.
    COMPETING = "competing"
    #: A feed: frames arrive on the socket, but no data. A subscription: quiet too long, and a probe got no reply.
    STALE = "stale"


class Cause(enum.Enum):
    """The reason for a change of state or for a gap."""

    STARTED = "started"
    STOPPED = "stopped"
    #: Steps from the start to the first data.
    RETRY = "retry"
    SOCKET_OPENED = "socket_opened"
    READY = "ready"
    #: The gateway did not send `system` with `success` within the time limit, and the feed continued without it.
    READY_TIMEOUT = "ready_timeout"
    LOGGED_IN = "logged_in"
    DATA = "data"
    #: Reasons why a connection ended.
    CONNECTION_LOST = "connection_lost"
    CLOSED_BY_GATEWAY = "closed_by_gateway"
    SOCKET_SILENT = "socket_silent"
    PROTOCOL_VIOLATION = "protocol_violation"
    SESSION_CHANGED = "session_changed"
    ALL_STALE = "all_stale"
    #: Reasons why an attempt to connect failed.
    UNREACHABLE = "unreachable"
    GATEWAY_ERROR = "gateway_error"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    BROKERAGE_CLOSED = "brokerage_closed"
    FORBIDDEN = "forbidden"
    UPGRADE_REFUSED = "upgrade_refused"
    NOT_A_GATEWAY = "not_a_gateway"
    #: Causes in the session.
    NOT_LOGGED_IN = "not_logged_in"
    SESSION_ENDED = "session_ended"
    COMPETING = "competing"
    #: Causes in one subscription.
    SUBSCRIPTION_SILENT = "subscription_silent"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    UNSUBSCRIBED = "unsubscribed"
    #: One consumer was too slow for its bounds, and frames that it had not read were dropped.
    CONSUMER_OVERFLOW = "consumer_overflow"
    #: No run collected into this folder, between the last frame of the runs before and the first one of this run.
    NOT_RUNNING = "not_running"
    #: A bug in this library, or an error in a callback; it was passed to the loop's exception handler.
    INTERNAL_ERROR = "internal_error"


#: Causes of changes that are progress, or that the user caused.
_PROGRESS: Final = frozenset(
    {
        Cause.STARTED,
        Cause.STOPPED,
        Cause.RETRY,
        Cause.SOCKET_OPENED,
        Cause.READY,
        Cause.LOGGED_IN,
        Cause.DATA,
        Cause.UNSUBSCRIBED,
    }
)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class StateChange:
    """A change of state of the feed or of one subscription, or a notice without a change.

    Attributes:
        time_ns: the time of the change, in ns since the Unix epoch on the system clock, as in `Frame.received_ns`.
        state: the new state.
        previous: the previous state; equal to `state` for a notice, such as a 429 while data arrives.
        cause: the reason.
        advice: what the user should do, in one sentence; it also states when nothing has to be done.
        subscription: the topic of the subscription that changed (`smd+265598`); None for the feed itself.
        detail: the message of the error, if there was one; it contains no secret.
    """

    time_ns: int
    state: FeedState
    previous: FeedState
    cause: Cause
    advice: str
    subscription: str | None = None
    detail: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether it reports why there is no data; False for progress, and for notices while data arrives."""
        return self.state is not FeedState.STREAMING and self.cause not in _PROGRESS


class Certainty(enum.Enum):
    """Whether frames are missing in a gap."""

    #: Frames are missing: they were dropped, or the data changed while nothing could arrive.
    CERTAIN = "certain"
    #: Frames may be missing: nothing could arrive, or it is not known whether the stream had ended.
    POSSIBLE = "possible"


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Gap:
    """A period without data, reported right before the first frame after it.

    Every frame that the gateway sent and the feed did not deliver falls between the two times. Both are receive times
    of frames (`Frame.received_ns`), so they match the frames even if the system clock was set in between. The exception
    is a late last frame: then the gap begins at the time of its data.

    Attributes:
        subscription: the topic with the gap (`smd+265598`); None for all topics.
        last_good_ns: the receive time of the last frame before the gap, in ns since the Unix epoch; if that frame was
            late, its receive time less its lateness; if there was none, the time when the subscribe was sent.
        first_good_ns: the receive time of the first frame after the gap, in ns since the Unix epoch; None if no
            frame arrived before the feed or the subscription ended.
        cause: the reason.
        frames_dropped: how many frames are missing; None if the number is unknown because they did not arrive.
        certainty: `CERTAIN` if frames are missing, `POSSIBLE` if none may be missing.
    """

    subscription: str | None
    last_good_ns: int
    first_good_ns: int | None
    cause: Cause
    frames_dropped: int | None = None
    certainty: Certainty = Certainty.POSSIBLE


class StandstillReason(enum.Enum):
    """Where data waited during a standstill."""

    #: This process did not run, or its event loop was blocked, for example by a callback.
    PROCESS = "process"
    #: The machine was suspended.
    SUSPEND = "suspend"
    #: The socket delivered nothing, and then frames that are late.
    NETWORK = "network"


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Standstill:
    """A period in which nothing was received, reported before the first frame after it.

    It does not say that frames are missing: those that waited follow late. If some are missing, there is a `Gap` too.

    Attributes:
        start_ns: the last time when the feed is known to have received, in ns since the Unix epoch.
        length_ns: how long nothing was received, in ns.
        reason: where the data waited.
    """

    start_ns: int
    length_ns: int
    reason: StandstillReason


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of history, in place of missing ticks.

    Attributes:
        start_ns: the start of the bar, in ns since the Unix epoch.
        open, high, low, close: the prices.
        volume: the volume traded during the bar.
    """

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Backfill:
    """History for a gap, reported after the gap.

    Attributes:
        gap: the gap that the history is for.
        bars: the bars that overlap the gap, oldest first; empty if there was an error.
        source: `smh` or `rest`.
        error: the reason why there are no bars; None if the request succeeded.
    """

    gap: Gap
    bars: tuple[Bar, ...]
    source: BackfillSource
    error: str | None = None


#: Any event in the stream of a feed.
FeedEvent = StateChange | Gap | Standstill | Backfill

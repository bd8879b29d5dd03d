"""What a feed says besides frames: how its state changed, and where data is missing, each with a time and a cause."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

#: Where the bars for a gap come from: `smh` on the feed's own socket, or REST.
BackfillSource = Literal["smh", "rest"]


class FeedState(enum.Enum):
    """Where a feed stands, or one of its subscriptions."""

    #: No connection, and none under way: not started, waiting before the next attempt, or closed.
    DISCONNECTED = "disconnected"
    #: Asking the gateway for a session and opening the socket.
    CONNECTING = "connecting"
    #: The socket is open; the gateway has not said yet that it listens.
    OPEN = "open"
    #: The gateway has said `system` with `success`.
    READY = "ready"
    #: The brokerage session is open; subscriptions are sent.
    AUTHENTICATED = "authenticated"
    #: Data comes.
    STREAMING = "streaming"
    #: A human has to log in to the gateway; it is asked from time to time whether that has happened.
    LOGIN_REQUIRED = "login_required"
    #: Another login of the same user holds the brokerage session.
    COMPETING = "competing"
    #: The socket lives and the data is dead. Of one subscription: it does not answer.
    STALE = "stale"


class Cause(enum.Enum):
    """Why a state changed, or why data is missing."""

    STARTED = "started"
    STOPPED = "stopped"
    #: Steps on the way to data.
    RETRY = "retry"
    SOCKET_OPENED = "socket_opened"
    READY = "ready"
    #: The gateway never said that it listens, and the feed went on all the same.
    READY_TIMEOUT = "ready_timeout"
    LOGGED_IN = "logged_in"
    DATA = "data"
    #: The end of a connection.
    CONNECTION_LOST = "connection_lost"
    CLOSED_BY_GATEWAY = "closed_by_gateway"
    SOCKET_SILENT = "socket_silent"
    PROTOCOL_VIOLATION = "protocol_violation"
    SESSION_CHANGED = "session_changed"
    ALL_STALE = "all_stale"
    #: No connection comes about.
    UNREACHABLE = "unreachable"
    GATEWAY_ERROR = "gateway_error"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    #: The session.
    NOT_LOGGED_IN = "not_logged_in"
    SESSION_ENDED = "session_ended"
    COMPETING = "competing"
    #: One subscription.
    SUBSCRIPTION_SILENT = "subscription_silent"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    UNSUBSCRIBED = "unsubscribed"
    #: One consumer was slower than its policy allows; frames that it had not read were dropped.
    CONSUMER_OVERFLOW = "consumer_overflow"
    #: A fault of this library, or of a callback; the loop's exception handler was told.
    INTERNAL_ERROR = "internal_error"


@dataclass(frozen=True, slots=True)
class StateChange:
    """The feed, or one of its subscriptions, is in another state; or something happened that left it where it was.

    Attributes:
        time_ns: when, in ns since the Unix epoch on the machine's own clock, as in `Frame.received_ns`.
        state: the new state.
        previous: the one before; the same for a notice, such as a 429 while data flows.
        cause: why.
        advice: what the user should do, in one sentence; that nothing is to be done, where that is so.
        subscription: the topic of the subscription that changed (`smd+265598`); None for the feed itself.
        detail: what exactly happened, in the words of the error, where there was one; never a secret.
    """

    time_ns: int
    state: FeedState
    previous: FeedState
    cause: Cause
    advice: str
    subscription: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole in the data, told right before the first frame after it.

    Every frame of the subscription that was sent and not delivered lies between the two times. They are receive times
    of frames (`Frame.received_ns`), so they are exact even when the machine's clock was set meanwhile.

    Attributes:
        subscription: the topic with the hole (`smd+265598`); None for all of them.
        last_good_ns: when the last frame before the hole was received; when the subscribe was sent, if none was.
        first_good_ns: when the first frame after it was received; None when none came before the feed or the
            subscription ended.
        cause: why.
        frames_dropped: how many frames are missing; None when that cannot be known, as whenever they did not arrive.
    """

    subscription: str | None
    last_good_ns: int
    first_good_ns: int | None
    cause: Cause
    frames_dropped: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of history that stands in for ticks that are missing. It is never a tick.

    Attributes:
        start_ns: when the bar begins, in ns since the Unix epoch.
        open, high, low, close: prices.
        volume: traded during the bar.
    """

    start_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Backfill:
    """History for a gap, told after it; its bars are filled in and not received.

    Attributes:
        gap: the gap that it is for.
        bars: what history knows of the time of the gap, oldest first; empty when `error` says why.
        source: `smh` or `rest`.
        error: why there are no bars; None when there are.
    """

    gap: Gap
    bars: tuple[Bar, ...]
    source: BackfillSource
    error: str | None = None


#: Everything that stands between the frames of a feed.
FeedEvent = StateChange | Gap | Backfill

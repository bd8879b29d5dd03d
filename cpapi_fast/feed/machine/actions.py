"""The types of the machine's inputs and actions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from cpapi_fast.events import Cause, FeedEvent
from cpapi_fast.redaction import repr_without_accounts


class Moment(NamedTuple):
    """The time of an input, on the three clocks that a feed needs.

    Attributes:
        s: seconds of the feed's clock, which never goes back: for timers.
        ns: ns since the Unix epoch on the machine's own clock, as in `Frame.received_ns`: for events.
        day_ns: ns since the Unix epoch on the feed's clock: for times of day. The same as `ns` at speed 1.
    """

    s: float
    ns: int
    day_ns: int


class Activity(NamedTuple):
    """The received frames of one topic; zeros before the first.

    Attributes:
        frames: how many were received.
        last_ns: the receive time of the last one, in ns since the Unix epoch.
        last_s: the same in seconds of the feed's clock.
        late_ns: how late it was, in ns; 0 if it was not.
    """

    frames: int
    last_ns: int
    last_s: float
    late_ns: int = 0

    @property
    def data_ns(self) -> int:
        """When its data was new, in ns since the Unix epoch: the receive time, unless it was late."""
        return self.last_ns - self.late_ns

    @property
    def data_s(self) -> float:
        """The same in seconds of the feed's clock. If that runs faster than real time, a late frame counts as newer."""
        return self.last_s - self.late_ns / 1e9


class FrameHeader(NamedTuple):
    """What the machine needs of a frame.

    Attributes:
        received_ns: its receive time, in ns since the Unix epoch.
        late_ns: how late it was, in ns; 0 if it was not.
        is_snapshot: whether it has the form of a reply to a subscribe, not of a tick.
        stream_id: its `server_id`, if it has one.
        is_newer: whether its `_updated` is later than that of the frame of its topic before; None if unknown.
    """

    received_ns: int
    late_ns: int = 0
    is_snapshot: bool = False
    stream_id: str | None = None
    is_newer: bool | None = None


class SessionFacts(NamedTuple):
    """The state of the session in a response; None for what the response does not contain.

    Attributes:
        generation: a number that increases with every change of the session id; None without a session. The id itself
            is secret and never reaches the machine.
        authenticated: whether the brokerage session is open.
        connected: whether the gateway is connected to IB.
        competing: whether another login of the same user competes for the brokerage session, by the gateway's flag or
            its words.
        words: the gateway's words about the session, without secrets; often empty.
    """

    generation: int | None
    authenticated: bool | None
    connected: bool | None
    competing: bool | None
    words: str = ""


class CallKind(enum.Enum):
    """The endpoint of a REST call."""

    TICKLE = "/tickle"
    INIT = "/iserver/auth/ssodh/init"
    ACCOUNTS = "/iserver/accounts"
    ORDERS = "/iserver/account/orders"


class Failure(enum.Enum):
    """Why a REST call or the opening of the socket failed."""

    NOT_LOGGED_IN = "not_logged_in"
    COMPETING = "competing"
    RATE_LIMITED = "rate_limited"
    GATEWAY_ERROR = "gateway_error"
    UNREACHABLE = "unreachable"
    #: This side refused, for example because the certificate is not trusted. A retry alone does not help.
    REFUSED = "refused"
    #: The gateway responds, but the brokerage session is not open: `no bridge`.
    BROKERAGE_CLOSED = "brokerage_closed"
    #: The gateway, or a proxy before it, refuses this machine. A retry alone does not help.
    FORBIDDEN = "forbidden"
    #: The server responds to REST and refuses the WebSocket.
    UPGRADE_REFUSED = "upgrade_refused"
    #: Another server than a gateway responds, or none at this path. A retry alone does not help.
    NOT_A_GATEWAY = "not_a_gateway"

    @property
    def cause(self) -> Cause:
        """The cause of the events that report it."""
        return Cause(self.value)


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Call:
    """Make a REST call. Its outcome is an input with the same number: `on_facts`, `on_accounts` or `on_call_failed`.

    The orders are no input: they change nothing that the machine decides.
    """

    kind: CallKind
    number: int
    compete: bool = False


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open the socket with the latest ticket. The outcome is `on_socket_opened` or `on_socket_failed`."""


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the socket. Frames received before its end are still inputs; the end itself is not."""


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Send:
    """Send a text on the socket."""

    text: str


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Watch:
    """Pass every frame of a topic to `on_subscription_frame` from now on."""

    topic: str


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Unwatch:
    """Only count the frames of a topic from now on."""

    topic: str


@repr_without_accounts
@dataclass(frozen=True, slots=True)
class Emit:
    """Put an event into the stream, after the frames that were received so far."""

    event: FeedEvent


Action = Call | OpenSocket | CloseSocket | Send | Watch | Unwatch | Emit

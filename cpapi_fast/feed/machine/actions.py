"""What the machine wants done, and the facts that it is told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from cpapi_fast.events import FeedEvent


class Moment(NamedTuple):
    """Now.

    Attributes:
        s: seconds of the feed's clock, which never run backwards: for timers.
        ns: ns since the Unix epoch on the machine's own clock, as in `Frame.received_ns`: for events.
        day_ns: ns since the Unix epoch on the feed's clock: for times of day. The same as `ns` at speed 1.
    """

    s: float
    ns: int
    day_ns: int


class Activity(NamedTuple):
    """What was heard of one subscription: how many frames, and when the last one came; zeros before the first."""

    frames: int
    last_ns: int
    last_s: float


class SessionFacts(NamedTuple):
    """What an answer over REST says about the session; None where it does not say.

    Attributes:
        generation: counts up with every change of the session id, which itself stays outside; None for no session.
    """

    generation: int | None
    authenticated: bool | None
    connected: bool | None
    competing: bool | None


class CallKind(enum.Enum):
    """A call over REST."""

    TICKLE = "/tickle"
    INIT = "/iserver/auth/ssodh/init"
    ACCOUNTS = "/iserver/accounts"


class Failure(enum.Enum):
    """Why a call over REST or the opening of the socket failed."""

    NOT_LOGGED_IN = "not_logged_in"
    COMPETING = "competing"
    RATE_LIMITED = "rate_limited"
    GATEWAY_ERROR = "gateway_error"
    UNREACHABLE = "unreachable"
    #: By something on this side, such as a certificate that is not trusted: a retry alone will not help.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Call:
    """Make a call; its outcome is told to `on_facts` (or `on_accounts`), or to `on_call_failed`, with its number."""

    kind: CallKind
    number: int
    compete: bool = False


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open the socket with the latest ticket; told to `on_socket_opened` or `on_socket_failed`."""


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """End the socket: its end is not told any more. Frames of it that are on their way may still be."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text on the socket."""

    text: str


@dataclass(frozen=True, slots=True)
class Arm:
    """Tell `on_subscription_frame` of every frame of a topic from now on."""

    topic: str


@dataclass(frozen=True, slots=True)
class Disarm:
    """Tell it no more."""

    topic: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Put an event into the stream, here."""

    event: FeedEvent


Action = Call | OpenSocket | CloseSocket | Send | Arm | Disarm | Emit

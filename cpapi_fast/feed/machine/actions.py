"""The types of the machine's inputs and actions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

from cpapi_fast.events import FeedEvent


class Moment(NamedTuple):
    """The time of an input, on the three clocks that a feed needs.

    Attributes:
        s: seconds of the feed's clock, which never run backwards: for timers.
        ns: ns since the Unix epoch on the machine's own clock, as in `Frame.received_ns`: for events.
        day_ns: ns since the Unix epoch on the feed's clock: for times of day. The same as `ns` at speed 1.
    """

    s: float
    ns: int
    day_ns: int


class Activity(NamedTuple):
    """The frames of one topic: how many were received, and when the last one was; zeros before the first."""

    frames: int
    last_ns: int
    last_s: float


class SessionFacts(NamedTuple):
    """What a response contains about the session; None for what it does not contain.

    Attributes:
        generation: a number that increases with every change of the session id, which itself is not an input; None
            without a session.
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
    #: By this side, for example because the certificate is not trusted: a retry alone does not help.
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Call:
    """Make a call. Its outcome is an input with its number: `on_facts`, `on_accounts` or `on_call_failed`."""

    kind: CallKind
    number: int
    compete: bool = False


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """Open the socket with the latest ticket. The outcome is `on_socket_opened` or `on_socket_failed`."""


@dataclass(frozen=True, slots=True)
class CloseSocket:
    """Close the socket. Its end is not an input; frames that were received before its end still are."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text on the socket."""

    text: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Inspect every frame of a topic from now on: each is an input, `on_subscription_frame`."""

    topic: str


@dataclass(frozen=True, slots=True)
class Unwatch:
    """Inspect the frames of a topic no longer; they are only counted."""

    topic: str


@dataclass(frozen=True, slots=True)
class Emit:
    """Put an event into the stream, here."""

    event: FeedEvent


Action = Call | OpenSocket | CloseSocket | Send | Watch | Unwatch | Emit

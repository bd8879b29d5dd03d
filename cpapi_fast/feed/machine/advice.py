"""What a user should do about a change of state, in one sentence."""

from __future__ import annotations

from typing import Final

from cpapi_fast.events import Cause

_NOTHING: Final = "nothing to do"

ADVICE: Final[dict[Cause, str]] = {
    Cause.STARTED: _NOTHING,
    Cause.STOPPED: _NOTHING,
    Cause.RETRY: _NOTHING,
    Cause.SOCKET_OPENED: _NOTHING,
    Cause.READY: _NOTHING,
    Cause.READY_TIMEOUT: (
        "the gateway did not say that it listens, so subscribes may be lost; if no data comes, log in to it again"
    ),
    Cause.LOGGED_IN: _NOTHING,
    Cause.DATA: _NOTHING,
    Cause.CONNECTION_LOST: "nothing to do: it connects again by itself",
    Cause.CLOSED_BY_GATEWAY: "nothing to do: it connects again by itself",
    Cause.SOCKET_SILENT: "nothing to do: it connects again by itself; if this repeats, look at the network in between",
    Cause.PROTOCOL_VIOLATION: (
        "nothing to do: it connects again by itself; if this repeats, something in between damages the data"
    ),
    Cause.SESSION_CHANGED: "nothing to do: the gateway has a new session, and it connects again by itself",
    Cause.ALL_STALE: (
        "nothing to do: it asks the gateway and connects again; if this repeats, log in to the gateway again"
    ),
    Cause.UNREACHABLE: "start the gateway, or check host, port and network; it is tried again from time to time",
    Cause.GATEWAY_ERROR: (
        "nothing at the nightly reset: it is tried again from time to time; if it lasts, let `cpapi-fast doctor` say "
        "what answers there"
    ),
    Cause.RATE_LIMITED: (
        "stop other programs that ask this gateway too often; it is left alone for 15 minutes, then tried again"
    ),
    Cause.REFUSED: (
        "check the URL, the certificate, its fingerprint and the options; it is tried again from time to time"
    ),
    Cause.NOT_LOGGED_IN: "log in to the gateway in a browser; the feed goes on by itself then",
    Cause.SESSION_ENDED: "nothing to do: the brokerage session ended and is opened again",
    Cause.COMPETING: (
        "another login of this user holds the session: end it, or use competing='reclaim' to take the session back"
    ),
    Cause.SUBSCRIPTION_SILENT: (
        "nothing to do: it is subscribed to again; if this repeats, check the conid, the permissions for its data, and "
        "how many market data lines are in use"
    ),
    Cause.SUBSCRIPTION_REFUSED: "nothing to do: it is asked for again after /iserver/accounts",
    Cause.UNSUBSCRIBED: _NOTHING,
    Cause.INTERNAL_ERROR: "report it with what the loop's exception handler was told; it connects again by itself",
    Cause.CONSUMER_OVERFLOW: "read faster, or choose another policy for this consumer",
}

"""What the user should do about each cause."""

from __future__ import annotations

from typing import Final

from cpapi_fast.events import Cause

_NONE: Final = "No action required."
_RECONNECTS: Final = "No action required: the feed reconnects automatically."
_RETRIES: Final = "The feed retries automatically."

ADVICE: Final[dict[Cause, str]] = {
    Cause.STARTED: _NONE,
    Cause.STOPPED: _NONE,
    Cause.RETRY: _NONE,
    Cause.SOCKET_OPENED: _NONE,
    Cause.READY: _NONE,
    Cause.READY_TIMEOUT: "Log in to the gateway again if no data arrives: subscribes may have been lost.",
    Cause.LOGGED_IN: _NONE,
    Cause.DATA: _NONE,
    Cause.CONNECTION_LOST: _RECONNECTS,
    Cause.CLOSED_BY_GATEWAY: _RECONNECTS,
    Cause.SOCKET_SILENT: f"{_RECONNECTS} If this repeats, check the network between this machine and the gateway.",
    Cause.PROTOCOL_VIOLATION: f"{_RECONNECTS} If this repeats, check for a proxy that damages the data.",
    Cause.SESSION_CHANGED: _RECONNECTS,
    Cause.ALL_STALE: f"{_RECONNECTS} If this repeats, log in to the gateway again.",
    Cause.UNREACHABLE: f"Start the gateway, or check host, port and network. {_RETRIES}",
    Cause.GATEWAY_ERROR: (
        f"No action required during the nightly reset. {_RETRIES} If the error persists, run `cpapi-fast doctor`."
    ),
    Cause.RATE_LIMITED: (
        "Stop other programs that send too many requests to this gateway. The feed sends none for 15 minutes, then "
        "retries."
    ),
    Cause.REFUSED: f"Check the URL, the certificate, its fingerprint and the options. {_RETRIES}",
    Cause.NOT_LOGGED_IN: "Log in to the gateway in a browser. The feed continues automatically.",
    Cause.SESSION_ENDED: "No action required: the feed opens the brokerage session again.",
    Cause.COMPETING: (
        "End the other login of this user, which holds the session, or use competing='reclaim' to take it back."
    ),
    Cause.SUBSCRIPTION_SILENT: (
        "No action required: the feed resubscribes. If this repeats, check the conid, the market data permissions, "
        "and how many market data lines are in use."
    ),
    Cause.SUBSCRIPTION_REFUSED: "No action required: the feed subscribes again after /iserver/accounts.",
    Cause.UNSUBSCRIBED: _NONE,
    Cause.INTERNAL_ERROR: (
        "Report the error that the loop's exception handler received. The feed reconnects automatically."
    ),
    Cause.CONSUMER_OVERFLOW: "Read faster, or choose another overflow policy for this consumer.",
}

"""What the user should do about each cause, if the driver does not pass the advice for one response."""

from __future__ import annotations

from typing import Final

from cpapi_fast.events import Cause
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_table import Place, Wording, advice_for

_NONE: Final = "No action required."
_RECONNECTS: Final = "No action required: the feed reconnects automatically."
_RETRIES: Final = "The feed retries automatically."

#: The wordings of a feed that leaves a session to another login, and of one that takes it back.
FEED_WORDING: Final = Wording(
    open_session="No action required: the feed opens the brokerage session again. If this lasts, log in to the gateway "
    "again.",
    take_over=", or take the session back with competing='reclaim'",
    retries=" The feed retries automatically.",
    continues=" The feed continues automatically.",
    log_in="Log in to the gateway in a browser, at {origin}.",
    accounts_first="No action required: the feed requests the accounts again.",
)
RECLAIMING_WORDING: Final = Wording(
    open_session=FEED_WORDING.open_session,
    take_over=" if this gateway is to keep the session: the feed takes it back, at most once per keepalive interval",
    retries=FEED_WORDING.retries,
    continues=FEED_WORDING.continues,
    log_in=FEED_WORDING.log_in,
    accounts_first=FEED_WORDING.accounts_first,
)

#: For texts without the address of the gateway, which the machine does not know.
_SOMEWHERE: Final = Place("the gateway", "/v1/api")


def _of(meaning: Meaning, wording: Wording = FEED_WORDING) -> str:
    return advice_for(meaning, _SOMEWHERE, wording).replace(", at the gateway", "")


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
    # A gateway without a login closes each socket.
    Cause.CLOSED_BY_GATEWAY: f"{_RECONNECTS} If this repeats, log in to the gateway again.",
    Cause.SOCKET_SILENT: f"{_RECONNECTS} If this repeats, check the network between this machine and the gateway.",
    Cause.PROTOCOL_VIOLATION: f"{_RECONNECTS} If this repeats, check for a proxy that damages the data.",
    Cause.SESSION_CHANGED: _RECONNECTS,
    Cause.ALL_STALE: f"{_RECONNECTS} If this repeats, log in to the gateway again.",
    Cause.UNREACHABLE: f"Start the gateway, or check host, port and network. {_RETRIES}",
    Cause.GATEWAY_ERROR: (
        f"No action required during the nightly reset. {_RETRIES} If the error persists, run `cpapi-fast doctor`."
    ),
    Cause.RATE_LIMITED: _of(Meaning.RATE_LIMITED),
    Cause.REFUSED: (
        f"Check the URL, the certificate, its fingerprint and the options. {_RETRIES} It reads the CA file again at "
        "each try."
    ),
    Cause.BROKERAGE_CLOSED: _of(Meaning.BROKERAGE_CLOSED),
    Cause.FORBIDDEN: _of(Meaning.FORBIDDEN),
    Cause.UPGRADE_REFUSED: _of(Meaning.UPGRADE_REFUSED),
    Cause.NOT_A_GATEWAY: f"Check host, port and path of the base URL. {_RETRIES}",
    Cause.NOT_LOGGED_IN: _of(Meaning.LOGIN_REQUIRED),
    Cause.SESSION_ENDED: "No action required: the feed opens the brokerage session again.",
    Cause.COMPETING: _of(Meaning.COMPETING),
    Cause.SUBSCRIPTION_SILENT: (
        "No action required: the feed resubscribes. If this repeats, check the conid, the market data permissions, "
        "and how many market data lines are in use."
    ),
    Cause.SUBSCRIPTION_REFUSED: "No action required: the feed subscribes again after /iserver/accounts.",
    Cause.UNSUBSCRIBED: _NONE,
    Cause.INTERNAL_ERROR: (
        "Report the error that the loop's exception handler received. The feed reconnects automatically."
    ),
    Cause.NOT_RUNNING: "Keep the collector running; a service manager starts it again after a failure.",
    Cause.CONSUMER_OVERFLOW: "Read faster, or choose another overflow policy for this consumer.",
}


def advice_on(cause: Cause, *, is_reclaiming: bool) -> str:
    """Return the advice for a cause, without what the options have chosen already."""
    if is_reclaiming and cause is Cause.COMPETING:
        return _of(Meaning.COMPETING, RECLAIMING_WORDING)
    return ADVICE[cause]

"""Converts errors of REST and of the socket to the failures and causes of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from cpapi_fast.errors import (
    CallbackError,
    CertificateError,
    ConfigError,
    CpapiError,
    HandshakeError,
    NoSessionError,
    ProtocolViolationError,
    RateLimitedError,
    SessionError,
    TransportError,
)
from cpapi_fast.events import Cause
from cpapi_fast.feed.machine import Failure
from cpapi_fast.feed.machine.advice import FEED_WORDING, RECLAIMING_WORDING
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.response_rules import ServerResponse, Step, judge, step_of
from cpapi_fast.protocol.response_table import Place, advice_for
from cpapi_fast.rest.client import Client

#: The failure of each meaning of a response.
FAILURES: Final[Mapping[Meaning, Failure]] = {
    Meaning.LOGIN_REQUIRED: Failure.NOT_LOGGED_IN,
    Meaning.BROKERAGE_CLOSED: Failure.BROKERAGE_CLOSED,
    Meaning.COMPETING: Failure.COMPETING,
    Meaning.ACCOUNTS_FIRST: Failure.GATEWAY_ERROR,
    Meaning.ADDRESS_REFUSED: Failure.FORBIDDEN,
    Meaning.FORBIDDEN: Failure.FORBIDDEN,
    Meaning.UPGRADE_REFUSED: Failure.UPGRADE_REFUSED,
    Meaning.UPGRADE_UNANSWERED: Failure.UPGRADE_REFUSED,
    Meaning.RATE_LIMITED: Failure.RATE_LIMITED,
    Meaning.SERVER_ERROR: Failure.GATEWAY_ERROR,
    Meaning.PROXY_ERROR: Failure.GATEWAY_ERROR,
    Meaning.TIMED_OUT: Failure.GATEWAY_ERROR,
    Meaning.GONE: Failure.GATEWAY_ERROR,
    Meaning.BAD_REQUEST: Failure.GATEWAY_ERROR,
    Meaning.REFUSED: Failure.GATEWAY_ERROR,
    Meaning.NOT_FOUND: Failure.NOT_A_GATEWAY,
    Meaning.REDIRECT: Failure.NOT_A_GATEWAY,
    Meaning.NOT_A_GATEWAY: Failure.NOT_A_GATEWAY,
    Meaning.AIRPLAY: Failure.NOT_A_GATEWAY,
    Meaning.TWS_API: Failure.NOT_A_GATEWAY,
    Meaning.CAPTIVE_PORTAL: Failure.NOT_A_GATEWAY,
    Meaning.WRONG_SCHEME: Failure.NOT_A_GATEWAY,
    # A gateway that starts may do these, so the feed tries again soon.
    Meaning.HANGS_UP: Failure.UNREACHABLE,
    Meaning.NO_ANSWER: Failure.UNREACHABLE,
    Meaning.TOO_LONG: Failure.GATEWAY_ERROR,
    Meaning.UNEXPECTED_BODY: Failure.GATEWAY_ERROR,
}


#: The failure of these meanings at the upgrade: REST has just reported that a user is logged in, so neither a login nor
#: the other login is what is missing.
_AT_UPGRADE: Final[Mapping[Meaning, Failure]] = {
    Meaning.LOGIN_REQUIRED: Failure.UPGRADE_REFUSED,
    Meaning.COMPETING: Failure.UPGRADE_REFUSED,
}


class Explanation(NamedTuple):
    """An error as an input of the machine.

    Attributes:
        failure: its class.
        retry_after_s: the pause that it requires, if any.
        detail: its text; without the advice if `advice` has it.
        advice: what to do about this response; empty for the advice of the failure.
    """

    failure: Failure
    retry_after_s: float | None
    detail: str
    advice: str


class Explainer:
    """Explains errors of one gateway to the machine of one feed.

    Args:
        client: the gateway, whose address the advice has.
        is_reclaiming: whether the feed takes the session back from other logins.
    """

    def __init__(self, client: Client, *, is_reclaiming: bool) -> None:
        self._client: Final = client
        self._wording: Final = RECLAIMING_WORDING if is_reclaiming else FEED_WORDING

    def __call__(self, error: CpapiError) -> Explanation:
        """Return the failure for an error, its detail and its advice."""
        failure, retry_after_s = failure_of(error)
        meaning = _meaning_of(error)
        own_advice, detail = getattr(error, "advice", ""), detail_of(error)
        if meaning is None:
            return Explanation(failure, retry_after_s, detail, own_advice and own_advice + self._wording.retries)
        origin = self._client.origin
        place = Place(origin, self._client.base_url.removeprefix(origin), is_known=self._client.has_answered)
        return Explanation(failure, retry_after_s, detail, advice_for(meaning, place, self._wording))


def detail_of(error: CpapiError) -> str:
    """Return the text of an error without its advice, because the feed has one of its own."""
    own_advice = getattr(error, "advice", "")
    return str(error).removesuffix(own_advice).rstrip(" .") if own_advice else str(error)


def failure_of(error: CpapiError) -> tuple[Failure, float | None]:
    """Return the failure for an error of REST or of the upgrade, and the pause that it requires, if any."""
    if isinstance(error, RateLimitedError):
        return Failure.RATE_LIMITED, error.retry_after_s
    meaning = _meaning_of(error)
    if meaning is not None:
        at_upgrade = _AT_UPGRADE.get(meaning) if isinstance(error, HandshakeError) else None
        return at_upgrade or FAILURES[meaning], None
    if isinstance(error, NoSessionError):
        return Failure.NOT_LOGGED_IN, None
    if isinstance(error, (CertificateError, ConfigError)):
        return Failure.REFUSED, None
    if isinstance(error, TransportError):
        return Failure.UNREACHABLE, None
    return Failure.GATEWAY_ERROR, None


def _meaning_of(error: CpapiError) -> Meaning | None:
    """The meaning of the response behind an error; None without a response."""
    if not isinstance(error, (SessionError, TransportError)):
        return None
    if error.meaning is not None:
        return error.meaning
    if not isinstance(error, (SessionError, HandshakeError)) or error.status is None:
        return None
    step = Step.UPGRADE if isinstance(error, HandshakeError) else step_of(error.path or "")
    verdict = judge(ServerResponse(step, error.status))
    return None if verdict is None else verdict.meaning


def cause_of_end(error: CpapiError | None) -> Cause:
    """Return the cause for the end of a socket. Pass None for a CLOSE frame of the gateway."""
    if error is None:
        return Cause.CLOSED_BY_GATEWAY
    if isinstance(error, ProtocolViolationError):
        return Cause.PROTOCOL_VIOLATION
    if isinstance(error, CallbackError):
        return Cause.INTERNAL_ERROR
    return Cause.CONNECTION_LOST


def describe_end(close_code: int | None) -> str:
    """Return the detail of the event after a CLOSE frame, without the reason, which is a text of the peer."""
    return f"the gateway sent CLOSE with code {close_code}"

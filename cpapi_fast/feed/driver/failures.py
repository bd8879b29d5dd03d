"""Converts errors of REST and of the socket to the failures and causes of the machine."""

from __future__ import annotations

from cpapi_fast.errors import (
    CallbackError,
    CertificateError,
    CompetingSessionError,
    ConfigError,
    CpapiError,
    HandshakeError,
    NoSessionError,
    NotAuthenticatedError,
    ProtocolViolationError,
    RateLimitedError,
    StatusError,
    TransportError,
)
from cpapi_fast.events import Cause
from cpapi_fast.feed.machine import Failure


def failure_of(error: CpapiError) -> tuple[Failure, float | None]:
    """Return the failure for an error of REST or of the upgrade, and the pause that it requires, if any."""
    if isinstance(error, RateLimitedError):
        return Failure.RATE_LIMITED, error.retry_after_s
    if isinstance(error, (NotAuthenticatedError, NoSessionError)):
        return Failure.NOT_LOGGED_IN, None
    if isinstance(error, CompetingSessionError):
        return Failure.COMPETING, None
    if isinstance(error, (CertificateError, ConfigError)):
        return Failure.REFUSED, None
    if isinstance(error, (HandshakeError, StatusError)):
        return _failure_of_status(error.status), None
    if isinstance(error, TransportError):
        return Failure.UNREACHABLE, None
    return Failure.GATEWAY_ERROR, None


def _failure_of_status(status: int | None) -> Failure:
    if status is None:
        return Failure.UNREACHABLE
    if status in (401, 403):
        return Failure.NOT_LOGGED_IN
    if status == 404:
        # The URL belongs to another server.
        return Failure.REFUSED
    return Failure.RATE_LIMITED if status == 429 else Failure.GATEWAY_ERROR


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

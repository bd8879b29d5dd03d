"""Everything this library raises on purpose, in one tree.

::

    CpapiError                                   is_retryable
    ├── ConfigError (ValueError)                 no   an option, URL, path or fingerprint that cannot be right
    │   └── HeaderRefusedError                   no   a value that must not stand in a header; it was never sent
    ├── SubscriptionError (ValueError)           no   a conid, field code or topic that cannot be sent
    │   └── LimitError (.limit, .most, .in_use)  no   the gateway takes no more of its kind; nothing was sent
    ├── UsageError (RuntimeError)                no   the call does not fit the state: two readers, a closed client
    ├── SessionError (.status, .path)            no   what the gateway answered over REST
    │   ├── NoSessionError                       YES  the gateway has no session to give, yet
    │   ├── NotAuthenticatedError                no   a human has to log in
    │   ├── CompetingSessionError                no   another login holds the brokerage session
    │   ├── StatusError                          YES for 429 and 5xx, no for the rest
    │   │   └── RateLimitedError (.retry_after_s) YES 429, now or lately; nothing is sent until that time is over
    │   ├── RedirectError                        no   a redirect that is not the login page; never followed
    │   └── DecodeError (.preview)               no   HTML, or JSON of the wrong shape
    ├── PaceError (.limit, .retry_after_s)       YES  too many requests of this program; this one was not sent
    ├── TransportError                           YES  the connection ended without a CLOSE frame, or was cut
    │   ├── ConnectError                         YES  no connection: DNS, refused, reset
    │   ├── RequestTimeoutError (TimeoutError)   YES  no answer in time
    │   ├── HandshakeError (.status)             YES  no WebSocket came of the upgrade
    │   ├── ProtocolViolationError               YES  the peer broke the WebSocket protocol, or a message is too big
    │   └── CertificateError                     no   the certificate is not one that the TLS policy trusts
    │       └── PinMismatchError                 no   ... or not the pinned one; no cookie was sent
    ├── CallbackError                            no   a user's callback raised; the original is the __cause__
    ├── ConsumerOverflowError (.dropped)         no   a consumer with the policy `halt` was too slow
    ├── MalformedPayloadError (ValueError; .raw) no   raised only by Frame.payload
    ├── OutputError (OSError; .path)             no   a file that cannot be written
    ├── DecisionRecordError (ValueError; .line)  no   a decision record that is damaged
    │   └── ReplayMismatchError                  no   ... or whose replay has other actions than the record
    └── MissingDependencyError (ImportError)     no   an optional package is not installed

No message and no `repr` of these holds a session id, a cookie or an account.
"""

from __future__ import annotations

from typing import ClassVar


class CpapiError(Exception):
    """Base of all errors of this library."""

    #: Whether doing the same again later can succeed without a human or a change of the program.
    is_retryable: bool = False


class ConfigError(CpapiError, ValueError):
    """An option, URL, path or fingerprint that cannot be right; the message says what to give instead."""


class HeaderRefusedError(ConfigError):
    """A value (its content is not shown) that must not stand in an HTTP header, so nothing was sent."""


class SubscriptionError(CpapiError, ValueError):
    """A conid, field code or topic that cannot be sent."""


class LimitError(SubscriptionError):
    """A limit of the gateway is reached, so the subscription was not sent.

    Attributes:
        limit: what is limited, in the plural: `market data lines`.
        most: how many the gateway takes.
        in_use: how many are in use.
    """

    def __init__(self, limit: str, *, most: int, in_use: int, advice: str) -> None:
        super().__init__(f"all {limit} are taken: {in_use} of {most} are in use; {advice}")
        self.limit = limit
        self.most = most
        self.in_use = in_use


class UsageError(CpapiError, RuntimeError):
    """The call does not fit the state of the object: two readers at once, a client already closed."""


class SessionError(CpapiError):
    """The gateway answered over REST, but not with what was asked for.

    Attributes:
        status: the HTTP status, or None when the answer never got that far.
        path: the path that was asked, without host and query.
    """

    def __init__(self, message: str, *, status: int | None = None, path: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.path = path


class NoSessionError(SessionError):
    """The gateway is reachable but has no session (yet)."""

    is_retryable = True


class NotAuthenticatedError(SessionError):
    """The gateway wants a login; open it in a browser and log in."""


class CompetingSessionError(SessionError):
    """Another login of the same user holds the brokerage session."""


class StatusError(SessionError):
    """A status that is neither success nor a sign of being logged out."""

    #: Statuses at or above 500, and these, pass with time.
    _RETRYABLE: ClassVar[frozenset[int]] = frozenset({429})

    def __init__(self, message: str, *, status: int, path: str | None = None) -> None:
        super().__init__(message, status=status, path=path)
        self.is_retryable = status >= 500 or status in self._RETRYABLE


class RateLimitedError(StatusError):
    """The gateway answered 429, to this request or lately to another. While its penalty lasts, nothing is sent.

    Attributes:
        retry_after_s: for how many seconds of the clock every request will be refused in the same way.
    """

    is_retryable = True

    def __init__(self, message: str, *, path: str | None = None, retry_after_s: float) -> None:
        super().__init__(message, status=429, path=path)
        self.retry_after_s = retry_after_s


class RedirectError(SessionError):
    """A redirect that does not lead to the login page. None is ever followed: it would carry the cookie along."""


class DecodeError(SessionError):
    """The body is not JSON, or JSON of another shape than documented.

    Attributes:
        preview: the first characters of the body with everything that looks like a secret taken out.
    """

    def __init__(self, message: str, *, status: int | None = None, path: str | None = None, preview: str = "") -> None:
        super().__init__(message, status=status, path=path)
        self.preview = preview


class PaceError(CpapiError):
    """This program asked for more requests than the gateway's paces have room for in time; this one was not sent.

    Attributes:
        path: what would have been asked.
        limit: whose pace it is: an endpoint, or `all requests together`.
        retry_after_s: after how many seconds of the clock it may be worth asking again.
    """

    is_retryable = True

    def __init__(self, message: str, *, path: str, limit: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.path = path
        self.limit = limit
        self.retry_after_s = retry_after_s


class TransportError(CpapiError):
    """The connection could not be made, or ended in another way than by a CLOSE frame of the peer."""

    is_retryable = True


class ConnectError(TransportError):
    """No connection: the name does not resolve, nobody listens, or the peer hung up."""


class RequestTimeoutError(TransportError, TimeoutError):
    """No answer within the time that the options allow."""


class HandshakeError(TransportError):
    """The peer answered the upgrade request with something else than a WebSocket.

    Attributes:
        status: the HTTP status of the answer, or None when there was none.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ProtocolViolationError(TransportError):
    """The peer sent what the WebSocket protocol, or a limit of ours, does not allow; the connection was closed."""


class CertificateError(TransportError):
    """The peer's certificate is not one that the chosen TLS policy trusts."""

    is_retryable = False


class PinMismatchError(CertificateError):
    """The peer's certificate is not the pinned one. Nothing was sent over the connection."""


class CallbackError(CpapiError):
    """A callback of the user raised; the original exception is the `__cause__`."""


class ConsumerOverflowError(CpapiError):
    """A consumer with the policy `halt` read more slowly than frames came; it gets none any more.

    Attributes:
        name: the consumer's name.
        dropped: how many frames of the read that was too much were not kept.
    """

    def __init__(self, message: str, *, name: str, dropped: int) -> None:
        super().__init__(message)
        self.name = name
        self.dropped = dropped


class MalformedPayloadError(CpapiError, ValueError):
    """The frame has a route, but its text is not JSON.

    Attributes:
        raw: the frame's bytes. They are not part of the message, since they may name an account.
    """

    def __init__(self, message: str, *, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class OutputError(CpapiError, OSError):
    """A file or folder cannot be written; what was finished before stays readable.

    Attributes:
        path: the file or folder.
    """

    def __init__(self, message: str, *, path: str) -> None:
        super().__init__(message)
        self.path = path


class DecisionRecordError(CpapiError, ValueError):
    """A decision record is damaged, or was written by another version of its format.

    Attributes:
        line: the number of the line with the error, starting at 1.
    """

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class ReplayMismatchError(DecisionRecordError):
    """The replay of a decision record has other actions than the record: this version decides differently."""


class MissingDependencyError(CpapiError, ImportError):
    """What was asked for needs a package that is not installed; the message says how to install it."""

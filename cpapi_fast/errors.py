"""The exceptions of this library, as one tree.

::

    CpapiError                                   is_retryable
    ├── ConfigError (ValueError)                 no   an invalid option, URL, path or fingerprint
    │   └── HeaderRefusedError                   no   a value that is not valid in a header; it was not sent
    ├── SubscriptionError (ValueError)           no   an invalid conid, field code or topic
    │   ├── SymbolError (.candidates)            no   symbols with no or several contracts
    │   └── LimitError (.limit, .most, .in_use)  no   a limit of the gateway is reached; nothing was sent
    ├── UsageError (RuntimeError)                no   the call is invalid in this state: two readers, a closed client
    ├── SessionError (.status, .path, .meaning)  no   a response of the gateway over REST
    │   ├── NoSessionError                       YES  the gateway has no session, or no brokerage session, yet
    │   ├── NotAuthenticatedError                no   no user is logged in; a person has to log in
    │   ├── CompetingSessionError                no   another login holds the brokerage session
    │   ├── StatusError                          depends on the meaning: YES for 429 and 5xx, no for most others
    │   │   └── RateLimitedError (.retry_after_s) YES status 429; nothing is sent during the penalty
    │   ├── RedirectError                        no   a redirect to another page than the login; not followed
    │   └── DecodeError (.preview)               no   HTML, or JSON with an unexpected shape
    ├── PaceError (.limit, .retry_after_s)       YES  this program sends too many requests; this one was not sent
    ├── TransportError (.meaning, .advice)       YES  the connection failed or ended without a CLOSE frame
    │   ├── ConnectError                         YES  no connection: DNS, refused, reset; no for another server
    │   ├── RequestTimeoutError (TimeoutError)   YES  no response within a time limit
    │   ├── HandshakeError (.status, .meaning)   depends on the meaning; the upgrade to a WebSocket failed
    │   ├── ProtocolViolationError               YES  the peer violated the protocol or a size limit
    │   └── CertificateError (.verify_code)      no   the TLS policy does not trust the certificate
    │       └── PinMismatchError                 no   the certificate is not the pinned one; no cookie was sent
    ├── CallbackError                            no   a user's callback raised; its exception is the __cause__
    ├── ConsumerOverflowError (.dropped)         no   a consumer with the policy `halt` was too slow
    ├── MalformedPayloadError (ValueError; .raw) no   raised only by Frame.payload
    ├── OutputError (OSError; .path)             no   a file cannot be written
    ├── DecisionRecordError (ValueError; .line)  no   a decision record is damaged
    │   └── ReplayMismatchError                  no   the replay of a decision record has other actions
    └── MissingDependencyError (ImportError)     no   an optional package is not installed

Messages and `repr`s contain no session id, cookie or account. A message is one line of printable characters: texts of
the gateway, of options and of paths are shown with escapes in it (see `cpapi_fast.printable`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from .meaning import Meaning
from .printable import printable
from .redaction import redact_accounts


class CpapiError(Exception):
    """Base class of all exceptions of this library."""

    #: Whether a later retry can succeed without human action and without a change of the program.
    is_retryable: bool = False

    def __str__(self) -> str:
        """The message, printable. An account in it is redacted, also if it comes from an argument of the caller."""
        # Before the escapes, because the letter in front of an account may be the end of one.
        return printable(redact_accounts(super().__str__()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle an error by its attributes, because its arguments are more than the message."""
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(cls: type[CpapiError], args: tuple[Any, ...]) -> CpapiError:
    error = cls.__new__(cls)
    error.args = args
    return error


class ConfigError(CpapiError, ValueError):
    """An option, URL, path or fingerprint is invalid. The message states what is valid."""


class HeaderRefusedError(ConfigError):
    """A value is not valid in an HTTP header; nothing was sent. The message does not contain the value."""


class SubscriptionError(CpapiError, ValueError):
    """A conid, field code or topic is invalid."""


class SymbolError(SubscriptionError):
    """Symbols name no contract, or several. The message names them, and what tells the contracts apart.

    Attributes:
        candidates: the contracts (`ResolvedSymbol`) of each of these symbols; none for an unknown one.
    """

    def __init__(self, message: str, *, candidates: Mapping[str, Sequence[Any]]) -> None:
        super().__init__(message)
        self.candidates = candidates


class LimitError(SubscriptionError):
    """A limit of the gateway is reached, so the subscription was not sent.

    Attributes:
        limit: what is limited, such as `market data lines`.
        most: the maximum number.
        in_use: the number in use.
    """

    def __init__(self, limit: str, *, most: int, in_use: int, advice: str) -> None:
        super().__init__(f"all {limit} are in use: {in_use} of {most}. {advice}")
        self.limit = limit
        self.most = most
        self.in_use = in_use


class UsageError(CpapiError, RuntimeError):
    """The call is invalid in the state of the object: two readers at once, a closed client."""


class SessionError(CpapiError):
    """The gateway's response over REST reports a failure or is unexpected.

    Attributes:
        status: the HTTP status; None when the error has none.
        path: the requested path, without host and query.
        meaning: what the response means, by the table that feed and doctor read too; None if there was no response.
        advice: what to do; the end of the message. Possibly empty.
    """

    meaning: Meaning | None = None

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        path: str | None = None,
        meaning: Meaning | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.path = path
        self.advice = advice
        if meaning is not None:
            self.meaning = meaning


class NoSessionError(SessionError):
    """The gateway is reachable but has no session yet, or the brokerage session is not open yet (`no bridge`)."""

    is_retryable = True


class NotAuthenticatedError(SessionError):
    """No user is logged in at the gateway. Log in to the gateway in a browser."""

    meaning = Meaning.LOGIN_REQUIRED


class CompetingSessionError(SessionError):
    """Another login of the same user holds the brokerage session."""

    meaning = Meaning.COMPETING


class StatusError(SessionError):
    """The HTTP status is neither 2xx nor one that reports a missing login; or it is 2xx, and the body is an error."""

    #: Retryable statuses below 500. Those from 500 on are always retryable.
    _RETRYABLE: ClassVar[frozenset[int]] = frozenset({429})

    def __init__(
        self,
        message: str,
        *,
        status: int,
        path: str | None = None,
        meaning: Meaning | None = None,
        advice: str = "",
        is_retryable: bool | None = None,
    ) -> None:
        super().__init__(message, status=status, path=path, meaning=meaning, advice=advice)
        by_status = status >= 500 or status in self._RETRYABLE
        self.is_retryable = by_status if is_retryable is None else is_retryable


class RateLimitedError(StatusError):
    """The gateway returned status 429, for this request or an earlier one. Nothing is sent during the penalty.

    Attributes:
        retry_after_s: the remaining time of the penalty, in seconds of the clock.
    """

    is_retryable = True
    meaning = Meaning.RATE_LIMITED

    def __init__(self, message: str, *, path: str | None = None, retry_after_s: float) -> None:
        super().__init__(message, status=429, path=path)
        self.retry_after_s = retry_after_s


class RedirectError(SessionError):
    """A redirect to a page other than the login. It is not followed, because its target would get the cookie."""

    meaning = Meaning.REDIRECT


class DecodeError(SessionError):
    """The body is not JSON, or JSON with an unexpected shape.

    Attributes:
        preview: the start of the body as one line of at most 120 characters, without anything that looks like a secret.
    """

    meaning = Meaning.UNEXPECTED_BODY

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        path: str | None = None,
        meaning: Meaning | None = None,
        advice: str = "",
        preview: str = "",
    ) -> None:
        super().__init__(message, status=status, path=path, meaning=meaning, advice=advice)
        self.preview = preview


class PaceError(CpapiError):
    """This program sends more requests than the gateway's rate limits allow; this one was not sent.

    Attributes:
        path: the path of the request.
        limit: the exhausted rate limit: an endpoint, or `all requests together`.
        retry_after_s: the minimum wait before a retry can succeed, in seconds of the clock.
    """

    is_retryable = True

    def __init__(self, message: str, *, path: str, limit: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.path = path
        self.limit = limit
        self.retry_after_s = retry_after_s


class TransportError(CpapiError):
    """The connection failed, or ended without a CLOSE frame from the peer.

    Attributes:
        meaning: what the server's behaviour means, by the table that REST, feed and doctor read; None if it is unknown.
        advice: what to do; the end of the message. Possibly empty.
    """

    is_retryable = True

    def __init__(
        self, message: str, *, meaning: Meaning | None = None, advice: str = "", is_retryable: bool | None = None
    ) -> None:
        super().__init__(message)
        self.meaning = meaning
        self.advice = advice
        if is_retryable is not None:
            self.is_retryable = is_retryable


class ConnectError(TransportError):
    """The connection cannot be opened: the host name does not resolve, or the peer refused or reset the connection."""


class RequestTimeoutError(TransportError, TimeoutError):
    """The peer did not respond within a time limit of the options."""


class HandshakeError(TransportError):
    """The peer refused the upgrade to a WebSocket.

    Attributes:
        status: the HTTP status of the response; None without one.
        meaning: what the response means, by the table that REST and doctor read too; None if there was no response.
        advice: what to do; the end of the message. Possibly empty.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        meaning: Meaning | None = None,
        advice: str = "",
        is_retryable: bool = True,
    ) -> None:
        super().__init__(message, meaning=meaning, advice=advice, is_retryable=is_retryable)
        self.status = status


class ProtocolViolationError(TransportError):
    """The peer violated the WebSocket protocol or a size limit; the connection was closed."""


class CertificateError(TransportError):
    """The TLS policy does not trust the peer's certificate.

    Attributes:
        verify_code: OpenSSL's number of the reason (`X509_V_ERR_...`), such as 62 for a wrong host name; None if
            OpenSSL did not decide.
        verify_message: OpenSSL's text for it; empty without one.
    """

    is_retryable = False

    def __init__(self, message: str, *, verify_code: int | None = None, verify_message: str = "") -> None:
        super().__init__(message)
        self.verify_code = verify_code
        self.verify_message = verify_message


class PinMismatchError(CertificateError):
    """The peer's certificate is not the pinned one. Nothing was sent."""


class CallbackError(CpapiError):
    """A callback of the user raised; its exception is the `__cause__`."""


class ConsumerOverflowError(CpapiError):
    """A consumer with the policy `halt` was slower than the frames; it receives no more.

    Attributes:
        name: the consumer's name.
        dropped: how many frames of the socket read that exceeded the limit were dropped.
    """

    def __init__(self, message: str, *, name: str, dropped: int) -> None:
        super().__init__(message)
        self.name = name
        self.dropped = dropped


class MalformedPayloadError(CpapiError, ValueError):
    """The frame's payload is not JSON.

    Attributes:
        raw: the frame's bytes. The message does not contain them, because they may contain an account.
    """

    def __init__(self, message: str, *, raw: bytes) -> None:
        super().__init__(message)
        self.raw = raw


class OutputError(CpapiError, OSError):
    """A file or folder cannot be written. Finished files stay readable.

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
    """A feature needs a package that is not installed. The message states how to install it."""

    #: What to install for each optional package. Its own name works from a checkout too; that of an extra does not.
    REQUIREMENTS: ClassVar[dict[str, str]] = {
        "bokeh": "bokeh>=3.6",
        "confluent-kafka": "confluent-kafka>=2.4",
        "cryptography": "cryptography>=42",
        "pandas": "pandas>=2.2",
        "polars": "polars>=1.9",
        "prometheus_client": "prometheus-client>=0.21",
        "pyarrow": "pyarrow>=17",
        "rich": "rich>=13",
    }

    @classmethod
    def of(cls, feature: str, package: str) -> MissingDependencyError:
        """Return the error for a feature (`TLS in the simulator`) whose package is not installed."""
        return cls(f'{feature} needs {package}: pip install "{cls.REQUIREMENTS[package]}"')

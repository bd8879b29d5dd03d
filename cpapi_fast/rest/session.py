"""The session ticket, the state of the brokerage session and the accounts, parsed from the gateway's JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.errors import HeaderRefusedError, NoSessionError
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

# cookie-octet of RFC 6265: no control characters, spaces, quotes, commas, semicolons, backslashes; ASCII only.
_COOKIE_SAFE: Final = re.compile(r"[!#-+\--:<-\[\]-~]{1,4096}")


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class SessionTicket:
    """The response to `/tickle`. `repr` and error messages do not contain the session id.

    The four flags are those of `iserver.authStatus`. A flag that the response does not contain is None.

    Attributes:
        session: the session id that opens the WebSocket; None when the gateway has no session.
        raw: the body as received.
        payload: the decoded body.
        authenticated: whether the brokerage session is open.
        connected: whether the gateway is connected to Interactive Brokers.
        competing: whether another login holds the brokerage session.
        established: whether the brokerage session is ready for use (newer gateways only).
        sso_expires_ms: the remaining lifetime of the login session, in milliseconds.
        received_ns: when the response arrived, in ns since the Unix epoch.
    """

    session: str | None = field(repr=False)
    raw: bytes = field(repr=False)
    payload: dict[str, Any] = field(repr=False)
    authenticated: bool | None
    connected: bool | None
    competing: bool | None
    established: bool | None
    sso_expires_ms: int | None
    received_ns: int

    @classmethod
    def parse(cls, payload: object, raw: bytes, received_ns: int) -> SessionTicket:
        """Parse the decoded body of `/tickle`.

        Raises:
            ShapeError: the body has an unexpected shape.
        """
        body = _object(payload, "the body")
        iserver = _object(body.get("iserver"), "iserver", optional=True)
        status = _object(iserver.get("authStatus"), "iserver.authStatus", optional=True)
        expires = body.get("ssoExpires")
        if expires is not None and (isinstance(expires, bool) or not isinstance(expires, int)):
            raise ShapeError("ssoExpires is not a whole number")
        return cls(
            # Some gateways send an empty id if they have no session.
            session=_text(body, "session") or None,
            raw=raw,
            payload=body,
            authenticated=_flag(status, "authenticated"),
            connected=_flag(status, "connected"),
            competing=_flag(status, "competing"),
            established=_flag(status, "established"),
            sso_expires_ms=expires,
            received_ns=received_ns,
        )

    def cookie_header(self) -> str:
        """Return the value of the `Cookie` header that opens the WebSocket: `api={"session":"..."}`.

        Raises:
            NoSessionError: the gateway has no session.
            HeaderRefusedError: the session id is not valid in a header. The message does not contain it.
        """
        if self.session is None:
            raise NoSessionError(
                "the gateway has no session. Log in to the gateway in a browser, then try again.", path="/tickle"
            )
        if _COOKIE_SAFE.fullmatch(self.session) is None:
            raise HeaderRefusedError(
                "the session id of the gateway is not valid in a header (control characters, quotes, spaces, "
                "semicolons, non-ASCII, or too long), so it was not sent. Log in to the gateway again."
            )
        return f'api={{"session":"{self.session}"}}'


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class AuthStatus:
    """The state of the brokerage session.

    Attributes:
        authenticated: whether the brokerage session is open.
        connected: whether the gateway is connected to Interactive Brokers.
        competing: whether another login of the same user holds the brokerage session.
        established: whether the brokerage session is ready for use; None if the gateway does not report it.
        message: the gateway's message, often empty.
        fail: the gateway's message about a failure, often empty.
        payload: the decoded body.
    """

    authenticated: bool
    connected: bool
    competing: bool
    established: bool | None
    message: str = field(repr=False)
    fail: str = field(repr=False)
    payload: dict[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, payload: object) -> AuthStatus:
        """Parse the decoded body of `/iserver/auth/status` or `/iserver/auth/ssodh/init`.

        Raises:
            ShapeError: the body has an unexpected shape.
        """
        body = _object(payload, "the body")
        authenticated = _flag(body, "authenticated")
        connected = _flag(body, "connected")
        if authenticated is None or connected is None:
            raise ShapeError("authenticated or connected is missing")
        return cls(
            authenticated=authenticated,
            connected=connected,
            competing=bool(_flag(body, "competing")),
            established=_flag(body, "established"),
            message=_text(body, "message") or "",
            fail=_text(body, "fail") or "",
            payload=body,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """The accounts of the logged-in user. The `repr` contains only their number.

    Attributes:
        ids: the account ids.
        selected: the id of the selected account; None without a selection.
        payload: the decoded body.
    """

    ids: tuple[str, ...]
    selected: str | None
    payload: dict[str, Any]

    @classmethod
    def parse(cls, payload: object) -> Accounts:
        """Parse the decoded body of `/iserver/accounts`.

        Raises:
            ShapeError: the body has an unexpected shape.
        """
        body = _object(payload, "the body")
        ids = body.get("accounts")
        if not isinstance(ids, list) or not all(isinstance(entry, str) for entry in ids):
            raise ShapeError("accounts is not a list of strings")
        return cls(ids=tuple(ids), selected=_text(body, "selectedAccount") or None, payload=body)

    def __repr__(self) -> str:
        return f"Accounts({len(self.ids)} accounts)"


def parse_logout(payload: object) -> bool:
    """Return whether the decoded body of `/logout` confirms the logout.

    Raises:
        ShapeError: the body has an unexpected shape.
    """
    return _flag(_object(payload, "the body"), "status") is True


def _object(value: object, name: str, *, optional: bool = False) -> dict[str, Any]:
    if value is None and optional:
        return {}
    if not isinstance(value, dict):
        raise ShapeError(f"{name} is not a JSON object")
    return value


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise ShapeError(f"{name} is not true or false")
    return value


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ShapeError(f"{name} is not a string")
    return value

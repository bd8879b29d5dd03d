"""The session ticket, the state of the brokerage session and the accounts, parsed from the gateway's JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from cpapi_fast.errors import CompetingSessionError, HeaderRefusedError, NoSessionError, NotAuthenticatedError
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.members import Members, Words
from cpapi_fast.protocol.shape import ShapeError
from cpapi_fast.redaction import repr_without_accounts

# cookie-octet of RFC 6265: no control characters, spaces, quotes, commas, semicolons, backslashes; ASCII only.
_COOKIE_SAFE: Final = re.compile(r"[!#-+\--:<-\[\]-~]{1,4096}")


#: Members of the response to `/tickle`. A response without any of them comes from another JSON server.
_TICKLE_MEMBERS: Final = frozenset({"session", "iserver", "ssoExpires", "collission", "userId", "hmds", "error"})


@repr_without_accounts
@dataclass(frozen=True, slots=True, eq=False)
class SessionTicket:
    """The response to `/tickle`. `repr` and error messages do not contain the session id.

    Only the session id is needed. Every other member is None if the response does not contain it, or not in a form that
    can be read; `odd` names the latter.

    Attributes:
        session: the session id that opens the WebSocket; None when the gateway has no session.
        raw: the body as received.
        payload: the decoded body.
        authenticated: whether the brokerage session is open.
        connected: whether the gateway is connected to Interactive Brokers.
        competing: whether another login holds the brokerage session, by the gateway's flag.
        established: whether the brokerage session is ready for use (newer gateways only).
        sso_expires_ms: the remaining lifetime of the login session, in milliseconds.
        received_ns: when the response arrived, in ns since the Unix epoch.
        words: the gateway's words about the brokerage session (`fail`, `message`, `prompts`) as one short line without
            secrets; often empty.
        said: what these words mean; None if that is unknown.
        odd: the names of members that had an unexpected type.
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
    words: str = field(default="", repr=False)
    said: Meaning | None = None
    odd: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of_gateway(cls, payload: object, raw: bytes, received_ns: int) -> SessionTicket:
        """Parse the decoded body of `/tickle`, and refuse that of another server.

        Raises:
            ShapeError: the body has an unexpected shape, or no member of a gateway's response.
        """
        if isinstance(payload, dict) and not _TICKLE_MEMBERS & payload.keys():
            raise ShapeError("the body has no member of a gateway's response")
        return cls.parse(payload, raw, received_ns)

    @classmethod
    def parse(cls, payload: object, raw: bytes, received_ns: int) -> SessionTicket:
        """Parse the decoded body of `/tickle`.

        Raises:
            ShapeError: the body is not an object, or its session id is not a text.
        """
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        status = body.object("iserver").object("authStatus")
        session = body.payload.get("session")
        if session is not None and not isinstance(session, str):
            raise ShapeError("session is not a string")
        words = Words(status.words() or body.words())
        return cls(
            # Some gateways send an empty id if they have no session.
            session=session or None,
            raw=raw,
            payload=body.payload,
            authenticated=status.flag("authenticated"),
            connected=status.flag("connected"),
            competing=status.flag("competing"),
            established=status.flag("established"),
            sso_expires_ms=body.whole("ssoExpires"),
            received_ns=received_ns,
            words=words.shown,
            said=words.meaning,
            odd=tuple(odd),
        )

    @property
    def is_held_elsewhere(self) -> bool:
        """Whether the brokerage session is not open because another login holds it, by flag or by words."""
        return not self.authenticated and (bool(self.competing) or self.said is Meaning.COMPETING)

    def cookie_header(self) -> str:
        """Return the value of the `Cookie` header that opens the WebSocket: `api={"session":"..."}`.

        Raises:
            NoSessionError: the gateway has no session.
            HeaderRefusedError: the session id is not valid in a header. The message does not contain it.
        """
        if self.session is None:
            raise NoSessionError(
                "the gateway has no session. Log in to the gateway in a browser, then try again.",
                path="/tickle",
                meaning=Meaning.LOGIN_REQUIRED,
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

    A flag is None if the gateway does not report it, or not in a form that can be read; `odd` names the latter.

    Attributes:
        authenticated: whether the brokerage session is open.
        connected: whether the gateway is connected to Interactive Brokers.
        competing: whether another login of the same user holds the brokerage session, by the gateway's flag.
        established: whether the brokerage session is ready for use.
        message: the gateway's message, often empty.
        fail: the gateway's message about a failure, often empty.
        payload: the decoded body.
        passed: whether the request to open the session has passed; only in the response to that request.
        words: `fail`, `message` and `prompts` as one short line without secrets; often empty.
        said: what these words mean; None if that is unknown.
        odd: the names of members that had an unexpected type.
    """

    authenticated: bool | None
    connected: bool | None
    competing: bool
    established: bool | None
    message: str = field(repr=False)
    fail: str = field(repr=False)
    payload: dict[str, Any] = field(repr=False)
    passed: bool | None = None
    words: str = field(default="", repr=False)
    said: Meaning | None = None
    odd: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, payload: object) -> AuthStatus:
        """Parse the decoded body of `/iserver/auth/status` or `/iserver/auth/ssodh/init`.

        Raises:
            ShapeError: the body is not an object, or it says nothing about a session.
        """
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        authenticated, passed = body.flag("authenticated"), body.flag("passed")
        connected, competing = body.flag("connected"), body.flag("competing")
        words = Words(body.words())
        if authenticated is None and passed is None and connected is None and competing is None and not words.shown:
            raise ShapeError("authenticated, connected, competing, passed and fail are missing")
        if authenticated is None and passed is False:
            authenticated = False
        return cls(
            authenticated=authenticated,
            connected=connected,
            competing=bool(competing),
            established=body.flag("established"),
            message=body.text("message") or "",
            fail=body.text("fail") or "",
            payload=body.payload,
            passed=passed,
            words=words.shown,
            said=words.meaning,
            odd=tuple(odd),
        )

    @property
    def is_held_elsewhere(self) -> bool:
        """Whether the brokerage session is not open because another login holds it, by flag or by words."""
        return not self.authenticated and (self.competing or self.said is Meaning.COMPETING)


@dataclass(frozen=True, slots=True, eq=False)
class Accounts:
    """The accounts of the logged-in user. The `repr` contains only their number.

    Attributes:
        ids: the account ids.
        selected: the id of the selected account; None without a selection.
        payload: the decoded body.
        odd: the names of members that had an unexpected type.
    """

    ids: tuple[str, ...]
    selected: str | None
    payload: dict[str, Any]
    odd: tuple[str, ...] = ()

    @classmethod
    def parse(cls, payload: object) -> Accounts:
        """Parse the decoded body of `/iserver/accounts`.

        Raises:
            ShapeError: the body is not an object with a list of accounts.
        """
        odd: list[str] = []
        body = Members.of_body(payload, odd)
        ids = body.list_of_texts("accounts")
        if ids is None or (not ids and body.payload["accounts"]):
            raise ShapeError("accounts is not a list of strings")
        return cls(ids=tuple(ids), selected=body.text("selectedAccount") or None, payload=body.payload, odd=tuple(odd))

    def __repr__(self) -> str:
        return f"Accounts({len(self.ids)} accounts)"


def competing_error(status: AuthStatus, path: str) -> CompetingSessionError:
    """Return the error for a brokerage session that another login holds, with the gateway's words."""
    said = f' (the gateway says: "{status.words}")' if status.words else ""
    advice = "End that login, or take over the session with init_brokerage_session(compete=True)."
    return CompetingSessionError(
        f"another login of this user holds the brokerage session{said}. {advice}", path=path, advice=advice
    )


def check_open(status: AuthStatus, origin: str, path: str) -> None:
    """Check that the brokerage session is open.

    Args:
        status: the state of the brokerage session.
        origin: the gateway, for the advice.
        path: the path of the request that returned it.

    Raises:
        NoSessionError, CompetingSessionError, NotAuthenticatedError: see `Client.health`.
    """
    if status.is_held_elsewhere:
        raise competing_error(status, path)
    if status.connected is False:
        raise NoSessionError(
            f"the gateway at {origin} is not connected to Interactive Brokers. Wait until it is, or log in at "
            f"{origin} in a browser.",
            path=path,
        )
    if not status.authenticated:
        said = f', and says: "{status.words}"' if status.words else ""
        raise NotAuthenticatedError(
            f"the gateway at {origin} has no open brokerage session{said}. Call "
            f"init_brokerage_session(), or log in at {origin} in a browser.",
            path=path,
            meaning=Meaning.BROKERAGE_CLOSED,
        )


def parse_logout(payload: object) -> bool:
    """Return whether the decoded body of `/logout` confirms the logout.

    Raises:
        ShapeError: the body is not an object, or its status cannot be read.
    """
    body = Members.of_body(payload, [])
    status = body.flag("status")
    if status is None and body.payload.get("status") is not None:
        raise ShapeError("status is not true or false")
    return status is True

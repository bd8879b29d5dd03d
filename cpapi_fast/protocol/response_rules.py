"""The rules from step, status, headers and body of a response, or the gateway's words, to their `Meaning`. No I/O

The rules are tried in order, so a new one belongs above those that would apply to the same response.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import orjson

from cpapi_fast.meaning import Meaning
from cpapi_fast.redaction import preview

from .other_servers import OtherServer, is_page, server_of_response, wants_tls
from .words import meaning_of_words, words_of, words_of_error

#: How much of a body is read for texts and marks, in bytes.
_READ_BYTES: Final = 8192

# --- what is judged ----------------------------------------------------------------------------------


class Step(enum.Enum):
    """The step of a connection that a request belongs to."""

    #: Login and session: `/tickle`, `/iserver/auth/*`, `/logout`.
    SESSION = "session"
    #: Requests that need an open brokerage session: `/iserver/*`.
    BROKERAGE = "brokerage"
    #: The upgrade to a WebSocket, which follows successful requests over REST.
    UPGRADE = "upgrade"


def step_of(path: str) -> Step:
    """Return the step of a REST path below the base URL."""
    return Step.BROKERAGE if path.startswith("/iserver/") and not path.startswith("/iserver/auth/") else Step.SESSION


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """One response of a server.

    Attributes:
        step: the step of the request.
        status: the HTTP status; None if the response is not HTTP.
        headers: the headers, by lower-case name.
        body: the body; at the upgrade, what of it is known.
        secrets: texts that nothing may show.
        is_known: whether a gateway has answered at this address before.
        is_base_right: whether another path of this base URL is known to be there.
    """

    step: Step
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    secrets: Sequence[str] = field(default=(), repr=False)
    is_known: bool = True
    is_base_right: bool = False

    @property
    def other_server(self) -> OtherServer | None:
        """Who sent it; None unless it is certain that it is no gateway."""
        return None if self.status is None else server_of_response(self.status, self.headers, self.body)

    @property
    def server(self) -> str:
        """The name of the server by its `Server` header, possibly empty; printable, without secrets."""
        return preview(self.headers.get("server", "").encode(), self.secrets)

    @property
    def is_html(self) -> bool:
        """Whether the body is an HTML page."""
        return is_page(self.headers, self.body)

    def _start(self) -> str:
        body = self.body[:_READ_BYTES]
        if len(body) < len(self.body):
            # Without its last word, of which the rest is missing: the start of a secret may not look like one.
            body = b" ".join(body.split()[:-1])
        return body.decode("utf-8", "replace")

    def text(self) -> str:
        """Return the readable text of the body: of JSON its words, of HTML the text without tags, else the body."""
        text = self._start()
        if text.lstrip()[:1] == "{":
            try:
                return "; ".join(words_of(orjson.loads(text))) or text
            except orjson.JSONDecodeError:
                return text
        return _TAGS.sub(" ", text) if self.is_html else text

    def words(self) -> str:
        """Return the server's words in the body of an error: of JSON its texts, else `text()`."""
        return self.text() if self.is_html else words_of_error(self._start())

    def quote(self) -> str:
        """Return the start of `text()` for a message: one printable line without secrets, in quotes; maybe empty."""
        line = preview(self.text().encode("utf-8", "replace"), self.secrets)
        return f'"{line}"' if line else ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a response means.

    Attributes:
        meaning: its row in the table.
        found: what the server did, as the rest of a sentence that begins with the path: `returned status 403: "..."`.
    """

    meaning: Meaning
    found: str


# --- the rules ---------------------------------------------------------------------------------------

_TAGS: Final = re.compile(r"(?is)<(script|style)\b.*?</\1\s*>|<!--.*?-->|<[^>]*>")
#: Under any prefix, because a proxy may serve the gateway below a path of its own.
_LOGIN_PATH: Final = re.compile(r"(?i)(?:^|/)sso/(?:login|dispatcher)(?:[/;]|$)")
_LOGIN_PAGE: Final = re.compile(
    rb"(?i)/sso/(?:login|dispatcher)\b|type\s*=\s*[\"']?password|<title>[^<]*\blog\s?-?in\b"
)
_ACCESS_DENIED: Final = re.compile(rb"(?i)\baccess\s+denied\b")
#: Akamai's page has the same words as the gateway's list of allowed addresses.
_EDGE: Final = re.compile(rb"(?i)edgesuite\.net|reference\s*&#32;&#35;|akamai|cloudflare")
#: Proxies that people put before a gateway. IBKR's own servers are behind Akamai and Apache.
_PROXIES: Final = re.compile(rb"(?i)\b(?:nginx|openresty|haproxy|caddy|traefik|envoy|squid|varnish)\b")
#: Members that a useful response of the gateway has. With one of them, an `error` beside it decides nothing.
_USEFUL: Final = frozenset({"session", "authenticated", "passed", "accounts", "data"})

_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)
_SERVER_ERRORS: Final = range(500, 600)


def _redirects_to_login(response: ServerResponse) -> bool:
    try:
        return _LOGIN_PATH.search(urlsplit(response.headers.get("location", "")).path) is not None
    except ValueError:
        return False


def _is_login_page(response: ServerResponse) -> bool:
    return response.is_html and _LOGIN_PAGE.search(response.body) is not None


def _denies_address(response: ServerResponse) -> bool:
    return (
        _ACCESS_DENIED.search(response.body[:_READ_BYTES]) is not None
        and _EDGE.search(response.body[:_READ_BYTES] + response.headers.get("server", "").encode()) is None
    )


def _is_of_proxy(response: ServerResponse) -> bool:
    return _PROXIES.search(response.headers.get("server", "").encode() + b" " + response.body[:_READ_BYTES]) is not None


def _is_other_server(meaning: Meaning) -> Callable[[ServerResponse], bool]:
    def where(response: ServerResponse) -> bool:
        other = response.other_server
        return other is not None and other.meaning is meaning

    return where


def _demands_password(response: ServerResponse) -> bool:
    """Whether a proxy or another server asks for a password of its own, which a gateway never does."""
    return re.match(r"(?i)(?:basic|digest|negotiate|ntlm)\b", response.headers.get("www-authenticate", "")) is not None


def _says(meaning: Meaning) -> Callable[[ServerResponse], bool]:
    return lambda response: not response.is_html and meaning_of_words(response.words()) is meaning


@dataclass(frozen=True, slots=True)
class _Rule:
    meaning: Meaning
    statuses: Container[int]
    where: Callable[[ServerResponse], bool] = lambda _response: True
    steps: Container[Step] = frozenset(Step)


_REST: Final = frozenset({Step.SESSION, Step.BROKERAGE})
_NOT_SUCCESS: Final = frozenset(range(100, 1000)) - frozenset(_SUCCESS)

#: Tried in order; the first that applies decides. A response to which none applies is a success.
_RULES: Final[tuple[_Rule, ...]] = (
    # Who answers decides before what it answers.
    *(
        _Rule(meaning, range(100, 1000), _is_other_server(meaning))
        for meaning in (Meaning.AIRPLAY, Meaning.CAPTIVE_PORTAL, Meaning.NOT_A_GATEWAY)
    ),
    _Rule(Meaning.WRONG_SCHEME, (400,), lambda response: wants_tls(response.body)),
    _Rule(Meaning.RATE_LIMITED, (429,)),
    _Rule(Meaning.LOGIN_REQUIRED, _REDIRECTS, _redirects_to_login),
    _Rule(
        Meaning.REDIRECT,
        _REDIRECTS,
        lambda response: bool(response.headers.get("location")) and not response.is_base_right,
        _REST,
    ),
    # What the gateway says decides before the status that it says it with.
    _Rule(Meaning.COMPETING, _NOT_SUCCESS, _says(Meaning.COMPETING)),
    _Rule(Meaning.BROKERAGE_CLOSED, _NOT_SUCCESS, _says(Meaning.BROKERAGE_CLOSED)),
    _Rule(Meaning.ACCOUNTS_FIRST, _NOT_SUCCESS, _says(Meaning.ACCOUNTS_FIRST)),
    # Of requests that need the brokerage session: the login is another one, and `/tickle` reports it.
    _Rule(Meaning.BROKERAGE_CLOSED, _NOT_SUCCESS, _says(Meaning.LOGIN_REQUIRED), {Step.BROKERAGE}),
    _Rule(Meaning.LOGIN_REQUIRED, _NOT_SUCCESS, _says(Meaning.LOGIN_REQUIRED)),
    # A gateway knows POST /tickle.
    _Rule(Meaning.NOT_A_GATEWAY, (405, 501), lambda response: not response.is_known, {Step.SESSION}),
    _Rule(Meaning.PROXY_ERROR, _SERVER_ERRORS, _is_of_proxy),
    _Rule(Meaning.UPGRADE_REFUSED, (501, 505), steps={Step.UPGRADE}),
    _Rule(Meaning.SERVER_ERROR, _SERVER_ERRORS),
    _Rule(Meaning.LOGIN_REQUIRED, (*_SUCCESS, 401, 403), _is_login_page),
    _Rule(Meaning.FORBIDDEN, (401, 407), _demands_password),
    _Rule(Meaning.LOGIN_REQUIRED, (401,)),
    _Rule(Meaning.ADDRESS_REFUSED, (403,), _denies_address),
    _Rule(Meaning.TIMED_OUT, (408,)),
    _Rule(Meaning.GONE, (410,)),
    # REST has worked before the upgrade, so host, port and path are right.
    _Rule(Meaning.UPGRADE_REFUSED, range(100, 1000), steps={Step.UPGRADE}),
    _Rule(Meaning.FORBIDDEN, (403,)),
    _Rule(Meaning.BAD_REQUEST, (404,), lambda response: response.is_base_right),
    # A gateway's own 404 is JSON. Once the login is checked, it is about the request and not about the base URL.
    _Rule(Meaning.BAD_REQUEST, (404,), lambda response: response.body.lstrip()[:1] == b"{", {Step.BROKERAGE}),
    _Rule(Meaning.NOT_FOUND, (404,)),
    _Rule(Meaning.BAD_REQUEST, _NOT_SUCCESS),
    _Rule(Meaning.UNEXPECTED_BODY, _SUCCESS, lambda response: response.is_html),
)


def judge(response: ServerResponse) -> Verdict | None:
    """Return what a response means; None for a success whose body may be read."""
    status = response.status
    if status is None:
        return Verdict(Meaning.UPGRADE_REFUSED, "got a response that is not one of a WebSocket server")
    for rule in _RULES:
        if response.step in rule.steps and status in rule.statuses and rule.where(response):
            return Verdict(rule.meaning, _found(rule.meaning, response, status))
    return None


#: The form of the gateway's own errors: `{"error":"...","statusCode":...}`.
_JSON_ERROR: Final = re.compile(rb'\s*\{\s*"(?:error|statusCode)"\s*:')
#: Meanings that only a gateway's own words have.
_OF_GATEWAY: Final = frozenset(
    {Meaning.BROKERAGE_CLOSED, Meaning.COMPETING, Meaning.ACCOUNTS_FIRST, Meaning.ADDRESS_REFUSED}
)


def is_of_gateway(response: ServerResponse, verdict: Verdict | None) -> bool:
    """Whether a refusal shows that a gateway has answered: by its words, its login page, or the form of its errors."""
    if verdict is None or response.other_server is not None:
        return False
    if verdict.meaning in _OF_GATEWAY or _redirects_to_login(response) or _is_login_page(response):
        return True
    return _JSON_ERROR.match(response.body[:_READ_BYTES]) is not None


def judge_payload(response: ServerResponse, payload: object) -> Verdict | None:
    """Return what the decoded JSON of a success means if it is a known error in its place; None for all others."""
    if not isinstance(payload, dict) or _USEFUL & payload.keys():
        return None
    meaning = meaning_of_words("; ".join(words_of(payload)))
    if meaning is None:
        return None
    if meaning is Meaning.LOGIN_REQUIRED and response.step is Step.BROKERAGE:
        meaning = Meaning.BROKERAGE_CLOSED
    return Verdict(meaning, f"returned an error{_BECAUSE.get(meaning, '')}: {response.quote()}")


def refused(response: ServerResponse) -> Verdict:
    """Return the verdict for a success whose body is an error of the gateway in place of a result."""
    return Verdict(Meaning.REFUSED, f"returned an error: {response.quote()}")


def unexpected(response: ServerResponse, problem: str) -> Verdict:
    """Return the verdict for a success whose body is not as documented."""
    quote = response.quote()
    return Verdict(Meaning.UNEXPECTED_BODY, f"returned an unexpected body: {problem}{': ' if quote else ''}{quote}")


def _found(meaning: Meaning, response: ServerResponse, status: int) -> str:
    if status in _REDIRECTS and response.headers.get("location"):
        if meaning is Meaning.LOGIN_REQUIRED:
            return f"redirected to the login page (status {status}), so nobody is logged in"
        return f"returned status {status}, a redirect to {_target(response)}, which is not followed"
    if meaning is Meaning.LOGIN_REQUIRED and response.is_html and _is_login_page(response):
        return f"returned the login page (status {status}), so nobody is logged in"
    other = response.other_server
    if other is not None and other.meaning is meaning:
        by = f" by {response.server}" if response.server else ""
        return f"returned status {status}{by}, so it is {other.name} and no Client Portal gateway"
    if meaning is Meaning.UNEXPECTED_BODY:
        return f"returned HTML instead of JSON: {response.quote() or 'an empty page'}"
    by = f" by {response.server}" if response.server else ""
    quote = response.quote()
    return f"returned status {status}{by}{_BECAUSE.get(meaning, '')}{': ' if quote else ''}{quote}"


_BECAUSE: Final[Mapping[Meaning, str]] = {
    Meaning.LOGIN_REQUIRED: ", so nobody is logged in",
    Meaning.BROKERAGE_CLOSED: ", so the brokerage session is not open",
    Meaning.COMPETING: ", so another login of this user holds the brokerage session",
    Meaning.ADDRESS_REFUSED: ", so the gateway does not allow this machine's address",
    Meaning.UPGRADE_REFUSED: " instead of a WebSocket",
    Meaning.NOT_A_GATEWAY: ", which a Client Portal gateway never does",
    Meaning.WRONG_SCHEME: ", because it speaks TLS and the URL says http",
}


def _target(response: ServerResponse) -> str:
    """The target of a redirect without user info and query, which often contain tokens."""
    try:
        parts = urlsplit(response.headers.get("location", ""))
        target = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.netloc else parts.path
    except ValueError:
        target = "an invalid URL"
    return preview(target.encode("utf-8", "replace"), response.secrets)

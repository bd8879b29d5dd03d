"""Responses of gateways, proxies and other servers, each with its meaning: the cases that every reader must agree on.

The texts are from IBKR's documentation, from recordings and from public reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from cpapi_fast.meaning import Meaning

HTML = "text/html; charset=utf-8"
JSON = "application/json"
PLAIN = "text/plain"

LOGIN_PAGE = (
    b'<!DOCTYPE html>\n<html><head><title>Login</title></head><body><a href="/sso/Login?x=1">x</a></body></html>'
)
ACCESS_DENIED = b"<html><body><h1>Access Denied</h1></body></html>"
AKAMAI = (
    b"<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1>\n \n"
    b'You don\'t have permission to access "http&#58;&#47;&#47;api&#46;ibkr&#46;com&#47;" on this server.<P>\n'
    b"Reference&#32;&#35;18&#46;5d\n</BODY></HTML>"
)
NGINX = (
    b"<html>\r\n<head><title>%b</title></head>\r\n<body>\r\n<center><h1>%b</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


def error(text: str, status: int) -> bytes:
    """The body of an error as the gateway sends it."""
    return json.dumps({"error": text, "statusCode": status}).encode()


def nginx(text: bytes) -> bytes:
    """The page of an error of nginx."""
    return NGINX % (text, text)


@dataclass(frozen=True)
class Refusal:
    """One response and its meaning.

    Attributes:
        name: of the test.
        meaning: at every REST path, unless `brokerage` has another.
        status, body, headers: the response.
        brokerage: the meaning for requests that need the brokerage session, if it is another.
        upgrade: the meaning at the upgrade, if it is another.
        unknown: the meaning for the first request, before a gateway has answered, if it is another.
    """

    name: str
    meaning: Meaning
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    brokerage: Meaning | None = None
    upgrade: Meaning | None = None
    unknown: Meaning | None = None

    @property
    def at_brokerage(self) -> Meaning:
        """The meaning for requests that need the brokerage session."""
        return self.brokerage or self.meaning

    @property
    def at_first(self) -> Meaning:
        """The meaning for the first request to a server."""
        return self.unknown or self.meaning

    @property
    def at_upgrade(self) -> Meaning:
        """The meaning at the upgrade to a WebSocket."""
        return self.upgrade or self.meaning


def _of(content_type: str, **more: str) -> dict[str, str]:
    return {"content-type": content_type, **{name.replace("_", "-"): value for name, value in more.items()}}


def _to(location: str) -> dict[str, str]:
    return {"location": location}


M = Meaning
REFUSALS = (
    *(
        Refusal(f"login redirect to {location}", M.LOGIN_REQUIRED, 302, b"", _to(location))
        for location in (
            "/sso/Login?forwardTo=22&RL=1&ip2loc=US",
            "/ibkr/sso/Login?forwardTo=22&RL=1",
            "/a/b/sso/login",
            "sso/Login",
            "/sso/Dispatcher?forwardTo=22",
            "/gw/sso/Dispatcher;jsessionid=1",
            "https://gateway.example:5000/sso/Login?forwardTo=22",
            "https://proxy.example/ibkr/sso/Login",
            "//proxy.example/ibkr/sso/Dispatcher/",
        )
    ),
    Refusal("login redirect with 307", M.LOGIN_REQUIRED, 307, b"", _to("/sso/Login")),
    Refusal("login page with 200", M.LOGIN_REQUIRED, 200, LOGIN_PAGE, _of(HTML)),
    Refusal("login page with 401", M.LOGIN_REQUIRED, 401, LOGIN_PAGE, _of(HTML)),
    Refusal("login page with 403", M.LOGIN_REQUIRED, 403, LOGIN_PAGE, _of(HTML)),
    Refusal("login page under a prefix", M.LOGIN_REQUIRED, 200, b'<meta url="/ibkr/sso/Login">', _of(HTML)),
    Refusal("401 without a body", M.LOGIN_REQUIRED, 401),
    Refusal("401 Unauthorized in HTML", M.LOGIN_REQUIRED, 401, b"<h1>Unauthorized</h1>", _of(HTML)),
    Refusal(
        "401 not authenticated", M.LOGIN_REQUIRED, 401, error("not authenticated", 401), _of(JSON), M.BROKERAGE_CLOSED
    ),
    Refusal(
        "500 not authenticated", M.LOGIN_REQUIRED, 500, error("not authenticated", 500), _of(JSON), M.BROKERAGE_CLOSED
    ),
    *(
        Refusal(f"{status} {text}", M.BROKERAGE_CLOSED, status, error(text, status), _of(JSON))
        for status in (400, 401, 500, 503)
        for text in ("no bridge", "Bad Request: no bridge", "Init session first")
    ),
    Refusal("no bridge as plain text", M.BROKERAGE_CLOSED, 400, b"Bad Request: no bridge", _of(PLAIN)),
    Refusal("200 no bridge", M.BROKERAGE_CLOSED, 200, b'{"error":"no bridge"}', _of(JSON), upgrade=M.UPGRADE_REFUSED),
    *(
        Refusal(
            f"{status} accounts first",
            M.ACCOUNTS_FIRST,
            status,
            error("Please query /accounts first", status),
            _of(JSON),
        )
        for status in (400, 401, 500)
    ),
    Refusal(
        "force compete",
        M.COMPETING,
        401,
        error("Force compete capability must be used together with compete flag", 401),
        _of(JSON),
    ),
    *(
        Refusal(f"force compete in {body[:30]!r}", M.COMPETING, status, body, _of(JSON))
        for status, body in (
            (401, b'{"message":"FORCE  COMPETE capability must be used"}'),
            (500, b'{"error":"Internal error","fail":"Force compete capability must be used"}'),
            (503, b'{"error":{"text":"Force\\ncompete capability must be used"},"statusCode":503}'),
            (400, b'[{"prompts":["competing session"]}]'),
        )
    ),
    # A key is not a word.
    Refusal(
        "503 with the flags of a session",
        M.SERVER_ERROR,
        503,
        b'{"authenticated":false,"competing":false,"connected":false,"MAC":null}',
        _of(JSON),
    ),
    Refusal(
        "503 with a long list that has such a key",
        M.SERVER_ERROR,
        503,
        b'{"competing":false,"x":"%b"}' % (b"a " * 8000),
        _of(JSON),
    ),
    Refusal("403 Access Denied", M.ADDRESS_REFUSED, 403, b"Access Denied", _of(PLAIN)),
    Refusal("403 Access Denied in HTML", M.ADDRESS_REFUSED, 403, ACCESS_DENIED, _of(HTML)),
    Refusal("403 of Akamai", M.FORBIDDEN, 403, AKAMAI, _of(HTML, server="AkamaiGHost"), upgrade=M.UPGRADE_REFUSED),
    Refusal("403 of nginx", M.FORBIDDEN, 403, nginx(b"403 Forbidden"), _of(HTML), upgrade=M.UPGRADE_REFUSED),
    Refusal("403 without a body", M.FORBIDDEN, 403, upgrade=M.UPGRADE_REFUSED),
    Refusal("404 in HTML", M.NOT_FOUND, 404, b"<h1>Resource not found</h1>", _of(HTML), upgrade=M.UPGRADE_REFUSED),
    Refusal("404 without a body", M.NOT_FOUND, 404, upgrade=M.UPGRADE_REFUSED),
    Refusal(
        "404 in JSON", M.NOT_FOUND, 404, error("Not Found", 404), _of(JSON), M.BAD_REQUEST, upgrade=M.UPGRADE_REFUSED
    ),
    *(
        Refusal(
            f"{status} in HTML",
            M.BAD_REQUEST,
            status,
            b"<h1>No</h1>",
            _of(HTML),
            upgrade=M.UPGRADE_REFUSED,
            # A gateway knows the first request.
            unknown=M.NOT_A_GATEWAY if status == 405 else None,
        )
        for status in (400, 405, 411, 426, 418)
    ),
    Refusal("408", M.TIMED_OUT, 408),
    Refusal("410", M.GONE, 410, b"gone", _of(PLAIN)),
    Refusal("429", M.RATE_LIMITED, 429, error("Too Many Requests", 429), _of(JSON)),
    Refusal("429 in HTML", M.RATE_LIMITED, 429, nginx(b"429 Too Many Requests"), _of(HTML)),
    *(Refusal(f"{status}", M.SERVER_ERROR, status) for status in (500, 502, 503, 504, 520)),
    Refusal("500 unknown error", M.SERVER_ERROR, 500, error("failed to generate sso dh token", 500), _of(JSON)),
    Refusal("503 of Akamai", M.SERVER_ERROR, 503, b"<h1>Service Unavailable</h1>", _of(HTML, server="AkamaiGHost")),
    Refusal("522 of Cloudflare", M.SERVER_ERROR, 522, b"<h1>Connection timed out</h1>", _of(HTML, server="cloudflare")),
    Refusal("502 of nginx", M.PROXY_ERROR, 502, nginx(b"502 Bad Gateway"), _of(HTML, server="nginx/1.24.0")),
    Refusal("504 of nginx by its page", M.PROXY_ERROR, 504, nginx(b"504 Gateway Time-out"), _of(HTML)),
    Refusal("502 of Caddy", M.PROXY_ERROR, 502, b"", {"server": "Caddy"}),
    # REST has worked before the upgrade, so host, port and path are right.
    *(
        Refusal(name, M.REDIRECT, status, b"", _to(location), upgrade=M.UPGRADE_REFUSED)
        for name, status, location in (
            ("redirect elsewhere", 301, "https://other.example/v1/api?token=secret"),
            ("redirect to a page that is not the login", 302, "/sso/Login-not"),
            ("redirect with the login in its query", 302, "/auth?rd=https://g.example/sso/Login"),
        )
    ),
    Refusal("another page", M.UNEXPECTED_BODY, 200, b"<html>welcome</html>", _of(HTML), upgrade=M.UPGRADE_REFUSED),
    Refusal("no JSON", M.UNEXPECTED_BODY, 200, b"hello", _of(PLAIN), upgrade=M.UPGRADE_REFUSED),
    Refusal("JSON of another server", M.UNEXPECTED_BODY, 200, b"[]", _of(JSON), upgrade=M.UPGRADE_REFUSED),
)

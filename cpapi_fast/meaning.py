"""Meaning: what a response of the server means, as one enum for errors, events and diagnoses"""

from __future__ import annotations

import enum


class Meaning(enum.Enum):
    """What a response of the server means. `protocol.response_table` has the row of each: retry, pause and advice."""

    #: Nobody is logged in at the gateway: its login page, a redirect to it, or status 401.
    LOGIN_REQUIRED = "login_required"
    #: A user is logged in, but the brokerage session is not open (yet): `no bridge`, `not authenticated`.
    BROKERAGE_CLOSED = "brokerage_closed"
    #: Another login of the same user holds the brokerage session.
    COMPETING = "competing"
    #: The gateway requires `/iserver/accounts` before this request.
    ACCOUNTS_FIRST = "accounts_first"
    #: The gateway's list of allowed addresses does not contain this machine.
    ADDRESS_REFUSED = "address_refused"
    #: Status 403 without a known reason: the gateway, or a proxy or firewall before it.
    FORBIDDEN = "forbidden"
    #: The server responds to REST and refuses the upgrade to a WebSocket, as proxies without WebSockets do.
    UPGRADE_REFUSED = "upgrade_refused"
    #: The server does not respond to the upgrade to a WebSocket, or closes the connection instead.
    UPGRADE_UNANSWERED = "upgrade_unanswered"
    #: Status 429: too many requests.
    RATE_LIMITED = "rate_limited"
    #: Status 5xx of the gateway, or of IBKR's servers behind it.
    SERVER_ERROR = "server_error"
    #: Status 5xx of a proxy that does not reach the gateway.
    PROXY_ERROR = "proxy_error"
    #: Status 408: the server waited too long.
    TIMED_OUT = "timed_out"
    #: Status 410: the server has ended this session for good.
    GONE = "gone"
    #: Another status 4xx, such as 400 and 411: the request is refused.
    BAD_REQUEST = "bad_request"
    #: Status 2xx with an `error` in place of a result: the gateway does not fulfil this request.
    REFUSED = "refused"
    #: Status 404: nothing is at this path, so the base URL is wrong.
    NOT_FOUND = "not_found"
    #: A redirect to another page than the login. It is not followed.
    REDIRECT = "redirect"
    #: Another server than a Client Portal gateway.
    NOT_A_GATEWAY = "not_a_gateway"
    #: The AirPlay Receiver of macOS, which listens on port 5000, the default of the gateway.
    AIRPLAY = "airplay"
    #: The API port of TWS or IB Gateway, which are other programs than the Client Portal gateway.
    TWS_API = "tws_api"
    #: The login page of a network, which answers in place of every server.
    CAPTIVE_PORTAL = "captive_portal"
    #: A server that speaks TLS where the URL says http, or the other way round.
    WRONG_SCHEME = "wrong_scheme"
    #: No gateway has answered yet, and the server closes connections without an answer.
    HANGS_UP = "hangs_up"
    #: No gateway has answered yet, and the server accepts connections without an answer.
    NO_ANSWER = "no_answer"
    #: The body is longer than the client's limit.
    TOO_LONG = "too_long"
    #: The body is HTML, not JSON, or has an unexpected shape.
    UNEXPECTED_BODY = "unexpected_body"

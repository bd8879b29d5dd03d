"""The table of responses, by meaning: whether to retry, how long a feed waits, and what to do. No I/O

REST client, WebSocket handshake, feed and doctor all read this table, so they cannot disagree about a response.
`protocol.response_rules` finds the meaning of a response. A new kind of response needs a `Meaning`, a row in `ROWS`,
and a rule at the place where it takes precedence.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cpapi_fast.meaning import Meaning


class Pause(enum.Enum):
    """How long a feed waits before it tries again."""

    #: A random pause that grows with each try.
    BACKOFF = "backoff"
    #: The longest pause of the backoff, because a person has to change something.
    LONGEST = "longest"
    #: Until a person has logged in, checked periodically.
    LOGIN = "login"
    #: Until the other login has ended, checked periodically.
    COMPETING = "competing"
    #: Until the penalty for too many requests has ended.
    PENALTY = "penalty"


@dataclass(frozen=True, slots=True)
class Row:
    """One meaning.

    Attributes:
        is_retryable: whether the same request can succeed later without a person and without a change of the program.
        pause: how long a feed waits before it tries again.
        advice: what to do; `{origin}`, `{base_path}` and the texts of `Wording` are replaced.
    """

    is_retryable: bool
    pause: Pause
    advice: str


ROWS: Final[Mapping[Meaning, Row]] = {
    Meaning.LOGIN_REQUIRED: Row(False, Pause.LOGIN, "{log_in}{continues}"),
    Meaning.BROKERAGE_CLOSED: Row(True, Pause.BACKOFF, "{open_session}"),
    Meaning.COMPETING: Row(
        False, Pause.COMPETING, "End the other login of this user (TWS, a phone, another gateway){take_over}."
    ),
    Meaning.ACCOUNTS_FIRST: Row(True, Pause.BACKOFF, "{accounts_first}"),
    Meaning.ADDRESS_REFUSED: Row(
        False,
        Pause.LONGEST,
        "Add this machine's address to ips/allow in the gateway's conf.yaml, then restart the gateway.{retries}",
    ),
    Meaning.FORBIDDEN: Row(
        False,
        Pause.LONGEST,
        "Check what refuses this machine: ips/allow in the gateway's conf.yaml, or a proxy or firewall before the "
        "gateway.{retries}",
    ),
    Meaning.UPGRADE_REFUSED: Row(
        False,
        Pause.BACKOFF,
        "REST works, so check what is between this machine and the gateway: {pass_upgrade}.{retries}",
    ),
    Meaning.UPGRADE_UNANSWERED: Row(
        True,
        Pause.BACKOFF,
        "If REST works, check what is between this machine and the gateway: {pass_upgrade}. If nothing is in between "
        "and this lasts, {restart}.{retries}",
    ),
    Meaning.RATE_LIMITED: Row(
        True,
        Pause.PENALTY,
        "Stop other programs that send too many requests to this gateway, and wait 15 minutes: until then it refuses "
        "every request.{retries}",
    ),
    Meaning.SERVER_ERROR: Row(
        True,
        Pause.BACKOFF,
        "Wait: around the nightly reset this lasts ten minutes. If it lasts longer, {restart}.{retries}",
    ),
    Meaning.PROXY_ERROR: Row(
        True,
        Pause.BACKOFF,
        "Check that the gateway behind this proxy runs, and that the proxy has its address. Around the nightly reset, "
        "wait ten minutes.{retries}",
    ),
    Meaning.TIMED_OUT: Row(
        True, Pause.BACKOFF, "Try again later. If this repeats, check whether the gateway is overloaded.{retries}"
    ),
    Meaning.GONE: Row(
        False, Pause.BACKOFF, "Log in at {origin} in a browser again: the server has ended this session.{retries}"
    ),
    Meaning.BAD_REQUEST: Row(
        False,
        Pause.BACKOFF,
        "{check_log} If a proxy is in between, check that it passes requests and headers unchanged.{retries}",
    ),
    Meaning.REFUSED: Row(False, Pause.BACKOFF, "Check what was asked for.{retries}"),
    Meaning.NOT_FOUND: Row(False, Pause.LONGEST, "{right_path}{retries}"),
    Meaning.REDIRECT: Row(
        False,
        Pause.LONGEST,
        "Open {origin} in a browser, and correct {base_url} to that of a Client Portal gateway.{retries}",
    ),
    Meaning.NOT_A_GATEWAY: Row(
        False,
        Pause.LONGEST,
        "Correct the port or the host in {base_url}: another server than a Client Portal gateway listens there. "
        "{listen_port}{retries}",
    ),
    Meaning.AIRPLAY: Row(
        False,
        Pause.LONGEST,
        "Switch off AirPlay Receiver in the System Settings of macOS (General, AirDrop & Handoff), or set another "
        "listenPort in the gateway's conf.yaml and use that port in {base_url}.{retries}",
    ),
    Meaning.TWS_API: Row(
        False,
        Pause.LONGEST,
        "Start the Client Portal gateway, which is another program than TWS and IB Gateway, and use its port in "
        "{base_url}: listenPort in its conf.yaml, 5000 by default.{retries}",
    ),
    Meaning.CAPTIVE_PORTAL: Row(
        False,
        Pause.LONGEST,
        "Log in to the network: open any http:// page in a browser. If the gateway is on this machine, correct the "
        "host in {base_url}.{retries}",
    ),
    Meaning.WRONG_SCHEME: Row(False, Pause.LONGEST, "Use {other_scheme} as {base_url}.{retries}"),
    Meaning.HANGS_UP: Row(
        True,
        Pause.BACKOFF,
        "Correct the port in {base_url}. {listen_port}{retries}",
    ),
    Meaning.NO_ANSWER: Row(
        True,
        Pause.BACKOFF,
        "Check the port in {base_url}. {listen_port} If the port is right, the gateway is busy or hangs: end its "
        "process, then start it.{retries}",
    ),
    Meaning.TOO_LONG: Row(False, Pause.BACKOFF, "{too_long}{retries}"),
    Meaning.UNEXPECTED_BODY: Row(
        False,
        Pause.BACKOFF,
        "Open {origin} in a browser and check that {doubt}you are logged in.{retries}",
    ),
}


_LISTEN_PORT: Final = (
    "The gateway's port is listenPort in its conf.yaml, 5000 by default; 7496, 7497, 4001 and 4002 are ports of TWS "
    "and IB Gateway, which are other programs."
)
_UPGRADE_PATH: Final = (
    "a proxy has to permit the path {base_path}/ws and to pass its WebSocket, with the headers Upgrade and Connection "
    "and over HTTP/1.1"
)
_UNSEEN: Final = "no Client Portal gateway has answered there yet, and its port is listenPort in its conf.yaml"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is, for the advice.

    Attributes:
        origin: scheme, host and port.
        base_path: the path of the base URL, such as `/v1/api`.
        is_known: whether a gateway has answered there. Before, it is the address that is doubted.
    """

    origin: str
    base_path: str
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Wording:
    """Who gives the advice: what its reader can call, set or pass.

    Attributes:
        open_session: how to open the brokerage session; `{origin}` is replaced.
        take_over: how to take it from another login, as the end of a sentence; empty if that was chosen already.
        retries: what happens without the reader; empty if nothing does.
        continues: what happens after the reader has logged in.
        base_url: what the reader calls the base URL.
        log_in: how to log in; `{origin}` is replaced.
        accounts_first: what to do if the gateway requires the accounts first.
        too_long: what to do about a body that is longer than the limit; `{base_url}` is replaced.
    """

    open_session: str
    take_over: str
    retries: str = ""
    continues: str = ""
    base_url: str = "the base URL"
    log_in: str = "Log in at {origin} in a browser."
    accounts_first: str = "Call accounts(), then try again."
    too_long: str = (
        "Raise max_body_bytes of the Client if such a long response is right; if it is not, check {base_url}."
    )


CLIENT_WORDING: Final = Wording(
    open_session="Call init_brokerage_session(), then try again.",
    take_over=", or take over the session with init_brokerage_session(compete=True)",
)


def advice_for(meaning: Meaning, place: Place, wording: Wording = CLIENT_WORDING) -> str:
    """Return what to do about a response, in one or two sentences."""
    origin, base_path = place.origin, place.base_path
    right_path = (
        f"Use {origin}/v1/api as {wording.base_url}."
        if not base_path.endswith("/v1/api")
        else f"Open {origin} in a browser and correct {wording.base_url}: nothing of a Client Portal gateway is at "
        f"{base_path}."
    )
    scheme, separator, rest = f"{origin}{base_path}".partition("://")
    return ROWS[meaning].advice.format(
        other_scheme=f"{'http' if scheme == 'https' else 'https'}://{rest}" if separator else "the other scheme",
        listen_port=_LISTEN_PORT,
        doubt="" if place.is_known else f"{wording.base_url} is that of a Client Portal gateway and that ",
        pass_upgrade=_UPGRADE_PATH.format(base_path=base_path),
        restart="restart the gateway" if place.is_known else f"check the port in {wording.base_url}: {_UNSEEN}",
        check_log="Check the gateway's log." if place.is_known else f"Check the port in {wording.base_url}: {_UNSEEN}.",
        origin=origin,
        base_path=base_path,
        right_path=right_path,
        open_session=wording.open_session.format(origin=origin),
        take_over=wording.take_over,
        retries=wording.retries,
        continues=wording.continues,
        base_url=wording.base_url,
        log_in=wording.log_in.format(origin=origin),
        accounts_first=wording.accounts_first,
        too_long=wording.too_long.format(base_url=wording.base_url),
    )

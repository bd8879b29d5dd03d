"""The rules from what a port does, on which no gateway has answered yet, to its `Meaning`. No I/O"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cpapi_fast.meaning import Meaning
from cpapi_fast.redaction import preview

from .other_servers import TWS_PORTS, is_tls_alert, server_of_bytes
from .response_rules import ServerResponse, Step, Verdict, judge

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r\n]")


@dataclass(frozen=True, slots=True)
class PortAnswer:
    """What a server on a port does.

    Attributes:
        data: its first bytes without TLS, after an http request; empty without any.
        has_closed: whether it closed the connection without a byte. False if it was silent.
        speaks_tls: whether it completed a TLS handshake.
        speaks_tws: whether it answered the first message of the API of TWS.
    """

    data: bytes
    has_closed: bool
    speaks_tls: bool
    speaks_tws: bool = False


def judge_port(answer: PortAnswer, *, is_https: bool, port: int) -> Verdict | None:
    """Return what listens on a port; None if it may be a gateway.

    Args:
        answer: what it does.
        is_https: whether the base URL says https.
        port: the port.
    """
    data = answer.data
    status = _STATUS_LINE.match(data)
    if status is not None:
        verdict = judge(_response(int(status[1]), data))
        if verdict is not None and verdict.meaning in _OTHER_SERVERS:
            return verdict
        if is_https and not answer.speaks_tls:
            return Verdict(Meaning.WRONG_SCHEME, "speaks plain http, but the URL says https")
        return None
    if not is_https and (answer.speaks_tls or is_tls_alert(data)):
        return Verdict(Meaning.WRONG_SCHEME, "speaks TLS, but the URL says http")
    if data and not is_tls_alert(data):
        other = server_of_bytes(data)
        sent = preview(data[:64])
        return Verdict(
            other.meaning,
            f"speaks neither http nor TLS, so it is {other.name} and no Client Portal gateway"
            + (f"; it sent: {sent}" if sent else ""),
        )
    if is_https and is_tls_alert(data):
        return None
    does = "closes connections without an answer" if answer.has_closed else "accepts connections and does not answer"
    if answer.speaks_tws:
        return Verdict(
            Meaning.TWS_API, "is the port of the API of TWS or IB Gateway: it answers the API's first message"
        )
    if port in TWS_PORTS:
        return Verdict(
            Meaning.TWS_API, f"{does}; {port} is the port of the API of {TWS_PORTS[port]}, which is no web server"
        )
    if answer.has_closed:
        return Verdict(Meaning.HANGS_UP, f"{does}, so it is no Client Portal gateway")
    return Verdict(Meaning.NO_ANSWER, f"{does}, so it is no Client Portal gateway, or one that hangs")


#: Meanings of an http response that name another server than a gateway.
_OTHER_SERVERS: Final = frozenset(
    {Meaning.NOT_A_GATEWAY, Meaning.AIRPLAY, Meaning.CAPTIVE_PORTAL, Meaning.WRONG_SCHEME}
)


def _response(status: int, data: bytes) -> ServerResponse:
    head, _, body = data.partition(b"\r\n\r\n")
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return ServerResponse(Step.SESSION, status, headers, body, is_known=False)

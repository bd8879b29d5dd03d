"""Other servers than a Client Portal gateway, known by headers, pages, first bytes or their port. No I/O"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from cpapi_fast.meaning import Meaning

#: How much of a body is searched, in bytes.
_READ_BYTES: Final = 8192


class OtherServer(NamedTuple):
    """A server that is certainly no gateway.

    Attributes:
        name: what it is, such as `an SSH server`.
        meaning: the row with the advice.
    """

    name: str
    meaning: Meaning = Meaning.NOT_A_GATEWAY


AIRPLAY: Final = OtherServer("the AirPlay Receiver of macOS", Meaning.AIRPLAY)
CAPTIVE_PORTAL: Final = OtherServer("the login page of the network", Meaning.CAPTIVE_PORTAL)

#: The ports of the socket API of IB's desktop programs.
TWS_PORTS: Final[Mapping[int, str]] = {
    7496: "TWS",
    7497: "TWS with a paper trading account",
    4001: "IB Gateway",
    4002: "IB Gateway with a paper trading account",
}

#: By the `Server` header. Only servers that are not put before a gateway as a proxy.
_SERVERS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), other)
    for pattern, other in (
        (r"^AirTunes", AIRPLAY),
        (r"^SimpleHTTP/", OtherServer("a file server (python -m http.server)")),
        (r"\bIPP/|^CUPS", OtherServer("a printer service (CUPS)")),
        (r"^Microsoft-HTTPAPI/", OtherServer("a web service of Windows")),
        (r"\bUPnP/|\bDLNADOC/", OtherServer("a media or network device (UPnP)")),
    )
)

#: By a header that only this server sends.
_HEADERS: Final[Mapping[str, OtherServer]] = {
    "docker-distribution-api-version": OtherServer("a Docker registry"),
    "x-jenkins": OtherServer("Jenkins"),
    "x-plex-protocol": OtherServer("a Plex media server"),
    "x-influxdb-version": OtherServer("an InfluxDB database"),
    "x-elastic-product": OtherServer("an Elasticsearch database"),
    "x-clickhouse-server-display-name": OtherServer("a ClickHouse database"),
}

#: By the body of a response.
_PAGES: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), other)
    for pattern, other in (
        (rb"<title>\s*welcome to nginx", OtherServer("nginx with its start page")),
        (
            rb"<title>[^<]{0,80}(?:apache2?|http server)[^<]{0,80}(?:default|test) page|<h1>\s*it works!\s*</h1>",
            OtherServer("Apache with its start page"),
        ),
        (rb"<title>\s*(?:iis windows|iis\d)", OtherServer("IIS with its start page")),
        (rb"<title>\s*(?:directory listing for|index of) /", OtherServer("a file server")),
        (
            rb"<wispaccessgatewayparam|\bcaptive[ -]?portal\b|\bhotspot\b|\bguest (?:wi-?fi|network)\b"
            rb"|\bwi-?fi (?:login|access|sign)",
            CAPTIVE_PORTAL,
        ),
    )
)

#: What servers answer to http on a port for TLS.
_WANTS_TLS: Final = re.compile(
    rb"(?i)plain http request was sent to https port|speaking plain http to an ssl-enabled server port"
    rb"|client sent an http request to an https server|combination of host and port requires tls"
)

#: By the first bytes from a server that does not speak http.
_BANNERS: Final = tuple(
    (re.compile(pattern, re.DOTALL), name if isinstance(name, OtherServer) else OtherServer(name))
    for pattern, name in (
        (rb"(?:RTSP|HTTP)/\d.{0,512}\r\n(?i:server: ?airtunes)", AIRPLAY),
        (rb"SSH-\d", "an SSH server"),
        (rb"220[ -][^\r\n]*(?i:smtp|mail|postfix|exim)", "a mail server (SMTP)"),
        (rb"220[ -]", "an FTP or mail server"),
        (rb"\+OK ", "a mail server (POP3)"),
        (rb"\* (?:OK|PREAUTH) ", "a mail server (IMAP)"),
        (rb"-(?:ERR|DENIED|NOAUTH|MISCONF|LOADING)\b", "a Redis server"),
        (rb"ERROR\r?\n", "a memcached server"),
        (rb"RFB \d", "a VNC server"),
        (rb".{3}\x00\x0a\d", "a MySQL server"),
        (rb"AMQP", "an AMQP broker, such as RabbitMQ"),
        (rb"\x00\x00.\x04\x00", "an HTTP/2 server, such as gRPC"),
        (rb"RTSP/\d", "a media server (RTSP)"),
    )
)

_TLS_ALERT: Final = b"\x15\x03"


def server_of_response(status: int, headers: Mapping[str, str], body: bytes) -> OtherServer | None:
    """Return who sent an HTTP response; None unless it is certain that it is no gateway.

    Args:
        status: the HTTP status.
        headers: by lower-case name.
        body: the body, or its start.
    """
    server = headers.get("server", "")
    for pattern, other in _SERVERS:
        if pattern.search(server) is not None:
            return other
    for name, other in _HEADERS.items():
        if name in headers:
            return other
    if status == 511:  # Network Authentication Required
        return CAPTIVE_PORTAL
    # The texts in JSON may be anything, such as the names that a user gave to accounts.
    if is_page(headers, body):
        for page, other in _PAGES:
            if page.search(body[:_READ_BYTES]) is not None:
                return other
    return None


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a body is an HTML page. Some responses have no content type, so `<` at the start counts too."""
    start = body[:256].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "html" in headers.get("content-type", "").lower() or start.startswith(b"<")


def wants_tls(body: bytes) -> bool:
    """Whether a response says that its port is one for TLS."""
    return _WANTS_TLS.search(body[:_READ_BYTES]) is not None


def server_of_bytes(data: bytes) -> OtherServer:
    """Return who sent these first bytes, which are not those of http or TLS."""
    return next((other for pattern, other in _BANNERS if pattern.match(data)), OtherServer("another server"))


def is_tls_alert(data: bytes) -> bool:
    """Whether these first bytes are those of a TLS server that was spoken to without TLS."""
    return data.startswith(_TLS_ALERT)

"""Servers that are no gateway, as the bytes that they send, and what must be said about each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cpapi_fast.meaning import Meaning


def response(status: int, body: bytes = b"", headers: Iterable[str] = ()) -> bytes:
    """The bytes of an HTTP response that ends its connection."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


NGINX_405 = b"<html><head><title>405 Not Allowed</title></head><body><center>nginx/1.24.0</center></body></html>"
NGINX_400 = (
    b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head><body><center>nginx</center>"
)
WISPR = (
    b"<html><head><title>Login</title></head><body><form><input type='password'></form>"
    b"<!-- <WISPAccessGatewayParam></WISPAccessGatewayParam> --></body></html>"
)


@dataclass(frozen=True)
class OtherServer:
    """A server that is no gateway.

    Attributes:
        sends: its answer to an http request, or its greeting; None closes the connection at once.
        meaning: of its answer to a URL with http.
        name: what it is called, as a pattern.
        greets: whether it sends without waiting for a request.
        by_https: the meaning for a URL with https.
    """

    sends: bytes | None
    meaning: Meaning
    name: str
    greets: bool = False
    by_https: Meaning | None = None


M = Meaning
HTTP_ONLY = M.WRONG_SCHEME

OTHER_SERVERS = {
    "AirPlay": OtherServer(
        response(403, headers=["Server: AirTunes/775.3.1"]), M.AIRPLAY, "AirPlay Receiver of macOS", by_https=M.AIRPLAY
    ),
    "a Docker registry": OtherServer(
        response(404, b"404 page not found", ["Docker-Distribution-Api-Version: registry/2.0"]),
        M.NOT_A_GATEWAY,
        "a Docker registry",
        by_https=M.NOT_A_GATEWAY,
    ),
    "nginx with its start page": OtherServer(
        response(200, b"<html><head><title>Welcome to nginx!</title>", ["Server: nginx/1.24.0"]),
        M.NOT_A_GATEWAY,
        "nginx with its start page",
        by_https=M.NOT_A_GATEWAY,
    ),
    "nginx that refuses POST": OtherServer(
        response(405, NGINX_405, ["Server: nginx/1.24.0", "Content-Type: text/html"]),
        M.NOT_A_GATEWAY,
        "status 405 by nginx/1.24.0, which a Client Portal gateway never does",
        by_https=M.NOT_A_GATEWAY,
    ),
    "Apache with its start page": OtherServer(
        response(200, b"<html><body><h1>It works!</h1></body></html>", ["Server: Apache/2.4.57 (Debian)"]),
        M.NOT_A_GATEWAY,
        "Apache with its start page",
        by_https=M.NOT_A_GATEWAY,
    ),
    "Apache without this path": OtherServer(
        response(404, b"<html><title>404 Not Found</title>", ["Server: Apache/2.4.57", "Content-Type: text/html"]),
        M.NOT_FOUND,
        "status 404 by Apache/2.4.57",
        by_https=HTTP_ONLY,
    ),
    "a proxy that wants a password": OtherServer(
        response(401, b"", ['WWW-Authenticate: Basic realm="x"']), M.FORBIDDEN, "status 401", by_https=HTTP_ONLY
    ),
    "another JSON server": OtherServer(
        response(200, b'{"ok":true}'), M.UNEXPECTED_BODY, "no member", by_https=HTTP_ONLY
    ),
    "a login page of a network": OtherServer(
        response(200, WISPR, ["Content-Type: text/html"]),
        M.CAPTIVE_PORTAL,
        "the login page of the network",
        by_https=M.CAPTIVE_PORTAL,
    ),
    "a network that requires a login": OtherServer(
        response(511), M.CAPTIVE_PORTAL, "the login page of the network", by_https=M.CAPTIVE_PORTAL
    ),
    "a redirect to another host": OtherServer(
        response(302, b"", ["Location: http://login.example/?u=1"]), M.REDIRECT, "redirect", by_https=HTTP_ONLY
    ),
    "a port for TLS that explains itself": OtherServer(
        response(400, NGINX_400, ["Content-Type: text/html"]), M.WRONG_SCHEME, "speaks TLS"
    ),
    "SSH": OtherServer(b"SSH-2.0-OpenSSH_9.6\r\n", M.NOT_A_GATEWAY, "an SSH server.*SSH-2.0-OpenSSH_9.6", greets=True),
    "SMTP": OtherServer(b"220 mx.example ESMTP Postfix\r\n", M.NOT_A_GATEWAY, "a mail server .SMTP.", greets=True),
    "FTP": OtherServer(b"220 (vsFTPd 3.0.5)\r\n", M.NOT_A_GATEWAY, "an FTP or mail server", greets=True),
    "IMAP": OtherServer(b"* OK IMAP4rev1 ready\r\n", M.NOT_A_GATEWAY, "a mail server .IMAP.", greets=True),
    "Redis": OtherServer(b"-ERR wrong number of arguments for 'get' command\r\n", M.NOT_A_GATEWAY, "a Redis server"),
    "MySQL": OtherServer(b"J\x00\x00\x00\x0a8.0.36\x00", M.NOT_A_GATEWAY, "a MySQL server", greets=True),
    "VNC": OtherServer(b"RFB 003.008\n", M.NOT_A_GATEWAY, "a VNC server", greets=True),
    "gRPC": OtherServer(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18, M.NOT_A_GATEWAY, "HTTP/2", greets=True),
    "something unknown": OtherServer(b"hello\x1b]0;x\x07\r\n", M.NOT_A_GATEWAY, "another server", greets=True),
    "something that hangs up": OtherServer(None, M.HANGS_UP, "closes connections without an answer"),
    "something that is silent": OtherServer(b"", M.NO_ANSWER, "no answer to http|does not answer"),
}

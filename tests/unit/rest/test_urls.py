"""Base URLs: which are valid, their normalized form, and why the others are refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cpapi_fast.errors import ConfigError
from cpapi_fast.rest.urls import BaseUrl, ws_url_from_base


@pytest.mark.parametrize(
    ("base", "ws"),
    [
        ("https://localhost:5000/v1/api", "wss://localhost:5000/v1/api/ws"),
        ("https://localhost:5000/v1/api/", "wss://localhost:5000/v1/api/ws"),
        ("https://localhost:5000/v1/api///", "wss://localhost:5000/v1/api/ws"),
        ("http://localhost:5000/v1/api", "ws://localhost:5000/v1/api/ws"),
        ("https://api.ibkr.com/v1/api", "wss://api.ibkr.com/v1/api/ws"),
        ("https://localhost:5000", "wss://localhost:5000/ws"),
        ("https://localhost:5000/", "wss://localhost:5000/ws"),
        ("HTTPS://LocalHost:5000/V1/api", "wss://localhost:5000/V1/api/ws"),
        ("https://localhost:443/v1", "wss://localhost/v1/ws"),
        ("http://localhost:80/v1", "ws://localhost/v1/ws"),
        ("http://localhost:443/v1", "ws://localhost:443/v1/ws"),
        ("https://localhost:/v1", "wss://localhost/v1/ws"),
        ("https://127.0.0.1:5000/v1/api", "wss://127.0.0.1:5000/v1/api/ws"),
        ("https://[::1]:5000/v1/api", "wss://[::1]:5000/v1/api/ws"),
        ("https://[0:0::1]/v1/api", "wss://[::1]/v1/api/ws"),
        ("https://my_gateway.docker.:5000/v1/api", "wss://my_gateway.docker.:5000/v1/api/ws"),
        ("https://localhost:65535/a%20b", "wss://localhost:65535/a%20b/ws"),
    ],
)
def test_the_websockets_url(base: str, ws: str) -> None:
    assert ws_url_from_base(base) == ws


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("ftp://localhost/v1/api", "must start with https:// or http://"),
        ("wss://localhost:5000/v1/api/ws", "must start with https:// or http://"),
        ("localhost:5000/v1/api", "must start with https:// or http://"),
        ("//localhost:5000/v1/api", "must start with https:// or http://"),
        ("/v1/api", "must start with https:// or http://"),
        ("https:localhost:5000", "must start with https:// or http://"),
        ("", "must start with https:// or http://"),
        ("https://", "no host"),
        ("https:///v1/api", "no host"),
        ("https://:5000/v1/api", "no host"),
        ("https://user:geheim@localhost:5000/v1/api", "not contain a user name or password"),
        ("https://user@localhost:5000/v1/api", "not contain a user name or password"),
        ("https://@localhost:5000/v1/api", "not contain a user name or password"),
        ("https://localhost:5000/v1/api?x=geheim", "not have a query"),
        ("https://localhost:5000/v1/api?", "not have a query"),
        ("https://localhost:5000?x", "not have a query"),
        ("https://localhost:5000/v1/api#geheim", "not have a fragment"),
        ("https://localhost:5000/v1/api#", "not have a fragment"),
        ("https://localhost:0/v1", "a port from 1 to 65535"),
        ("https://localhost:65536/v1", "a port from 1 to 65535"),
        ("https://localhost:http/v1", "a port from 1 to 65535"),
        ("https://localhost:-1/v1", "a port from 1 to 65535"),
        ("https://localhost:50 00/v1", "printable ASCII"),
        ("https://localhost:5000/v1\r\nX: y", "printable ASCII"),
        (" https://localhost:5000/v1", "printable ASCII"),
        ("https://localhost:5000/v1\t", "printable ASCII"),
        ("https://g\u00e4teway/v1", "printable ASCII"),
        ("https://localhost\\@other.example/v1", "printable ASCII"),
        ("https://local host/v1", "printable ASCII"),
        ("https://localhost%00/v1", "an invalid host"),
        ("https://-x/v1", "an invalid host"),
        ("https://a..b/v1", "an invalid host"),
        ("https://[::1", "an invalid host"),
        ("https://[::g]/v1", "invalid (host|IPv6 address)"),
        ("https://[fe80::1%25eth0]/v1", "invalid (host|IPv6 address)"),
        ("https://" + "a" * 254 + "/v1", "an invalid host"),
    ],
)
def test_an_invalid_base_url_is_refused_with_its_reason(base: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        ws_url_from_base(base)
    assert "geheim" not in str(caught.value)
    assert "https://" in str(caught.value)


@pytest.mark.parametrize("base", [None, b"https://localhost:5000", 5000])
def test_a_base_url_that_is_not_a_str(base: object) -> None:
    with pytest.raises(ConfigError, match="must be a str"):
        ws_url_from_base(base)  # type: ignore[arg-type]


def test_the_parts() -> None:
    url = BaseUrl.parse("https://LOCALHOST/v1/api/")
    assert (url.scheme, url.host, url.port, url.path) == ("https", "localhost", 443, "/v1/api")
    assert url.origin == "https://localhost"
    assert str(url) == "https://localhost/v1/api"
    assert BaseUrl.parse("https://[::1]:5000").origin == "https://[::1]:5000"


@given(st.text() | st.text("https:/@?#[]%.0 1a\\-_").map(lambda rest: "https://" + rest))
@example("https://[]")
@example("https://[v1.x]/")
@example("https://x[::1]/")
@example("https://[::1]x/")
def test_every_text_is_a_valid_base_url_or_refused(text: str) -> None:
    try:
        url = BaseUrl.parse(text)
    except ConfigError:
        return
    # What was taken has one spelling that means the same.
    assert BaseUrl.parse(str(url)) == url
    assert url.ws_url == f"ws{str(url)[4:]}/ws"

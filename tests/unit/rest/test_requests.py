"""`Client.request`: any endpoint, with the pacing, cookies, redaction and errors of all requests."""

from __future__ import annotations

import asyncio
import enum
import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from cpapi_fast.errors import (
    ConfigError,
    ConnectError,
    DecodeError,
    NotAuthenticatedError,
    RateLimitedError,
    StatusError,
    UsageError,
)
from cpapi_fast.meaning import Meaning
from cpapi_fast.rest.client import Client
from cpapi_fast.rest.requests import check_path
from tests.servers.http import SESSION, TICKLE, HttpServer, headers_of, http_response, unpaced


class Side(str, enum.Enum):  # noqa: UP042 - what programs have
    BUY = "buy"


class Unit(enum.Enum):
    TICK = 0.25
    NONE = math.nan


@dataclass
class Order:
    price: float | None


# What is sent


def line_of(request: bytes) -> str:
    return request.split(b"\r\n", 1)[0].decode()


@pytest.mark.each_loop
async def test_a_request_has_the_headers_of_all_requests_and_returns_the_decoded_body() -> None:
    body = b'[{"id":1},null,"x",2.5]'
    async with HttpServer(http_response(body, headers=["Set-Cookie: a=1"])) as peer, Client(peer.url) as client:
        assert await client.request("GET", "/iserver/account/orders") == json.loads(body)
        sent = {"conids": [265598, 8314], "force": True, "name": "a b&c=d", "limit": 5, "ratio": 0.5}
        await client.request("GET", "/x", params=sent)
        await client.request("POST", "/iserver/notification", json={"text": "Ü", "rows": [1, None, True]})
        await client.request("POST", "/tickle")
        await client.request("PUT", "/fyi/email")
        await client.request("DELETE", "/iserver/account/DU1234567/order/5")
        assert client.stats.responses == 6
    lines = [line_of(request) for request in peer.requests]
    assert lines[1:] == [
        "GET /v1/api/x?conids=265598%2C8314&force=true&name=a+b%26c%3Dd&limit=5&ratio=0.5 HTTP/1.1",
        "POST /v1/api/iserver/notification HTTP/1.1",
        "POST /v1/api/tickle HTTP/1.1",
        "PUT /v1/api/fyi/email HTTP/1.1",
        "DELETE /v1/api/iserver/account/DU1234567/order/5 HTTP/1.1",
    ]
    posted = headers_of(peer.requests[2])
    assert posted["content-type"] == ["application/json"]
    assert posted["cookie"] == ["a=1"]
    assert posted["origin"] == [f"http://127.0.0.1:{peer.port}"]
    assert json.loads(peer.requests[2].split(b"\r\n\r\n", 1)[1]) == {"text": "Ü", "rows": [1, None, True]}
    assert headers_of(peer.requests[3])["content-length"] == ["0"]
    assert headers_of(peer.requests[4])["content-length"] == ["0"]


async def test_members_of_an_enum_stand_for_their_values_and_null_is_sent() -> None:
    async with HttpServer(http_response(b"{}")) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.request("GET", "/x", params={"side": Side.BUY, "all": [Side.BUY, Unit.TICK, True, 7]})
        await client.request("POST", "/x", json=[Order(None), {"price": 0.5}, Unit.TICK])
    assert line_of(peer.requests[0]) == "GET /v1/api/x?side=buy&all=buy%2C0.25%2Ctrue%2C7 HTTP/1.1"
    assert peer.requests[1].endswith(b'[{"price":null},{"price":0.5},0.25]')


@pytest.mark.parametrize("body", [b"null", b"0", b'""', b"[]", b"{}", b'{"error":null}', b'{"error":""}'])
async def test_every_json_value_is_a_result(body: bytes) -> None:
    async with HttpServer(http_response(body)) as peer, Client(peer.url) as client:
        assert await client.request("GET", "/x") == json.loads(body)


async def test_an_empty_body_is_none() -> None:
    async with HttpServer(http_response(b"  ")) as peer, Client(peer.url) as client:
        assert await client.request("DELETE", "/fyi/x") is None


# What is refused before anything is sent


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("https://elsewhere.example/v1/api/tickle", "host"),
        ("//elsewhere.example/tickle", "host"),
        ("tickle", "start with a slash"),
        ("", "start with a slash"),
        ("/v1/api/tickle", "leave out /v1/api: '/tickle'"),
        ("/iserver/../sso/Login", "'..'"),
        ("/./tickle", "'..'"),
        ("/iserver/%2e%2e/x", "other characters"),
        ("/a b", "other characters"),
        ("/a\r\nX: y", "other characters"),
        ("/ü", "other characters"),
        ("/a\\b", "other characters"),
        ("/iserver//x", "an empty part"),
        ("/tickle/", "an empty part"),
        ("/x?session=geheim", "params="),
        ("/x#y", "params="),
        (b"/tickle", "must be a str"),
        (None, "must be a str"),
    ],
)
def test_a_path_that_is_none(path: Any, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_path(path)
    assert reason in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "options", "reason"),
    [
        (("get", "/x"), {}, "method must be one of GET, POST, PUT, DELETE"),
        (("PATCH", "/x"), {}, "method must be one of"),
        ((5, "/x"), {}, "method must be one of"),
        (("GET", "x"), {}, "slash"),
        (("POST", "/x"), {"json": {1: "a"}}, "JSON can represent"),
        (("POST", "/x"), {"json": {"geheim"}}, "JSON can represent"),
        (("POST", "/x"), {"json": 2**70}, "JSON can represent"),
        (("POST", "/x"), {"json": object()}, "JSON can represent"),
        (("GET", "/x"), {"params": "a=b"}, "params must be a dict"),
        (("GET", "/x"), {"params": {1: "a"}}, "names in params"),
        (("GET", "/x"), {"params": {"": "a"}}, "names in params"),
        (("GET", "/x"), {"params": {"a": None}}, "printable str"),
        (("GET", "/x"), {"params": {"a": {"b": "c"}}}, "printable str"),
        (("GET", "/x"), {"params": {"a": [None]}}, "printable str"),
        (("GET", "/x"), {"params": {"a": [[1]]}}, "printable str"),
        (("GET", "/x"), {"params": {"a": {1}}}, "printable str"),
        (("GET", "/x"), {"params": {"a": math.nan}}, "a finite number"),
        (("GET", "/x"), {"params": {"a": [1, -math.inf]}}, "a finite number"),
        (("GET", "/x"), {"params": {"a": 10**5000}}, "a finite number"),
        (("GET", "/x"), {"params": {"a": ["BRK B", "A,B"]}}, "must not contain a comma"),
        (("GET", "/x"), {"params": {"a": "\ud800"}}, "printable str"),
        (("GET", "/x"), {"params": {"\ud800": "a"}}, "names in params"),
        (("GET", "/x"), {"params": {"a\r\n": "a"}}, "names in params"),
        (("POST", "/x"), {"json": {"price": math.nan}}, "NaN"),
        (("POST", "/x"), {"json": {"orders": [{"price": None}, {"price": math.inf}]}}, "NaN"),
        (("POST", "/x"), {"json": [None, (1.0, -math.inf)]}, "NaN"),
        (("POST", "/x"), {"json": Order(math.nan)}, "NaN"),
        (("POST", "/x"), {"json": {"a": Unit.NONE}}, "NaN"),
        (("POST", "/x"), {"json": "\ud800"}, "JSON can represent"),
        (("GET", "/x"), {"params": {"a": "x\ny"}}, "printable str"),
    ],
)
async def test_bad_input_is_refused_and_nothing_is_sent(arguments: Any, options: Any, reason: str) -> None:
    async with HttpServer(http_response(b"{}")) as peer, Client(peer.url) as client:
        with pytest.raises(ConfigError) as caught:
            await client.request(*arguments, **options)
        assert reason in str(caught.value)
        assert "geheim" not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert peer.received == []


async def test_a_closed_client_refuses_a_request() -> None:
    client = Client("http://127.0.0.1:9/v1/api")
    await client.aclose()
    with pytest.raises(UsageError, match="closed"):
        await client.request("GET", "/x")


# Errors


@pytest.mark.parametrize(
    ("reply", "kind", "meaning"),
    [
        (http_response(status=401), NotAuthenticatedError, Meaning.LOGIN_REQUIRED),
        (http_response(b'{"error":"x"}', status=500), StatusError, Meaning.SERVER_ERROR),
        (http_response(b'{"error":"No such order"}'), StatusError, Meaning.REFUSED),
        (http_response(b"<html></html>", content_type="text/html"), DecodeError, Meaning.UNEXPECTED_BODY),
        (http_response(b"{"), DecodeError, Meaning.UNEXPECTED_BODY),
        (http_response(b"[\xff]"), DecodeError, Meaning.UNEXPECTED_BODY),
    ],
)
async def test_the_errors_are_those_of_all_requests(reply: bytes, kind: type[StatusError], meaning: Meaning) -> None:
    async with HttpServer(reply) as peer, Client(peer.url) as client:
        with pytest.raises(kind) as caught:
            await client.request("GET", "/iserver/account/orders")
        assert (caught.value.meaning, caught.value.path) == (meaning, "/iserver/account/orders")


async def test_an_error_in_place_of_a_result_is_quoted_without_secrets() -> None:
    replies = [http_response(TICKLE), http_response(f'{{"error":"no order {SESSION} of DU1234567"}}'.encode())]
    async with HttpServer(replies) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.request("POST", "/tickle")
        with pytest.raises(StatusError, match=r'returned an error: "no order \[redacted\] of \[redacted\]"') as caught:
            await client.request("GET", "/x")
        assert (caught.value.status, caught.value.is_retryable) == (200, False)
        assert SESSION not in repr(caught.value)


async def test_a_429_starts_the_penalty() -> None:
    async with HttpServer(http_response(status=429)) as peer, Client(peer.url) as client:
        for _ in range(2):
            with pytest.raises(RateLimitedError):
                await client.request("GET", "/x")
        assert len(peer.requests) == 1


async def test_requests_are_paced_by_the_documented_limits() -> None:
    async with HttpServer(http_response(b"{}")) as peer, Client(peer.url) as client:
        await client.request("GET", "/portfolio/accounts")
        waiting = asyncio.create_task(client.request("GET", "/portfolio/accounts"))
        await client.request("GET", "/portfolio/DU1234567/summary")
        assert client.pacer.waiting == 1
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert len(peer.requests) == 2


async def test_only_requests_that_are_safe_are_sent_again() -> None:
    """A connection of the pool is lost: the order may have been received, so it is not placed a second time."""
    ok = http_response(b"{}")
    async with HttpServer([ok, None, ok, None, ok]) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.request("GET", "/x")
        await client.request("GET", "/x")
        with pytest.raises(ConnectError):
            await client.request("POST", "/iserver/account/DU1234567/orders", json={"orders": []})
        assert len([request for request in peer.requests if request.startswith(b"POST")]) == 1
        await client.request("GET", "/x")


async def test_a_logout_forgets_the_cookies() -> None:
    replies = [
        http_response(b"{}", headers=["Set-Cookie: a=1"]),
        http_response(b'{"status":true}'),
        http_response(b"1"),
    ]
    async with HttpServer(replies) as peer, Client(peer.url, pacer=unpaced()) as client:
        await client.request("GET", "/x")
        await client.request("POST", "/logout")
        await client.request("GET", "/x")
    assert "cookie" in headers_of(peer.requests[1])
    assert "cookie" not in headers_of(peer.requests[2])

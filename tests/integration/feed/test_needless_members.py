"""A feed streams whatever the members of responses are that it does not need, and however long they are."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

import cpapi_fast as cf
from tests.servers.http import unpaced
from tests.servers.small_gateway import ACCOUNTS, STATUS, TICKLE, SmallGateway

STREAMING = cf.FeedState.STREAMING
MISSING = object()
#: Null, other types, and huge values. Flags that are the other way round are no other type: `test_words.py` has them.
VALUES = (MISSING, None, "x", "", 7, -1, 0.5, 1e300, 10**30, [], [1], {}, {"x": []}, "x" * 2_000_000)
#: Without it, nothing opens the socket.
NEEDED = {("/tickle", ("session",))}


def members_of(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, Mapping):
        for name, member in value.items():
            yield (*path, name)
            yield from members_of(member, (*path, name))


def mutated(body: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(dict(body))
    parent = changed
    for name in path[:-1]:
        parent[name] = dict(parent[name])
        parent = parent[name]
    if value is MISSING:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


async def streams(gateway: SmallGateway) -> tuple[list[cf.StateChange], cf.ClientStats]:
    """Run a feed until it streams, and return its changes until then and the counters of the client."""
    changes: list[cf.StateChange] = []
    async with cf.Client(gateway.url, pacer=unpaced()) as client, cf.Feed(client) as feed:
        await feed.subscribe_market_data(265598)
        async for item in feed:
            if isinstance(item, cf.StateChange) and item.subscription is None:
                changes.append(item)
                if item.state is STREAMING:
                    return changes, client.stats
    raise AssertionError("the feed ended")


#: `/tickle` says that the brokerage session is open; or that it is not, until `ssodh/init` was requested.
BODIES = {"/tickle": TICKLE, "/iserver/accounts": ACCOUNTS, "/iserver/auth/ssodh/init": STATUS}
CASES = [(path, member) for path, body in BODIES.items() for member in members_of(body) if (path, member) not in NEEDED]


@pytest.mark.parametrize(
    ("path", "member"), CASES, ids=lambda value: value if isinstance(value, str) else ".".join(value)
)
async def test_no_member_but_the_session_id_is_needed(path: str, member: tuple[str, ...]) -> None:
    is_open = path != "/iserver/auth/ssodh/init"
    closed = mutated(TICKLE, ("iserver", "authStatus", "authenticated"), False)
    async with SmallGateway() as gateway:
        for value in VALUES:
            gateway.requests.clear()
            gateway.answers[path] = mutated(BODIES[path], member, value)
            if not is_open:
                gateway.answers["/tickle"] = lambda _: TICKLE if gateway.count(path) else closed
            changes, _ = await streams(gateway)
            shown = [(change.state.value, change.cause.value, change.detail) for change in changes]
            assert {change.cause for change in changes} <= {
                cf.Cause.STARTED,
                cf.Cause.RETRY,
                cf.Cause.SOCKET_OPENED,
                cf.Cause.READY,
                cf.Cause.LOGGED_IN,
                cf.Cause.DATA,
            }, (str(value)[:20], shown)


async def test_odd_members_are_counted_by_path_and_name() -> None:
    odd = mutated(mutated(TICKLE, ("ssoExpires",), "500000"), ("iserver", "authStatus", "connected"), "yes")
    async with SmallGateway({"/tickle": odd}) as gateway:
        _, stats = await streams(gateway)
    assert stats.odd_members == {"/tickle ssoExpires": 1, "/tickle iserver.authStatus.connected": 1}
    assert stats.responses == 2
    with pytest.raises(TypeError):
        stats.odd_members["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"OK", b"", b"{", b'{"error":"something new"}'])
async def test_the_body_of_accounts_is_not_needed(body: bytes) -> None:
    async with SmallGateway({"/iserver/accounts": (200, body)}) as gateway:
        changes, _ = await streams(gateway)
        assert changes[-1].state is STREAMING


@pytest.mark.parametrize("bad", [b'"caf\xe9"', b"1e999", b"NaN", b'"\\ud800"'])
async def test_bytes_that_only_a_member_without_use_has_wrong(bad: bytes) -> None:
    raw = json.dumps({**TICKLE, "userId": "?"}).encode().replace(b'"?"', bad)
    async with SmallGateway({"/tickle": (200, raw)}) as gateway:
        changes, _ = await streams(gateway)
        assert changes[-1].state is STREAMING


def many_accounts(count: int) -> dict[str, Any]:
    ids = [f"U{1_000_000 + index}" for index in range(count)]
    properties = {"hasChildAccounts": False, "supportsCashQty": True, "liteUnderPro": False, "noFXConv": False}
    return {"accounts": ids, "acctProps": dict.fromkeys(ids, properties), "aliases": {i: i for i in ids}}


@pytest.mark.parametrize("count", [5_000, 120_000])
async def test_a_feed_needs_no_list_of_accounts_however_long(count: int) -> None:
    body = json.dumps(many_accounts(count)).encode()
    assert len(body) > (700_000 if count == 5_000 else 16 << 20)
    async with SmallGateway({"/iserver/accounts": (200, body)}) as gateway:
        changes, _ = await streams(gateway)
        assert [change.cause for change in changes].count(cf.Cause.LOGGED_IN) == 1
        async with cf.Client(gateway.url) as client:
            if count == 5_000:
                assert len((await client.accounts()).ids) == count
            else:
                with pytest.raises(cf.DecodeError, match=r"limit max_body_bytes.*Raise max_body_bytes") as caught:
                    await client.accounts()
                assert not caught.value.is_retryable
        async with cf.Client(gateway.url, max_body_bytes=len(body)) as client:
            assert len((await client.accounts()).ids) == count


async def test_a_response_that_is_needed_and_too_long_names_the_limit_and_the_option() -> None:
    body = json.dumps({**TICKLE, "x": "x" * 2_000}).encode()
    async with (
        SmallGateway({"/tickle": (200, body)}) as gateway,
        cf.Client(gateway.url, max_body_bytes=1_000) as client,
        cf.Feed(client) as feed,
    ):
        change = await anext(item async for item in feed if isinstance(item, cf.StateChange) and item.is_failure)
    assert change.cause is cf.Cause.GATEWAY_ERROR
    assert "more than 1,000 bytes, the limit max_body_bytes" in change.detail
    assert "Raise max_body_bytes of the Client" in change.advice


async def test_a_list_of_accounts_that_never_ends_does_not_stop_the_feed() -> None:
    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        body = json.dumps(TICKLE).encode()
        if b"/tickle" in request:
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"accounts":["')
            with contextlib.suppress(ConnectionError):
                while not writer.is_closing():
                    writer.write(b"x" * 65_536)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(lambda *peer: pour(*peer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with cf.Client(f"http://127.0.0.1:{port}/v1/api", pacer=unpaced()) as client:
        await client.tickle()
        await client.prime_accounts()
    server.close()
    await server.wait_closed()

"""The client with a cache of contracts: fewer requests, the same results, and no request that fails because of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cpapi_fast.contract_cache import ContractCache
from cpapi_fast.errors import ConfigError, StatusError
from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter


async def cached_client(enter: Enter, gateway: SimulatedGateway, folder: Path) -> Client:
    return await enter(Client(gateway.url, clock=gateway.clock, contract_cache=ContractCache(folder)))


CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "search": lambda client: client.search("AAPL"),
    "stocks": lambda client: client.stocks(["AAPL", "IBM"]),
    "futures": lambda client: client.futures(["ES", "CL"]),
    "pairs": lambda client: client.currency_pairs("USD"),
    "info": lambda client: client.contract_info(649180695),
    "schedule": lambda client: client.trading_schedule(265598),
}


def raws(found: Any) -> Any:
    """The decoded JSON of a result."""
    if isinstance(found, dict):
        return {name: raws(value) for name, value in found.items()}
    return [raws(one) for one in found] if isinstance(found, tuple) else found.raw


@pytest.mark.each_loop
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_second_program_does_not_request_again(
    enter: Enter, gateway: SimulatedGateway, tmp_path: Path, call: Callable[[Client], Awaitable[Any]]
) -> None:
    first = await call(await cached_client(enter, gateway, tmp_path))
    asked = len(gateway.requests)
    client = await cached_client(enter, gateway, tmp_path)
    second = await call(client)
    assert len(gateway.requests) == asked
    assert raws(first) == raws(second)
    assert client.contract_cache is not None
    assert client.contract_cache.hits >= 1
    # A damaged entry is requested again.
    for path in tmp_path.glob("*.json"):
        path.write_bytes(b"x")
    assert raws(await call(client)) == raws(first)
    assert len(gateway.requests) == 2 * asked


async def test_only_unknown_symbols_are_requested(enter: Enter, gateway: SimulatedGateway, tmp_path: Path) -> None:
    client = await cached_client(enter, gateway, tmp_path)
    await client.stocks(["IBM", "XYZW"])
    found = await client.stocks(["AAPL", "IBM", "XYZW"])
    assert list(found) == ["AAPL", "IBM", "XYZW"]
    assert [request.query["symbols"] for request in gateway.requests] == ["IBM,XYZW", "AAPL,XYZW"]
    assert await client.search("XYZW") == await client.search("XYZW") == ()
    assert len(gateway.requests) == 4


async def test_errors_and_snapshots_are_not_kept(enter: Enter, gateway: SimulatedGateway, tmp_path: Path) -> None:
    client = await cached_client(enter, gateway, tmp_path)
    gateway.faults.fail_rest("/iserver/contract/8314/info", status=500)
    with pytest.raises(StatusError):
        await client.contract_info(8314)
    await client.snapshot([8314], ["84"])
    assert list(tmp_path.iterdir()) == []
    assert (await client.contract_info(8314)).symbol == "IBM"


async def test_an_entry_of_another_shape_is_requested_again(
    enter: Enter, gateway: SimulatedGateway, tmp_path: Path
) -> None:
    client = await cached_client(enter, gateway, tmp_path)
    await client.contract_info(8314)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(orjson.dumps(orjson.loads(path.read_bytes()) | {"value": []}))
    assert (await client.contract_info(8314)).conid == 8314
    assert client.contract_cache is not None
    assert client.contract_cache.ignored == 1
    assert len(gateway.requests) == 2


async def test_gateways_do_not_share_entries(enter: Enter, start_gateway: Any, tmp_path: Path) -> None:
    for _ in range(2):
        gateway = await start_gateway()
        await (await cached_client(enter, gateway, tmp_path)).contract_info(8314)
        assert len(gateway.requests) == 1


async def test_no_secret_is_in_the_files(enter: Enter, gateway: SimulatedGateway, tmp_path: Path) -> None:
    client = await cached_client(enter, gateway, tmp_path)
    await client.tickle()
    for call in CALLS.values():
        await call(client)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (gateway.session_id, "DU1234567", "user1234", "x-sess-uuid"):
        assert secret.encode() not in content


async def test_a_folder_of_no_use_stops_nothing(enter: Enter, gateway: SimulatedGateway, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    client = await cached_client(enter, gateway, file / "cache")
    for call in CALLS.values():
        await call(client)
        await call(client)
    assert len(gateway.requests) == 2 * len(CALLS)


def test_another_object_is_no_cache() -> None:
    with pytest.raises(ConfigError, match="ContractCache or None"):
        Client("http://localhost:5000/v1/api", contract_cache="folder")  # type: ignore[arg-type]

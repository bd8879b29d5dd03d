"""Fixtures for the tests of the simulated gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter

from .plain_client import DEFAULTS, Socket, connected, http


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS whose time runs fifty times as fast."""
    return DEFAULTS


Connect = Callable[..., Awaitable[Socket]]


@pytest.fixture
def connect(enter: Enter) -> Connect:
    """Open a socket to a gateway; the arguments are those of `connected`."""

    async def open_socket(gateway: SimulatedGateway, **options: Any) -> Socket:
        return await enter(connected(gateway, **options))

    return open_socket


@pytest.fixture
async def socket(connect: Connect, gateway: SimulatedGateway) -> Socket:
    """A socket to `gateway` that has read its opening burst."""
    return await connect(gateway)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client without a cookie jar."""
    async with http() as client:
        yield client

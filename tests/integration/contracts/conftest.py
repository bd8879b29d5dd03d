"""Fixtures for tests of contracts: a gateway on a fast clock, and a client with timeouts in real time."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter
from tests.integration.simulator.plain_client import DEFAULTS


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    return DEFAULTS


@pytest.fixture
async def client(enter: Enter, gateway: SimulatedGateway) -> Client:
    real_s = 10.0 * gateway.clock.speed
    return await enter(Client(gateway.url, clock=gateway.clock, connect_timeout_s=real_s, total_timeout_s=real_s))

"""Fixtures for tests of `collect`: a gateway and a client on one compressed clock."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.rest.client import Client
from cpapi_fast.simulator import SimulatedGateway
from tests.conftest import Enter

from .harness import client_of


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    return {"speed": 20.0, "seed": 7, "keep_sent": 100_000}


@pytest.fixture
async def client(enter: Enter, gateway: SimulatedGateway) -> Client:
    """A REST client of `gateway`, on its clock and with timeouts in real time."""
    return await enter(client_of(gateway))

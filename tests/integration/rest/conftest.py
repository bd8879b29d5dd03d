"""The gateway of the tests of the REST client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.simulator.plain_client import DEFAULTS


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS whose time runs fifty times as fast."""
    return DEFAULTS

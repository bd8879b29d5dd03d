"""The gateway of the tests of the doctor."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import QUICK


@pytest.fixture
def gateway_options() -> dict[str, Any]:
    """A gateway without TLS that is ready at once and sends frequent heartbeats."""
    return {"tls": False, **QUICK}

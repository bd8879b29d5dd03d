"""The clock of the tests of `Feed`."""

from __future__ import annotations

import pytest

import cpapi_fast as cf


@pytest.fixture
def clock() -> cf.Clock:
    """Twenty times as fast as the machine's, for the gateway and the feed."""
    return cf.Clock(20.0)

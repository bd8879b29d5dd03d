"""Fixtures for reports of what `collect` wrote: a gateway and a client on one compressed clock."""

from __future__ import annotations

from tests.integration.collect.conftest import client, gateway_options

__all__ = ["client", "gateway_options"]

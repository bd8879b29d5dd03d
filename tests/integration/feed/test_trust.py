"""A feed whose gateway is restarted with another certificate while the trusted one on disk is replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cpapi_fast as cf
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions
from tests.conftest import Enter
from tests.support.loops import until

CONID = 265598


def gateway_with(certificate: Certificate, clock: cf.Clock, port: int = 0) -> SimulatedGateway:
    return SimulatedGateway(SimulatorOptions(tls=True, certificate=certificate, port=port), clock=clock)


class Told:
    """The state changes of a feed."""

    def __init__(self, feed: cf.Feed) -> None:
        self.changes: list[cf.StateChange] = []
        feed.on_item(self._on_item)

    def _on_item(self, item: Any) -> None:
        if isinstance(item, cf.StateChange) and item.subscription is None:
            self.changes.append(item)

    @property
    def refusals(self) -> list[cf.StateChange]:
        return [change for change in self.changes if change.cause is cf.Cause.REFUSED]


@pytest.fixture
def clock() -> cf.Clock:
    """Twenty times as fast, because a refused feed waits before it tries again."""
    return cf.Clock(20.0)


@pytest.mark.each_loop
async def test_a_ca_file_that_is_replaced_late_and_in_two_writes(tmp_path: Path, clock: cf.Clock, enter: Enter) -> None:
    old, new = Certificate.make(), Certificate.make()
    path = tmp_path / "ca.pem"
    path.write_bytes(old.certificate_pem)
    async with gateway_with(old, clock) as first:
        client = await enter(cf.Client(first.url, tls=cf.Tls.ca_file(path), clock=clock))
        feed = await enter(cf.Feed(client, cf.FeedOptions(reconnect_max_s=5.0)))
        told = Told(feed)
        await feed.subscribe_market_data(CONID)
        await feed.wait_for(cf.FeedState.STREAMING)
    async with gateway_with(new, clock, first.port):
        await until(lambda: told.refusals)
        assert "it is self-signed" in told.refusals[-1].detail
        assert new.fingerprint in told.refusals[-1].detail
        # Half of the new file, as a program sees it that reads while another one writes.
        path.write_bytes(new.certificate_pem[:200])
        failed = feed.stats.calls_failed
        await until(lambda: feed.stats.calls_failed >= failed + 2)
        with pytest.raises(cf.ConfigError, match="damaged certificate"):
            await client.tickle()
        assert feed.state is cf.FeedState.DISCONNECTED
        path.write_bytes(new.certificate_pem)
        await feed.wait_for(cf.FeedState.STREAMING)
        await feed.aclose()


async def test_an_expired_certificate_that_is_renewed(tmp_path: Path, clock: cf.Clock, enter: Enter) -> None:
    expired, renewed = Certificate.expired(), Certificate.make()
    path = tmp_path / "ca.pem"
    path.write_bytes(expired.certificate_pem + renewed.certificate_pem)
    async with gateway_with(expired, clock) as first:
        client = await enter(cf.Client(first.url, tls=cf.Tls.ca_file(path), clock=clock))
        feed = await enter(cf.Feed(client, cf.FeedOptions(reconnect_max_s=5.0)))
        told = Told(feed)
        await feed.subscribe_market_data(CONID)
        await until(lambda: told.refusals)
        assert "it expired on" in told.refusals[0].detail
    async with gateway_with(renewed, clock, first.port):
        await feed.wait_for(cf.FeedState.STREAMING)
        await feed.aclose()


async def test_a_pinned_gateway_that_comes_back(clock: cf.Clock, enter: Enter) -> None:
    pinned, other = Certificate.make(), Certificate.make()
    async with gateway_with(pinned, clock) as first:
        client = await enter(cf.Client(first.url, tls=cf.Tls.pinned(pinned.fingerprint), clock=clock))
        feed = await enter(cf.Feed(client, cf.FeedOptions(reconnect_max_s=5.0)))
        told = Told(feed)
        await feed.subscribe_market_data(CONID)
        await feed.wait_for(cf.FeedState.STREAMING)
    async with gateway_with(other, clock, first.port):
        await until(lambda: told.refusals)
        assert other.fingerprint in told.refusals[0].detail
    async with gateway_with(pinned, clock, first.port):
        await feed.wait_for(cf.FeedState.STREAMING)
        await feed.aclose()

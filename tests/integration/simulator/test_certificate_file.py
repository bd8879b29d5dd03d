"""The certificate file of the simulator: a pin stays valid after a restart, and what is not usable is refused."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import cpapi_fast as cf
from cpapi_fast.errors import ConfigError
from cpapi_fast.simulator import Certificate, SimulatedGateway, SimulatorOptions

_DAY = timedelta(days=1)


def _content(certificate: Certificate) -> bytes:
    return certificate.private_key_pem + certificate.certificate_pem


async def test_a_feed_with_a_pin_streams_again_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "gateway.pem"
    options = SimulatorOptions(certificate_file=path, speed=20.0)
    async with SimulatedGateway(options) as first:
        pin, port = first.fingerprint, first.port
        assert pin is not None
        client = cf.Client(first.url, tls=cf.Tls.pinned(pin), clock=first.clock)
        feed = cf.Feed(client, cf.FeedOptions(log_trouble=False))
        await feed.subscribe_market_data(265598)
        await feed.start()
        await feed.wait_for(cf.FeedState.STREAMING)
    try:
        await feed.wait_for(cf.FeedState.CONNECTING, cf.FeedState.DISCONNECTED)
        again = SimulatorOptions(certificate_file=str(path), port=port, speed=20.0)
        async with SimulatedGateway(again, clock=first.clock) as second:
            assert second.fingerprint == pin
            await feed.wait_for(cf.FeedState.STREAMING)
            assert second.open_connections
    finally:
        await feed.aclose()
        await client.aclose()


def test_a_new_file_is_for_its_owner_and_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "gateway.pem"
    made = Certificate.kept_in(path)
    content = path.read_bytes()
    assert content == _content(made)
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Certificate.kept_in(path) == made
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (lambda: b"", "is not usable; give a PEM file"),
        (lambda: b"\x00\xff" * 400, "is not usable"),
        (lambda: Certificate.make().certificate_pem, "is not usable"),
        (lambda: Certificate.make().private_key_pem, "is not usable"),
        (lambda: _content(Certificate.make())[:-200], "is not usable"),
        (lambda: Certificate.make().private_key_pem + Certificate.make().certificate_pem, "does not belong to"),
        (lambda: _content(Certificate.expired()), "is valid from .* so not now; delete the file"),
        (
            lambda: _content(Certificate.make(not_before=datetime.now(UTC) + _DAY)),
            "is valid from .* so not now; delete the file",
        ),
    ],
)
def test_a_file_that_is_not_usable_is_refused_and_kept(
    content: Callable[[], bytes], match: str, tmp_path: Path
) -> None:
    path = tmp_path / "gateway.pem"
    given = content()
    path.write_bytes(given)
    with pytest.raises(ConfigError, match=match) as caught:
        Certificate.kept_in(path)
    assert str(path) in str(caught.value)
    assert "PRIVATE" not in str(caught.value)
    assert path.read_bytes() == given


def test_a_path_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing" / "gateway.pem", tmp_path / "nul\0"):
        with pytest.raises(ConfigError, match=r"cannot (read|create) the certificate file"):
            Certificate.kept_in(path)
    with pytest.raises(ConfigError, match="certificate_file must be a path, not int"):
        SimulatorOptions(certificate_file=5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="certificate or certificate_file, not both"):
        SimulatorOptions(certificate_file="x", certificate=Certificate.make())
    with pytest.raises(ConfigError, match="certificate_file needs TLS"):
        SimulatorOptions(certificate_file="x", tls=False)

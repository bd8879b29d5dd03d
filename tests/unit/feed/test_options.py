"""`FeedOptions` refuses every invalid value, and errors are mapped to failures."""

from __future__ import annotations

from typing import Any

import pytest

from cpapi_fast.errors import (
    CertificateError,
    ConfigError,
    ConnectError,
    CpapiError,
    HandshakeError,
    NotAuthenticatedError,
    RateLimitedError,
    StatusError,
)
from cpapi_fast.feed.driver.failures import failure_of
from cpapi_fast.feed.machine import Failure
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import DailyWindow


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("nightly", ("23:40", "00:45")),
        ("ws", {"open_timeout_s": 1.0}),
        ("seed", "1"),
        ("renew_after_s", 480.0),
        ("renew_after_s", (480.0,)),
        ("renew_after_s", ("480", "500")),
        ("renew_after_s", (500.0, 480.0)),
        ("renew_after_s", (480.0, 600.0)),
        ("max_pending_frames", 1e6),
        ("max_pending_bytes", 0),
        ("market_data_lines", True),
        ("keepalive_interval_s", True),
        ("give_up_after_s", False),
        ("last_values", "no"),
        ("seed", True),
        ("renew_after_s", (True, 400.0)),
        ("renew_after_s", (float("nan"), 400.0)),
        ("renew_after_s", (-1.0, 400.0)),
        ("stale_factor", "5"),
        ("login_poll_s", float("nan")),
        ("competing", "fight"),
        ("overload", ["block"]),
        ("backfill", "guess"),
        ("ready_fallback", None),
    ],
)
def test_an_invalid_value_is_refused_with_the_name_of_the_option(name: str, value: Any):
    with pytest.raises(ConfigError, match=name):
        FeedOptions(**{name: value})


def test_valid_values_are_accepted():
    options = FeedOptions(nightly=None, seed=0, renew_after_s=(1.0, 1), login_poll_s=1)
    assert options.nightly is None
    assert FeedOptions(nightly=DailyWindow("01:00", "02:00", "UTC")).nightly is not None


@pytest.mark.parametrize(
    ("error", "failure", "retry_after_s"),
    [
        (StatusError("", status=404), Failure.NOT_A_GATEWAY, None),
        (HandshakeError("", status=404), Failure.UPGRADE_REFUSED, None),
        (CertificateError(""), Failure.REFUSED, None),
        (StatusError("", status=503), Failure.GATEWAY_ERROR, None),
        (StatusError("", status=403), Failure.FORBIDDEN, None),
        (HandshakeError("", status=403), Failure.UPGRADE_REFUSED, None),
        (HandshakeError("", status=429), Failure.RATE_LIMITED, None),
        (HandshakeError("", status=None), Failure.UNREACHABLE, None),
        (RateLimitedError("", path="/tickle", retry_after_s=7.0), Failure.RATE_LIMITED, 7.0),
        (NotAuthenticatedError(""), Failure.NOT_LOGGED_IN, None),
        (ConnectError(""), Failure.UNREACHABLE, None),
        (CpapiError(""), Failure.GATEWAY_ERROR, None),
    ],
)
def test_errors_are_mapped_to_failures(error: CpapiError, failure: Failure, retry_after_s: float | None):
    assert failure_of(error) == (failure, retry_after_s)

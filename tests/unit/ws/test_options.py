"""The options of a connection are validated once."""

from __future__ import annotations

import dataclasses

import pytest

from cpapi_fast.errors import ConfigError
from cpapi_fast.ws.options import WsOptions


def test_the_defaults_are_those_of_the_rust_client() -> None:
    options = WsOptions()
    assert (options.max_frame_bytes, options.max_message_bytes) == (16 << 20, 64 << 20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("open_timeout_s", 0),
        ("open_timeout_s", float("nan")),
        ("close_timeout_s", -1),
        ("close_timeout_s", float("inf")),
        ("max_frame_bytes", 0),
        ("max_frame_bytes", 2**30 + 1),
        ("max_message_bytes", 2**31),
        ("max_pending_bytes", 0),
        ("callback_errors", "ignore"),
        ("busy_poll", 1),
        ("open_timeout_s", "10"),
        ("open_timeout_s", None),
        ("close_timeout_s", True),
        ("max_frame_bytes", 1.5),
        ("max_message_bytes", "64M"),
        ("max_pending_bytes", None),
    ],
)
def test_an_invalid_value_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        WsOptions(**{name: value})


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        WsOptions().open_timeout_s = 1.0  # type: ignore[misc]

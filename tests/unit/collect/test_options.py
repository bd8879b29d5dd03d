"""CollectOptions: invalid values are errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.errors import (
    ConfigError,
    SubscriptionError,
)
from tests.integration.collect.harness import (
    CONIDS,
)


@pytest.mark.parametrize(
    "name", ["duration_s", "give_up_after_s", "flush_interval_s", "roll_interval_s", "max_queue_bytes"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_options_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        CollectOptions(conids=CONIDS, out=Path("x"), **{name: value})


def test_the_policy_is_checked() -> None:
    with pytest.raises(ConfigError, match="hold, drop_oldest, drop_newest, not 'panic'"):
        CollectOptions(conids=CONIDS, out=Path("x"), slow_disk="panic")  # type: ignore[arg-type]


def test_conids_are_checked() -> None:
    with pytest.raises(SubscriptionError):
        CollectOptions(conids=(-1,), out=Path("x"))
    assert CollectOptions(conids=(1, 2, 1), out=Path("x")).conids == (1, 2)

"""Numbers and flags in options: every value of a wrong type or range is a ConfigError that says what is valid."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cpapi_fast import Client, Clock, ConfigError, FeedOptions, OutputOptions, WsOptions
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.doctor.runner import diagnose
from cpapi_fast.feed.subscription import send_nothing, spec_of
from cpapi_fast.option_values import check_flag, check_positive, check_whole
from cpapi_fast.protocol.topics import Subscription
from cpapi_fast.rest.pacing import RestPacer
from cpapi_fast.simulator import SimulatorOptions

#: No option that is a number accepts these.
_WRONG_NUMBERS = (True, False, math.nan, math.inf, -math.inf, -1, -0.5, "1", "", [1], (1,), object(), 1j)


@pytest.mark.parametrize("value", [*_WRONG_NUMBERS, 0, 0.0, None])
def test_a_wrong_number_is_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="x_s must be a finite number of seconds above zero, not "):
        check_positive("x_s", value, "seconds")
    with pytest.raises(ConfigError, match="x must be a whole number above zero, not "):
        check_whole("x", value)


def test_a_wrong_flag_is_refused() -> None:
    for value in (0, 1, None, "yes", []):
        with pytest.raises(ConfigError, match="x must be True or False"):
            check_flag("x", value)


def test_valid_values_are_accepted() -> None:
    for number in (1, 0.5, 1e300):
        check_positive("x", number)
    check_whole("x", 1)
    check_whole("x", 0, least=0)
    check_flag("x", False)
    with pytest.raises(ConfigError, match="of at least zero"):
        check_whole("x", -1, least=0)


def _make_collect_options(**options: object) -> object:
    return CollectOptions(conids=(), out=Path("x"), **options)  # type: ignore[arg-type]


#: Options with other rules, which have tests of their own: 0 or True is valid.
_OWN_RULES = ("seed", "file_mode", "executions")


@pytest.mark.parametrize(
    ("make", "of"),
    [
        (FeedOptions, FeedOptions),
        (WsOptions, WsOptions),
        (_make_collect_options, CollectOptions),
        (SimulatorOptions, SimulatorOptions),
        (OutputOptions, OutputOptions),
    ],
)
def test_every_number_and_flag_of_every_options_class_is_checked(make: Callable[..., object], of: type) -> None:
    """Fields are found by their type, so a new option is checked too."""
    for field in dataclasses.fields(of):
        kinds = str(field.type).split(" | ")
        if not set(kinds) & {"int", "float", "bool"} or field.name in _OWN_RULES:
            continue
        wrong = ("x", 0, 1, 2.5, []) if "bool" in kinds else _WRONG_NUMBERS
        if "None" not in kinds:
            wrong = (*wrong, None)
        for value in wrong:
            with pytest.raises(ConfigError, match=field.name):
                make(**{field.name: value})


@pytest.mark.parametrize("value", _WRONG_NUMBERS)
def test_the_numbers_of_calls_are_checked(value: object) -> None:
    wrong: list[Callable[[], object]] = [
        lambda: Client("https://localhost:5000", total_timeout_s=value),  # type: ignore[arg-type]
        lambda: Client("https://localhost:5000", max_body_bytes=value),  # type: ignore[arg-type]
        lambda: Clock(value),  # type: ignore[arg-type]
        lambda: RestPacer(max_wait_s=value),  # type: ignore[arg-type]
        lambda: RestPacer(requests_per_s=value),  # type: ignore[arg-type]
        lambda: RestPacer(limits={"/tickle": (value, 1.0)}),  # type: ignore[dict-item]
        lambda: spec_of(Subscription.market_data(send_nothing, 1), usual_interval_s=value),  # type: ignore[arg-type]
        lambda: asyncio.run(diagnose("https://localhost:5000", timeout_s=value)),  # type: ignore[arg-type]
    ]
    for call in wrong:
        with pytest.raises(ConfigError):
            call()

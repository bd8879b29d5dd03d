"""CollectOptions: invalid values are errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.errors import (
    ConfigError,
    SubscriptionError,
)
from cpapi_fast.protocol.topics import MarketDataFields
from tests.integration.collect.harness import (
    CONIDS,
)


@pytest.mark.parametrize(
    "name", ["duration_s", "give_up_after_s", "flush_interval_s", "roll_interval_s", "max_queue_bytes"]
)
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), True, "60"])
def test_options_are_checked(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        CollectOptions(conids=CONIDS, out=Path("x"), **{name: value})


def test_the_policy_is_checked() -> None:
    with pytest.raises(ConfigError, match="hold, drop_oldest, drop_newest, not 'panic'"):
        CollectOptions(conids=CONIDS, out=Path("x"), slow_disk="panic")  # type: ignore[arg-type]


@pytest.mark.parametrize("tables", [(), "quotes", ["bars"], ["quotes", 5], None, 5])
def test_tables_are_checked(tables: object) -> None:
    with pytest.raises(ConfigError, match="tables must be a list with one or more of ticks, quotes"):
        CollectOptions(conids=CONIDS, out=Path("x"), tables=tables)  # type: ignore[arg-type]


def test_tables_count_once() -> None:
    assert CollectOptions(conids=CONIDS, out=Path("x")).tables == ("quotes",)
    assert CollectOptions(conids=CONIDS, out=Path("x"), tables=["ticks", "quotes", "ticks"]).tables == (  # type: ignore[arg-type]
        "ticks",
        "quotes",
    )


def test_conids_are_checked() -> None:
    with pytest.raises(SubscriptionError):
        CollectOptions(conids=(-1,), out=Path("x"))
    assert CollectOptions(conids=(1, 2, 1), out=Path("x")).conids == (1, 2)
    combination = "28812380;;;8314/1,8894/-1"
    mixed = CollectOptions(conids=(1, "2@NYSE", "1", 2, combination, "02@NYSE"), out=Path("x"))
    assert mixed.conids == (1, "2@NYSE", 2, combination), "an exchange or a combination is another instrument"
    by_key = CollectOptions(conids=(), out=Path("x"), fields=["last_price", 84])
    assert by_key.fields == MarketDataFields(("31", "84"))
    with pytest.raises(SubscriptionError, match="Did you mean last_price"):
        CollectOptions(conids=(), out=Path("x"), fields=["lastprice"])
    for wrong in ("265598", ("AAPL",), ("1;;;2",)):
        with pytest.raises(SubscriptionError):
            CollectOptions(conids=wrong, out=Path("x"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["orders", "pnl"])
@pytest.mark.parametrize("value", [1, None, "yes"])
def test_flags_of_account_tables_are_checked(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=name):
        CollectOptions(out=Path("x"), **{name: value})


@pytest.mark.parametrize("days", [8, -1, 1.0, 0.0, "1", None])
def test_days_of_executions_are_checked(days: object) -> None:
    with pytest.raises(SubscriptionError, match="days must be a whole number from 1 to 7"):
        CollectOptions(out=Path("x"), executions=days)  # type: ignore[arg-type]


def test_days_of_executions() -> None:
    given = [CollectOptions(out=Path("x"), executions=days).executions for days in (False, 0, True, 1, 7)]
    assert given == [0, 0, 1, 1, 7]
    assert replace(CollectOptions(out=Path("x")), pnl=True).executions == 0


@pytest.mark.parametrize("name", ["summary", "ledger"])
@pytest.mark.parametrize(
    "accounts", ["DU1234567", b"DU1234567", None, 5, [5], [""], ["a b"], ["DU1+DU2"], ["x" * 65], [None]]
)
def test_accounts_are_checked(name: str, accounts: object) -> None:
    with pytest.raises(SubscriptionError, match="account") as caught:
        CollectOptions(out=Path("x"), **{name: accounts})
    assert "DU1" not in str(caught.value)


def test_accounts_count_once_and_are_not_shown() -> None:
    options = CollectOptions(out=Path("x"), summary=["mine", "U2", "mine"], ledger=iter(["mine"]), pnl=True)  # type: ignore[arg-type]
    assert (options.summary, options.ledger) == (("mine", "U2"), ("mine",))
    assert options.account_tables == ("pnl", "account_summary", "ledger")
    assert "mine" not in repr(options)
    assert CollectOptions(out=Path("x")).account_tables == ()

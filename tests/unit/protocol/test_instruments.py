"""The texts of instruments: one form for each, and a list of them in which a combination keeps its commas."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError
from cpapi_fast.protocol.instruments import (
    conid_target,
    market_data_target,
    market_data_topic,
    split_instruments,
)
from cpapi_fast.protocol.topics import (
    history_subscribe_text,
    market_data_subscribe_text,
    market_data_unsubscribe_text,
)

COMBINATION = "28812380;;;8314/1,8894/-1"

_conids = st.integers(0, 2**63 - 1)
_exchanges = st.from_regex(r"[A-Z0-9][A-Z0-9._-]{0,31}", fullmatch=True)
_places = st.builds(
    lambda conid, exchange: f"{conid}@{exchange}" if exchange else str(conid), _conids, st.none() | _exchanges
)
_ratios = st.integers(-(10**9) + 1, 10**9 - 1).filter(bool)
_legs = st.lists(st.builds(lambda place, ratio: f"{place}/{ratio}", _places, _ratios), min_size=1, max_size=6)
_combinations = st.builds(lambda place, legs: f"{place};;;{','.join(legs)}", _places, _legs)
instruments = _places | _combinations


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("265598", "265598"),
        ("0265598", "265598"),
        ("265598@NYSE", "265598@NYSE"),
        ("265598@OVERNIGHT", "265598@OVERNIGHT"),
        (COMBINATION, COMBINATION),
        ("0;;;8314/1,8894/-2", "0;;;8314/1,8894/-2"),
        ("28812380@SMART;;;8314/1", "28812380@SMART;;;8314/1"),
        ("0;;;08314@CBOE/1,8894@CBOE/-1", "0;;;8314@CBOE/1,8894@CBOE/-1"),
    ],
)
def test_texts_of_instruments(text: str, target: str) -> None:
    assert market_data_target(text) == target
    assert market_data_topic(text) == f"smd+{target}"
    assert market_data_topic(f"smd+{text}") == f"smd+{text}"
    assert market_data_subscribe_text(text).startswith(f"smd+{target}+{{")
    assert market_data_unsubscribe_text(text) == f"umd+{target}+{{}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a conid must be a whole number"),
        ("AAPL", "a conid must be a whole number"),
        ("-1", "a conid must be a whole number"),
        ("1.5", "a conid must be a whole number"),
        (" 1", "a conid must be a whole number"),
        ("1\n", "a conid must be a whole number"),
        ("1+{}", "a conid must be a whole number"),
        ("1,2", "a conid must be a whole number"),
        ("8314/1", "a conid must be a whole number"),
        ("9999999999999999999", "a conid must be a whole number from 0"),
        ("\u0661", "a conid must be a whole number"),
        ("1@", "an exchange must be a name in capitals"),
        ("1@nyse", "an exchange must be a name in capitals"),
        ("1@NYSE@NYSE", "an exchange must be a name in capitals"),
        ("1;;;", "a combination must be"),
        ("1;;;2", "a combination must be"),
        ("1;;;2/0", "a combination must be"),
        ("1;;;2/1,", "a combination must be"),
        ("1;;;2/1, 3/-1", "a combination must be"),
        (";;;2/1", "a combination must be"),
        ("1;;2/1", "a conid must be"),
    ],
)
def test_texts_that_name_no_instrument(text: str, message: str) -> None:
    with pytest.raises(SubscriptionError, match=re.escape(message)):
        market_data_target(text)


def test_an_exchange_is_given_once() -> None:
    assert market_data_target("265598", "NYSE") == market_data_target(265598, "NYSE") == "265598@NYSE"
    with pytest.raises(SubscriptionError, match="give the exchange once"):
        market_data_target("265598@NYSE", "NYSE")
    with pytest.raises(SubscriptionError, match=r"in its text, as in '28812380@NYSE;;;"):
        market_data_target(COMBINATION, "NYSE")


def test_history_is_of_a_conid_only() -> None:
    for text in ("265598", COMBINATION):
        with pytest.raises(SubscriptionError, match="a conid must be a whole number"):
            history_subscribe_text(text, period="1d", bar="1min")  # type: ignore[arg-type]
        with pytest.raises(SubscriptionError, match="a conid must be a whole number"):
            conid_target(text)  # type: ignore[arg-type]


@given(instruments)
def test_a_target_is_its_own_text(text: str) -> None:
    assert market_data_target(text) == text
    assert market_data_target(market_data_target(text)) == text


@given(st.lists(instruments, min_size=1, max_size=6), st.sampled_from([",", ", ", " , "]))
def test_a_list_is_split_into_what_it_was_joined_from(texts: list[str], comma: str) -> None:
    """Also where each comma of the legs has white space beside it."""
    assert split_instruments(comma.join(texts)) == tuple(texts)
    assert split_instruments(",".join(texts).replace(",", comma)) == tuple(texts)


@given(st.text())
def test_any_text_is_split_without_an_error(text: str) -> None:
    assert len(split_instruments(text)) <= text.count(",") + 1


def test_a_leg_without_a_combination_is_a_part_of_its_own() -> None:
    assert split_instruments("265598,8314/1") == ("265598", "8314/1")

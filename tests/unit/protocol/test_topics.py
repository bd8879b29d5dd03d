"""The exact texts of subscriptions, invalid arguments, and cancelling."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpapi_fast.errors import SubscriptionError, TransportError
from cpapi_fast.protocol.topics import (
    KEEPALIVE_INTERVAL_S,
    MarketDataFields,
    Subscription,
    history_subscribe_text,
    history_unsubscribe_text,
    market_data_subscribe_text,
    market_data_target,
    market_data_unsubscribe_text,
)


class Index:
    """An integer of some other library, such as NumPy's."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


#: More digits than Python is willing to write out.
HUGE = Index(10**5000)


class Sent:
    """A fake socket that records the texts, or raises a given error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.texts: list[str] = []
        self.error = error

    async def __call__(self, text: str) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.texts.append(text)


# Fields


def test_default_l1_has_its_codes_in_order() -> None:
    assert MarketDataFields.default_l1().as_slice() == ("31", "84", "86", "85", "88", "87")


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["31", "84"], ("31", "84")),
        ([31, 84], ("31", "84")),
        ((Index(31), "84"), ("31", "84")),
        (["84", "31", 84, "31"], ("84", "31")),
        ({"7762": 1}, ("7762",)),
        ([0], ("0",)),
        (["999999", 123456789], ("999999", "123456789")),
        (iter(["31"]), ("31",)),
    ],
)
def test_unknown_codes_are_allowed(codes: object, expected: tuple[str, ...]) -> None:
    assert MarketDataFields.from_codes(codes).as_slice() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "codes",
    [
        [],
        "31",
        "",
        b"31",
        bytearray(b"31"),
        31,
        None,
        [""],
        ["3 1"],
        [" 31"],
        ["31\n"],
        ["-31"],
        ["+31"],
        ["3.1"],
        ["31,84"],
        ["87_raw"],
        ["last_prices"],
        ['31"],"x":["'],
        ["\u0663\u0661"],
        ["\u00b2"],
        ["1" * 20],
        [-1],
        [2**63],
        [HUGE],
        [[HUGE]],
        [True],
        [31.0],
        [None],
        [b"31"],
        [["31"]],
    ],
)
def test_codes_that_are_not_digits_are_refused(codes: object) -> None:
    with pytest.raises(SubscriptionError):
        MarketDataFields.from_codes(codes)  # type: ignore[arg-type]


def test_keys_and_codes_are_the_same_fields() -> None:
    fields = MarketDataFields(["bid_price", "31", 86, "last_price", "84", "99999"])
    assert list(fields) == ["84", "31", "86", "99999"]


def test_an_unknown_key_is_refused_with_the_most_similar_ones() -> None:
    with pytest.raises(SubscriptionError, match=r"unknown field: 'bid_prise'.* Did you mean bid_price"):
        MarketDataFields(["bid_prise"])


def test_fields_are_an_immutable_sequence() -> None:
    fields = MarketDataFields.from_codes(["31", "84", "86"])
    assert list(fields) == ["31", "84", "86"]
    assert len(fields) == 3
    assert fields[0] == "31"
    assert fields[-1] == "86"
    assert fields[1:] == ("84", "86")
    assert "84" in fields
    assert "85" not in fields
    assert fields == MarketDataFields([31, 84, 86])
    assert hash(fields) == hash(MarketDataFields([31, 84, 86]))
    assert fields != MarketDataFields([84, 31, 86])
    assert fields != ("31", "84", "86")
    assert repr(fields) == "MarketDataFields(['31', '84', '86'])"
    with pytest.raises(TypeError):
        fields[0] = "1"  # type: ignore[index]


# Texts


def test_the_text_of_a_market_data_subscribe() -> None:
    fields = MarketDataFields.from_codes(["31", "84"])
    assert market_data_subscribe_text(265598, fields) == 'smd+265598+{"fields":["31","84"]}'
    assert market_data_subscribe_text(265598, fields, exchange="NYSE") == 'smd+265598@NYSE+{"fields":["31","84"]}'
    assert market_data_subscribe_text(265598) == 'smd+265598+{"fields":["31","84","86","85","88","87"]}'
    assert market_data_unsubscribe_text(265598) == "umd+265598+{}"
    assert market_data_unsubscribe_text(265598, exchange="BVME.ETF") == "umd+265598@BVME.ETF+{}"


@pytest.mark.parametrize("conid", [0, 1, 265598, 2**63 - 1, Index(265598)])
def test_a_whole_number_is_a_conid(conid: int) -> None:
    assert market_data_target(conid) == str(conid.__index__())


@pytest.mark.parametrize(
    "conid",
    [
        True,
        False,
        -1,
        2**63,
        HUGE,
        [HUGE],
        1.0,
        265598.0,
        b"265598",
        "",
        None,
        [265598],
        "265598+{}",
        float("nan"),
    ],
)
def test_every_other_conid_is_refused(conid: object) -> None:
    with pytest.raises(SubscriptionError, match="a conid must be a whole number"):
        market_data_subscribe_text(conid)  # type: ignore[arg-type]
    with pytest.raises(SubscriptionError, match="a conid must be a whole number"):
        market_data_unsubscribe_text(conid)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "exchange",
    ["", " NYSE", "NYSE\n", "NY+SE", "nyse", "NYSE;;;1/2", "N\u0178SE", "A" * 33, 5, True, b"NYSE", "@", ".A"],
)
def test_an_invalid_exchange_is_refused(exchange: object) -> None:
    with pytest.raises(SubscriptionError, match="an exchange must be"):
        market_data_subscribe_text(265598, exchange=exchange)  # type: ignore[arg-type]


def test_a_list_of_keys_and_codes_is_enough() -> None:
    expected = 'smd+265598+{"fields":["31","84"]}'
    assert market_data_subscribe_text(265598, ["last_price", "84"]) == expected
    assert market_data_subscribe_text(265598, iter([31, "bid_price"])) == expected


@pytest.mark.parametrize("fields", ["31", 31, b"31", [], [None], {"31": "84", "x": 1}])
def test_fields_of_another_type_are_refused(fields: object) -> None:
    with pytest.raises(SubscriptionError):
        market_data_subscribe_text(265598, fields)  # type: ignore[arg-type]


@given(
    conid=st.integers(0, 2**63 - 1),
    codes=st.lists(st.integers(0, 10**19 - 1).filter(lambda code: code < 2**63), min_size=1),
    exchange=st.none() | st.from_regex(r"[A-Z0-9][A-Z0-9._-]{0,31}", fullmatch=True).filter(str.isascii),
)
def test_every_text_can_be_parsed(conid: int, codes: list[int], exchange: str | None) -> None:
    topic, target, arguments = market_data_subscribe_text(conid, MarketDataFields(codes), exchange=exchange).split("+")
    assert topic == "smd"
    assert target == (str(conid) if exchange is None else f"{conid}@{exchange}")
    assert [int(code) for code in json.loads(arguments)["fields"]] == list(dict.fromkeys(codes))


@given(st.text() | st.binary() | st.floats() | st.lists(st.text()) | st.none())
def test_invalid_arguments_raise_only_subscription_error(value: object) -> None:
    # A return value is allowed; any other exception fails the test.
    for call in (
        market_data_target,
        lambda v: market_data_target(1, v),
        MarketDataFields,
        lambda v: MarketDataFields([v]),
    ):
        with contextlib.suppress(SubscriptionError):
            call(value)  # type: ignore[arg-type]


# Subscriptions


def test_the_four_handles() -> None:
    send = Sent()
    handles = [
        Subscription.market_data(send, 265598, MarketDataFields(["31"])),
        Subscription.market_data(send, 265598, MarketDataFields(["31"]), exchange="NYSE"),
        Subscription.orders(send),
        Subscription.pnl(send),
    ]
    assert [(h.name, h.topic, h.payload, h.cancel_payload) for h in handles] == [
        ("market_data:265598", "smd+265598", 'smd+265598+{"fields":["31"]}', "umd+265598+{}"),
        ("market_data:265598@NYSE", "smd+265598@NYSE", 'smd+265598@NYSE+{"fields":["31"]}', "umd+265598@NYSE+{}"),
        ("orders", "sor", "sor+{}", "uor+{}"),
        ("pnl", "spl", "spl+{}", "upl+{}"),
    ]
    assert send.texts == []
    assert repr(handles[0]) == "Subscription('market_data:265598')"


async def test_cancel_is_idempotent() -> None:
    send = Sent()
    subscription = Subscription.pnl(send)
    assert not subscription.is_cancelled
    await asyncio.gather(subscription.cancel(), subscription.cancel())
    await subscription.cancel()
    assert send.texts == ["upl+{}"]
    assert subscription.is_cancelled
    assert repr(subscription) == "Subscription('pnl', cancelled)"


async def test_cancel_after_the_connection_ended_does_nothing() -> None:
    subscription = Subscription.orders(Sent(TransportError("the connection has ended")))
    await subscription.cancel()
    assert subscription.is_cancelled


@pytest.mark.parametrize("error", [RuntimeError("no"), asyncio.CancelledError()])
async def test_cancel_can_be_repeated_after_another_error(error: BaseException) -> None:
    send = Sent(error)
    subscription = Subscription.orders(send)
    with pytest.raises(type(error)):
        await subscription.cancel()
    assert not subscription.is_cancelled
    send.error = None
    await subscription.cancel()
    assert send.texts == ["uor+{}"]


def test_the_recommended_keepalive_is_a_minute() -> None:
    assert KEEPALIVE_INTERVAL_S == 60.0


# History


def test_the_text_of_a_history_subscribe() -> None:
    assert (
        history_subscribe_text(265598, period="2h", bar="5min")
        == 'smh+265598+{"period":"2h","bar":"5min","outsideRth":false,"source":"trades","format":"%o/%c/%h/%l/%v"}'
    )
    text = history_subscribe_text(8314, period="1d", bar="1h", exchange="NYSE", outside_rth=True, source="midpoint")
    topic, target, parameters = text.split("+", 2)
    assert (topic, target) == ("smh", "8314")
    assert json.loads(parameters) == {
        "exchange": "NYSE",
        "period": "1d",
        "bar": "1h",
        "outsideRth": True,
        "source": "midpoint",
        "format": "%o/%c/%h/%l/%v",
    }


@pytest.mark.parametrize(
    "change",
    [{"conid": -1}, {"conid": "1"}, {"period": "2"}, {"bar": "7min"}, {"exchange": 'N"'}, {"source": "last"}],
)
def test_invalid_history_arguments(change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"conid": 265598, "period": "2h", "bar": "5min"} | change
    with pytest.raises(SubscriptionError):
        history_subscribe_text(given.pop("conid"), **given)


def test_the_text_of_a_history_unsubscribe() -> None:
    assert history_unsubscribe_text("340001") == "umh+340001"
    for wrong in ("", "1+2", "1\n", "a b", None, 5):
        with pytest.raises(SubscriptionError, match="serverId"):
            history_unsubscribe_text(wrong)  # type: ignore[arg-type]

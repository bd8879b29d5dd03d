"""Quote: typed attributes of the merged fields, with ages, without values from before a gap."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest

from cpapi_fast.errors import ConfigError, SubscriptionError
from cpapi_fast.feed.last_values import LastValues
from cpapi_fast.feed.state import Changes, Quote, read_quote
from cpapi_fast.frames.topic_table import TopicTable
from tests.support.batches import batch_of

TOPIC = "smd+8314"


class Keeper:
    """Last values of one topic, and quotes of them."""

    def __init__(self) -> None:
        topics = TopicTable()
        self.last = LastValues(topics)
        self.slot = topics.add(TOPIC)
        self.last.add(self.slot)

    def update(self, members: Iterable[str], now_s: float, received_ns: int = 1) -> None:
        texts = [f'{{{text},"topic":"{TOPIC}"}}'.encode() for text in members]
        self.last.update(batch_of(texts, received_ns), now_s)

    def quote(self, now_s: float = 10.0, *, since_s: float = -inf, is_current: bool = True) -> Quote:
        return read_quote(self.last, self.slot, TOPIC, since_s=since_s, clock=lambda: now_s, is_current=is_current)


def quote_of(*members: str) -> Quote:
    keeper = Keeper()
    keeper.update(members, 1.0)
    return keeper.quote()


def test_fields_are_typed_and_have_ages():
    keeper = Keeper()
    keeper.update(['"31":"187.05","6509":"RB","55":"IBM","_updated":1767225600123,"conid":8314'], 1.0, 5)
    keeper.update(['"84":"187.00","85":"1,300","_updated":1767225600623'], 2.5, 9)
    quote = keeper.quote(4.0)
    assert (quote.last_price, quote.bid_price, quote.ask_size, quote.symbol) == (187.05, 187.0, 1300.0, "IBM")
    assert (quote.topic, quote.target, quote.conid) == (TOPIC, "8314", 8314)
    assert quote.availability is not None
    assert quote.availability.is_live
    assert quote.updated_ms == 1767225600623
    assert (quote.age_s("last_price"), quote.age_s("31"), quote.age_s(31), quote.age_s("bid_price")) == (3, 3, 3, 1.5)
    assert (quote.age_s(), quote.received_ns) == (1.5, 9)
    assert (quote.received_ns_of("last_price"), quote.received_ns_of("84")) == (5, 9)
    assert (quote.received_ns_of("_updated"), quote.age_s("_updated")) == (9, 1.5)
    assert quote.field("7741") is None
    assert (quote.ask_price, quote.age_s("ask_price"), quote.received_ns_of("86")) == (None, None, None)
    assert quote.problems == ()


def test_a_quote_does_not_change():
    keeper = Keeper()
    keeper.update(['"31":"1"'], 1.0)
    before = keeper.quote()
    keeper.update(['"31":"2"'], 2.0)
    assert (before.last_price, keeper.quote().last_price) == (1.0, 2.0)
    with pytest.raises(AttributeError):
        before.last_price = 3.0  # type: ignore[assignment]


def test_without_a_frame_everything_is_none():
    quote = Keeper().quote(is_current=False)
    assert (quote.bid_price, quote.availability, quote.age_s(), quote.age_s("31")) == (None, None, None, None)
    assert (quote.received_ns, quote.received, quote.is_halted, quote.is_prior_close) == (0, None, False, False)
    assert quote.raw == {"topic": TOPIC}


@pytest.mark.parametrize(
    ("text", "halted", "prior", "price"),
    [('"H187.05"', True, False, 187.05), ('"C4,735.10"', False, True, 4735.1), ('"187"', False, False, 187.0)],
)
def test_the_marks_of_the_last_price(text: str, halted: bool, prior: bool, price: float):
    quote = quote_of(f'"31":{text}')
    assert (quote.is_halted, quote.is_prior_close, quote.last_price) == (halted, prior, price)


def test_null_removes_a_value_and_a_missing_member_keeps_it():
    quote = quote_of('"31":"187.05","84":"187.00"', '"31":null')
    assert (quote.last_price, quote.bid_price, quote.problems) == (None, 187.0, ())
    assert quote.age_s("31") is not None


@pytest.mark.parametrize("text", ["[]", "{}", "true", '"x1"', '"1,30"'])
def test_a_malformed_value_is_none_and_listed(text: str):
    quote = quote_of(f'"31":{text},"84":"187.00"')
    assert (quote.last_price, quote.bid_price, quote.problems) == (None, 187.0, ("31",))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"\\u0041"', "A"),
        ('"é"', "é"),
        ('""', ""),
        ("0", 0),
        ("-0", 0),
        ("-17", -17),
        ("0.56", 0.56),
        ("1.22E7", 1.22e7),
        ("999999999999999999", 999999999999999999),
        ("9223372036854775808", 9223372036854775808),
        ("true", True),
        ("null", None),
        ("[1]", [1]),
        ('{"a":"b"}', {"a": "b"}),
        (f'"{"long" * 50}"', "long" * 50),
    ],
)
def test_values_are_what_json_decodes_to(text: str, value: Any):
    found = quote_of(f'"58":{text}').raw["58"]
    assert (type(found), found) == (type(value), value)


def test_values_from_before_the_given_time_are_left_out():
    keeper = Keeper()
    keeper.update(['"31":"1","84":"2"'], 1.0)
    keeper.update(['"6509":"RB","31":"3"'], 2.0)
    quote = keeper.quote(since_s=2.0)
    assert (quote.last_price, quote.bid_price, quote.age_s("84")) == (3.0, None, None)
    # The ages belong to the fields that are left.
    assert (quote.age_s("31"), quote.age_s("6509")) == (8.0, 8.0)


def test_ages_by_the_name_of_an_attribute():
    quote = quote_of('"31":"H1","6509":"RB","7293":"2","7294":"1","_updated":5,"conid":8314,"6008":"9"')
    for name in ("availability", "market_data_availability", "updated", "updated_ms", "week_52_high", "week_52_low",
                 "is_halted", "is_prior_close", "conid", "contract_conid", "last_price", "7293"):  # fmt: skip
        assert quote.age_s(name) == 9.0, name
        assert quote.received_ns_of(name) == 1, name
    assert (quote.age_s("server_id"), quote.age_s("bid_price")) == (None, None)


def test_no_age_is_negative_if_a_frame_arrives_while_a_quote_is_read():
    keeper = Keeper()
    keeper.update(['"31":"1"'], 1.0)
    # The clock of a reader in another thread: it is read after the values.
    now_s = iter((5.0,))

    def clock() -> float:
        keeper.update(['"31":"2"'], 4.0)
        return next(now_s)

    quote = read_quote(keeper.last, keeper.slot, TOPIC, since_s=-inf, clock=clock, is_current=True)
    assert (quote.last_price, quote.age_s()) == (1.0, 4.0)


def test_unknown_codes_are_kept_and_unknown_names_are_errors():
    quote = quote_of('"9999":"x","31":"1"')
    assert (quote.field("9999"), quote.extras, quote.age_s("9999")) == ("x", {"9999": "x"}, 9.0)
    with pytest.raises(SubscriptionError, match="bid_price"):
        quote.age_s("bid_prise")
    with pytest.raises(SubscriptionError):
        quote.received_ns_of("nothing")


def test_it_can_be_pickled_and_shown():
    keeper = Keeper()
    keeper.update(['"31":"C187.05","84":"186.9"'], 1.0, 7)
    quote = keeper.quote(3.0, is_current=False)
    again = pickle.loads(pickle.dumps(quote))
    assert isinstance(again, Quote)
    assert (again.raw, again.age_s("31"), again.is_current, again.received_ns) == (quote.raw, 2.0, False, 7)
    assert repr(quote) == "<Quote 8314, last_price 187.05, bid_price 186.9, ask_price None, not current>"


def test_callbacks_get_each_change_until_they_are_closed():
    errors: list[Exception] = []
    changes: Changes[int] = Changes("quote", errors.append, lambda: None)
    assert not changes
    seen: list[tuple[str, int]] = []

    def first(number: int) -> None:
        seen.append(("first", number))
        if number == 1:
            # A change that a callback causes comes after the others got this one.
            changes.call(2)
        if number == 3:
            raise ValueError(number)

    one = changes.add(first)
    two = changes.add(lambda number: seen.append(("second", number)), name="mine")
    changes.call(1)
    assert seen == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]
    seen.clear()
    changes.call(3)
    assert seen == [("first", 3), ("second", 3)]
    assert [str(error) for error in errors] == [
        "the callback 'quote 1' raised ValueError; it is called again with the next change"
    ]
    one.close()
    changes.call(4)
    assert seen[2:] == [("second", 4)]
    assert (one.stats.events_delivered, one.stats.callback_errors, two.stats.events_delivered) == (3, 1, 4)
    changes.end()
    changes.call(5)
    assert seen[3:] == []
    assert not changes


def test_the_end_of_the_last_callback_is_reported():
    ends: list[str] = []
    changes: Changes[int] = Changes("quote", [].append, lambda: None, lambda: ends.append("empty"))
    one, two = changes.add(print), changes.add(print)
    one.close()
    assert ends == []
    two.close()
    two.close()
    assert ends == ["empty"]


def test_an_interrupt_is_raised_after_all_callbacks_were_called():
    changes: Changes[int] = Changes("quote", [].append, lambda: None)
    seen: list[int] = []

    def interrupted(_number: int) -> None:
        raise KeyboardInterrupt

    changes.add(interrupted)
    changes.add(seen.append)
    with pytest.raises(KeyboardInterrupt):
        changes.call(1)
    assert seen == [1]


def test_a_callback_is_a_plain_function():
    async def wrong(_state: object) -> None: ...

    changes: Changes[int] = Changes("quote", [].append, lambda: None)
    with pytest.raises(ConfigError, match="coroutine function"):
        changes.add(wrong)  # type: ignore[arg-type]
    assert not changes

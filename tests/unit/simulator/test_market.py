"""Seeded prices and the frames of one `smd`: the forms that real frames have, over many instruments."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cpapi_fast.simulator.contracts import contract_of
from cpapi_fast.simulator.market import InactiveInstrument, Instrument, Market, short_volume
from cpapi_fast.simulator.market_data import MarketDataStream
from cpapi_fast.simulator.orders import OrderBook, OrderStream
from cpapi_fast.simulator.topic_streams import Moment
from cpapi_fast.simulator.trades import TradeBook, TradeStream

FIELDS = ("31", "84", "86", "85", "88", "87", "83", "82", "70", "71", "7059", "7762", "7635")
PRICE = re.compile(r"\d+\.\d{2,4}")


def stream(conid: int, fields: tuple[str, ...] = FIELDS, *, seed: int = 0) -> MarketDataStream:
    return MarketDataStream(Instrument(str(conid), conid, seed), "q5", fields, 900.0)


def frames(made: MarketDataStream, count: int) -> list[dict[str, Any]]:
    found = [json.loads(frame) for frame in made.snapshots(1)]
    found += [json.loads(frame) for n in range(count) if (frame := made.forced_delta(2 + n)) is not None]
    return found


@pytest.fixture(scope="module")
def many() -> list[list[dict[str, Any]]]:
    """The frames of many instruments."""
    return [frames(stream(conid), 120) for conid in range(1, 151)]


def values(many: list[list[dict[str, Any]]], code: str) -> list[Any]:
    return [frame[code] for found in many for frame in found if code in frame]


def test_prices_have_fixed_decimals_and_never_cross(many: list[list[dict[str, Any]]]) -> None:
    for found in many:
        bids, asks = [], []
        for frame in found:
            bids += [frame["84"]] if "84" in frame else []
            asks += [frame["86"]] if "86" in frame else []
        assert all(PRICE.fullmatch(price) for price in bids + asks)
        assert len({len(price.partition(".")[2]) for price in bids + asks}) == 1
    for conid in range(1, 40):
        market = Instrument(str(conid), conid, 0)
        for _ in range(500):
            market.move()
            bid, ask = (float(json.loads(market.text(code) or "")) for code in ("84", "86"))
            assert 0.0 < bid < ask


def test_prior_close_and_halt_prefixes_turn_up(many: list[list[dict[str, Any]]]) -> None:
    firsts = {last[0] for last in values(many, "31")}
    assert {"C", "H"} < firsts
    assert all(PRICE.fullmatch(last.lstrip("CH")) for last in values(many, "31"))
    assert sum(last[0] in "CH" for last in values(many, "31")) < len(values(many, "31")) / 5


def test_prior_close_shows_only_until_the_first_trade(many: list[list[dict[str, Any]]]) -> None:
    for found in many:
        lasts = [frame["31"] for frame in found if "31" in frame]
        is_prior = [last.startswith("C") for last in lasts]
        assert is_prior == sorted(is_prior, reverse=True)


def test_sizes_have_commas_and_volumes_a_letter(many: list[list[dict[str, Any]]]) -> None:
    sizes = values(many, "85") + values(many, "88")
    assert all(re.fullmatch(r"\d{1,3}(,\d{3})*", size) for size in sizes)
    assert any("," in size for size in sizes)
    assert {volume[-1] for volume in values(many, "87")} > {"M", "K"}
    assert all(volume.isdigit() for volume in values(many, "7762"))


def test_change_is_signed_text_and_percent_a_number(many: list[list[dict[str, Any]]]) -> None:
    assert {change[0] for change in values(many, "82")} == {"+", "-"}
    percents = values(many, "83")
    assert {type(percent) for percent in percents} == {float}
    assert all(percent == round(percent, 2) for percent in percents)
    assert all("-0.0" not in json.dumps(percent) or percent < 0 for percent in percents)


def test_some_first_snapshots_hold_nothing_but_6509(many: list[list[dict[str, Any]]]) -> None:
    thin = [found for found in many if not set(FIELDS) & set(found[0])]
    assert 0 < len(thin) < len(many) / 3
    for found in thin:
        assert "6509" in found[0]
        assert {"84", "86", "85", "88"} <= set(found[2])


def test_availability_varies_and_comes_from_recorded_values(many: list[list[dict[str, Any]]]) -> None:
    assert {"DPB", "ZB", "RB"} <= set(values(many, "6509")) <= {"DPB", "DpB", "RpB", "RPB", "RB", "ZB"}


def test_6508_comes_once_per_stream(many: list[list[dict[str, Any]]]) -> None:
    assert all(sum("6508" in frame for frame in found) == 1 for found in many)


def test_volume_carries_its_raw_companion_as_java_writes_it() -> None:
    found = [stream(conid, ("87",)).snapshots(1)[1] for conid in range(1, 60)]
    raws = [match[1] for frame in found if (match := re.search(rb'"87_raw":([^,]+),', frame))]
    assert any(re.fullmatch(rb"\d\.\d+E7", raw) for raw in raws)
    assert all(re.fullmatch(rb"\d+\.0|\d\.\d+E7", raw) for raw in raws)


@pytest.mark.parametrize(("volume", "text"), [(999, "999"), (1_000, "1K"), (350_999, "350K"), (12_249_000, "12.2M")])
def test_short_volume(volume: int, text: str) -> None:
    assert short_volume(volume) == text


def test_same_seed_gives_the_same_walk() -> None:
    assert frames(stream(7, seed=1), 50) == frames(stream(7, seed=1), 50)
    assert frames(stream(7, seed=1), 50) != frames(stream(7, seed=2), 50)


def test_a_grid_point_moves_the_market_once_however_many_look() -> None:
    one, two = Instrument("5", 5, 0), Instrument("5", 5, 0)
    for grid_point in range(200):
        one.advance(grid_point)
        for _ in range(3):
            two.advance(grid_point)
        assert [one.text(code) for code in FIELDS] == [two.text(code) for code in FIELDS]


def test_what_was_not_sent_is_merged_into_the_next_delta() -> None:
    made = stream(3, ("84", "86"))
    state = json.loads(made.snapshots(1)[0])
    for _ in range(200):
        made.instrument.move()
    delta = json.loads(made.delta(2) or b"")
    assert {delta["84"], delta["86"]} != {state.get("84"), state.get("86")}
    assert made.delta(3) is None


def test_fields_that_never_change_give_no_delta() -> None:
    made = stream(3, ("55", "6070"))
    assert {"55", "6070"} <= set(json.loads(made.snapshots(1)[0])) or made.instrument.is_thin
    made.delta(2)
    assert made.forced_delta(3) is None


def test_unknown_field_codes_are_passed_over() -> None:
    made = stream(4, ("31", "99999", 'x":1,"topic'))
    for frame in made.snapshots(1):
        assert json.loads(frame)["topic"] == "smd+4"
        assert "99999" not in json.loads(frame)


def test_inactive_instrument_has_na_and_never_moves() -> None:
    made = MarketDataStream(InactiveInstrument("8595", 8595, 0), "q1", ("31", "84"), 900.0)
    first, second = made.snapshots(5)
    head = b'{"55":"-","conidEx":"8595","topic":"smd+8595","conid":8595,"_updated":5,"6119":"q1","server_id":"q1"'
    assert first == head + b',"31":"N/A"}'
    assert json.loads(first) == json.loads(second)
    assert made.forced_delta(6) is None


@pytest.mark.parametrize(
    ("target", "conid"),
    [("265598", 265598), ("265598@NYSE", 265598), ("0;;;1/1,2/-1", 0), ("28812380;;;1/1,2/-2", 28812380)],
)
def test_market_reads_the_conid_of_every_form_of_target(target: str, conid: int) -> None:
    instrument = Market(seed=0, conids=None, inactive_conids=frozenset()).instrument(target)
    assert instrument is not None
    assert (instrument.conid, instrument.availability is None) == (conid, False)


@pytest.mark.parametrize("target", ["", "x", "-1", "1 ", "1@", '1@"', "1;;;", '1;;;"', "1\n", "٣", "9" * 40])
def test_market_refuses_what_is_no_target(target: str) -> None:
    assert Market(seed=0, conids=None, inactive_conids=frozenset()).instrument(target) is None


def test_combination_without_conid_is_active_with_any_conids() -> None:
    market = Market(seed=0, conids=(5,), inactive_conids=frozenset({6}))
    active = {
        target: (found := market.instrument(target)) is not None and found.availability is not None
        for target in ("5", "5@NYSE", "6", "7", "0;;;5/1,7/-1")
    }
    assert active == {"5": True, "5@NYSE": True, "6": False, "7": False, "0;;;5/1,7/-1": True}


def naming(conid: int) -> tuple[str, str]:
    contract = contract_of(conid)
    return contract.local_symbol or contract.symbol, contract.name


def test_one_symbol_per_conid_in_every_topic() -> None:
    """On every exchange, for every seed, in quotes, history, orders and executions."""
    for conid in (265598, 8314, 1, 4711):
        symbol, company = naming(conid)
        for seed in (0, 7):
            market = Market(seed=seed, conids=None, inactive_conids=frozenset())
            for target in (str(conid), f"{conid}@NYSE", f"0;;;{conid}/1,8894/-1", f"28812380@SMART;;;{conid}/1,2/-1"):
                instrument = market.instrument(target)
                assert instrument is not None
                found = {code: json.loads(instrument.text(code) or "null") for code in ("55", "7219", "7220", "7051")}
                assert found == {"55": symbol, "7219": symbol, "7220": symbol, "7051": company}
            listed = market.instrument(str(conid))
            assert listed is not None
            bars = listed.history("1", {}, end_ms=1_777_552_119_000)
            assert (bars["symbol"], bars["text"]) == (symbol, company)
    assert naming(265598) == ("AAPL", "APPLE INC")
    now = Moment(0.0, 1_777_552_119_000)
    (_, execution, *_) = TradeStream(TradeBook("DU1234567", 0), {}).first(now)
    executed = json.loads(execution)["args"][0]
    orders = OrderStream(OrderBook("DU1234567", 0), {})
    orders.first(now)
    (order,) = orders.poll(Moment(60.0, now.ms))
    ordered = json.loads(order)["args"][0]
    assert (executed["symbol"], executed["company_name"]) == naming(executed["conid"])
    assert executed["contract_description_1"] == executed["symbol"]
    assert executed["conidEx"] == str(executed["conid"])
    assert (ordered["ticker"], ordered["companyName"]) == naming(ordered["conid"])
    assert (ordered["description1"], ordered["conidex"]) == (ordered["ticker"], str(ordered["conid"]))

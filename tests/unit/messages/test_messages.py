"""Each topic has its class, and each member its type. The frames have the shapes of protocol.md."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from cpapi_fast import messages as m
from cpapi_fast.frames.frame import classify
from cpapi_fast.protocol.fields import FIELDS, FieldKind
from tests.support.batches import batch_of
from tests.support.messages import SHAPES, rebuilt


def message_of(text: str | bytes | dict[str, Any]) -> m.Message:
    if isinstance(text, dict):
        text = json.dumps(text)
    message = classify(text.encode() if isinstance(text, str) else text).message
    assert message is not None
    return message


def read_all(message: m.JsonObject) -> dict[str, Any]:
    return {name: getattr(message, name) for name in type(message).members()}


SNAPSHOT = (
    b'{"6509":"DPB","conidEx":"8314","topic":"smd+8314","conid":8314,"_updated":1767225600123,"6119":"q4","83":-0.31,'
    b'"84":"187.02","31":"C187.05","85":"700","86":"187.06","88":"1,200","87":"3.1M","87_raw":3.1004E6,"55":"IBM",'
    b'"7184":"1","6457":8314,"201":"P","99999":"new","server_id":"q4"}'
)


def test_market_data():
    quote = message_of(SNAPSHOT)
    assert isinstance(quote, m.MarketDataMessage)
    assert (quote.last_price, quote.bid_price, quote.ask_price) == (187.05, 187.02, 187.06)
    assert (quote.ask_size, quote.bid_size, quote.volume, quote.volume_number) == (700.0, 1200.0, 3.1e6, 3100400.0)
    assert (quote.change_percent, quote.symbol, quote.can_be_traded) == (-0.31, "IBM", True)
    assert (quote.underlying_conid, quote.conid, quote.conid_ex, quote.server_id) == (8314, 8314, "8314", "q4")
    assert quote.right is m.OptionRight.PUT
    assert quote.updated_ms == 1767225600123
    assert quote.updated == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
    assert quote.availability is not None
    assert quote.availability.word == "delayed"
    assert quote.is_prior_close
    assert not quote.is_halted
    assert quote.open is None
    assert quote.extras == {"99999": "new"}
    assert quote.problems == ()
    assert (quote.topic, quote.channel, quote.target) == ("smd+8314", "smd", "8314")
    assert quote.fields["bid_price"] == 187.02
    assert list(quote.fields) == [FIELDS[key].key for key in quote.raw if key in FIELDS]


def test_a_field_by_key_or_code():
    quote = message_of(SNAPSHOT)
    assert isinstance(quote, m.MarketDataMessage)
    assert quote.field("bid_price") == quote.field("84") == quote.field(84) == 187.02
    assert quote.field("52_week_high") is None
    assert quote.field(99999) == "new"


#: Attributes whose name is not the key of the catalogue: no identifier, or taken.
RENAMED = {"52_week_high": "week_52_high", "52_week_low": "week_52_low", "conid": "contract_conid"}

TYPES = {
    FieldKind.TEXT: "TextMember",
    FieldKind.DATE: "TextMember",
    FieldKind.FLAG: "FlagMember",
    FieldKind.ID: "IntegerMember",
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=lambda field: field.key)
def test_every_field_of_the_catalogue_is_an_attribute(field: Any):
    member = m.MarketDataMessage.members()[RENAMED.get(field.key, field.key)]
    assert member.key == field.code
    expected = TYPES.get(field.kind, "NumberMember") if field.code != "201" else "FunctionMember"
    assert type(member).__name__ == expected


def test_attributes_are_read_only():
    quote = message_of(SNAPSHOT)
    for name in ("bid_price", "topic", "raw", "received_ns", "new"):
        with pytest.raises(AttributeError):
            setattr(quote, name, 1)


@pytest.mark.parametrize(
    ("wire", "number"),
    [
        ('"271.55"', 271.55),
        ('"C4,735.10"', 4735.1),
        ('"12.2M"', 12_200_000.0),
        ('"-0.54%"', -0.54),
        ('"2.02E8"', 2.02e8),
        ("2.0201311791131118E8", 2.0201311791131118e8),
        ("7", 7.0),
        ("-0.0", -0.0),
        ('"0.10000000000000000555111512312578270211815834045410156250"', 0.1),
        ("123456789012345678901234567890", 1.2345678901234568e29),
    ],
)
def test_numbers(wire: str, number: float):
    quote = message_of(f'{{"84":{wire},"topic":"smd+1"}}')
    assert isinstance(quote, m.MarketDataMessage)
    assert repr(quote.bid_price) == repr(number)
    assert quote.problems == ()


@pytest.mark.parametrize("wire", ["null", '""', '"-"', '"N/A"'])
def test_no_value_is_no_problem(wire: str):
    quote = message_of(f'{{"84":{wire},"conid":{wire},"7184":{wire},"topic":"smd+1"}}')
    assert isinstance(quote, m.MarketDataMessage)
    assert (quote.bid_price, quote.conid, quote.can_be_traded) == (None, None, None)
    assert quote.problems == ()


@pytest.mark.parametrize(
    "wire", ['"1,30"', '"5\\""', "true", "[]", "{}", '"abc"', '"1e999"', '"٣"', '" 1"', '"1\\u0000"']
)
def test_a_wrong_number_is_none_and_a_problem(wire: str):
    quote = message_of(f'{{"84":{wire},"topic":"smd+1"}}')
    assert isinstance(quote, m.MarketDataMessage)
    assert quote.bid_price is None
    assert quote.problems == ("84",)
    assert quote.raw["84"] == json.loads(wire)


@pytest.mark.parametrize(
    ("wire", "number"),
    [("5", 5), ('"265598"', 265598), ("5.0", 5), ("1E3", 1000), ("5.5", None), ("1E18", None), ('"5.0"', None),
     ("true", None), ('"99999999999999999999"', None), ("[5]", None), ("18446744073709551616", None)],
)  # fmt: skip
def test_integers(wire: str, number: int | None):
    quote = message_of(f'{{"conid":{wire},"topic":"smd+1"}}')
    assert isinstance(quote, m.MarketDataMessage)
    assert (quote.conid, quote.problems) == (number, () if number is not None else ("conid",))


@pytest.mark.parametrize("wire", ["1e17", "9223372036854775807", "-9223372036854775808", "true", '"2026"', "1.5"])
def test_a_time_beyond_the_calendar_is_a_problem(wire: str):
    message = message_of(f'{{"topic":"tic","lastAccessed":{wire}}}')
    assert isinstance(message, m.TicMessage)
    if wire == '"2026"':
        assert message.last_accessed == datetime(1970, 1, 1, 0, 0, 2, 26000, tzinfo=UTC)
    else:
        assert message.last_accessed is None
        assert message.problems == ("lastAccessed",)


ORDER = {
    "acct": "U1234567", "conidex": "8314", "conid": 8314, "orderId": 1777439171105, "status": "PreSubmitted",
    "order_ccp_status": "Pending Submit", "remainingQuantity": 3.0, "price": "190.00", "side": "SELL",
    "supportsTaxOpt": "1", "outsideRTH": False, "lastExecutionTime": "260101123533",
    "lastExecutionTime_r": 1767270933000, "new": [1],
}  # fmt: skip


def test_orders():
    message = message_of({"topic": "sor", "args": [ORDER, {"orderId": 1777439171105, "status": "Submitted"}]})
    assert isinstance(message, m.OrdersMessage)
    first, second = message.orders
    assert (first.order_id, first.status, first.side) == (1777439171105, m.OrderStatus.PRE_SUBMITTED, m.Side.SELL)
    assert (first.price, first.remaining_quantity, first.outside_rth) == (190.0, 3.0, False)
    assert first.supports_tax_opt is True
    assert first.last_execution_time == datetime(2026, 1, 1, 12, 35, 33, tzinfo=UTC)
    assert first.last_execution_time_text == "260101123533"
    assert first.extras == {"new": [1]}
    assert (second.status, second.price) == (m.OrderStatus.SUBMITTED, None)
    assert message.orders is message.orders
    assert message.problems == ()


def test_problems_of_rows_have_paths():
    order = {**ORDER, "price": [], "status": "Unknown"}
    message = message_of({"topic": "sor", "args": [ORDER, 5, order]})
    assert isinstance(message, m.OrdersMessage)
    assert len(message.orders) == 2
    assert message.problems == ("args[1]", "args[2].status", "args[2].price")
    assert message.orders[1].problems == ("status", "price")
    assert message.orders[1].status is None


@pytest.mark.parametrize("args", [{"orderId": 1}, "text", 7, True])
def test_an_object_for_an_array_is_not_guessed(args: Any):
    message = message_of({"topic": "sor", "args": args})
    assert isinstance(message, m.OrdersMessage)
    assert (message.orders, message.problems, message.raw["args"]) == ((), ("args",), args)


@pytest.mark.parametrize("text", ['{"topic":"sor"}', '{"topic":"sor","args":null}', '{"topic":"sor","args":[]}'])
def test_no_rows_are_no_problem(text: str):
    message = message_of(text)
    assert isinstance(message, m.OrdersMessage)
    assert (message.orders, message.problems) == ((), ())


def test_executions():
    row = {"execution_id": "0000aaaa.01", "side": "S", "size": 3.0, "price": "190.01", "trade_time_r": 1767279845000,
           "trade_time": "20260101-15:04:05", "liquidation_trade": "0", "position": "-3", "conid": "8314"}  # fmt: skip
    message = message_of({"topic": "str", "args": [row]})
    assert isinstance(message, m.ExecutionsMessage)
    (execution,) = message.executions
    assert (execution.side, execution.size, execution.price) == (m.Side.SELL, 3.0, 190.01)
    assert execution.trade_time == datetime(2026, 1, 1, 15, 4, 5, tzinfo=UTC)
    assert (execution.commission, execution.position, execution.liquidation_trade) == (None, -3.0, False)
    assert execution.conid == 8314


def test_profit_and_loss():
    message = message_of({"topic": "spl", "args": {"U1234567.Core": {"dpl": -12.5, "rowType": 1}, "U7654321.": {}}})
    assert isinstance(message, m.PnlMessage)
    first, second = message.rows
    assert (first.name, first.account, first.dpl, first.row_type) == ("U1234567.Core", "U1234567", -12.5, 1)
    assert (second.account, second.dpl) == ("U7654321", None)
    message = message_of({"topic": "spl", "args": {"U1234567.Core": 5, "U7654321.Core": {"dpl": []}}})
    assert message.problems == ("args[0]", "args[1].dpl"), "without the account"


def test_summary_and_ledger():
    summary = message_of(
        {"result": [{"key": "AccruedCash-S", "monetaryValue": 12.5, "timestamp": 1767225600}], "topic": "ssd+DU1"}
    )
    assert isinstance(summary, m.SummaryMessage)
    assert summary.target == "DU1"
    assert summary.rows[0].monetary_value == 12.5
    assert summary.rows[0].timestamp == datetime(2026, 1, 1, tzinfo=UTC)
    ledger = message_of(b'{"result":[{"cashbalance":1.0502311E8,"key":"LedgerListBASE"}],"topic":"sld+DU1"}')
    assert isinstance(ledger, m.LedgerMessage)
    assert ledger.rows[0].cash_balance == 105023110.0


def test_system_and_tic():
    for text in ('{"topic":"system","hb":1767225600123}', '{"hb":1767225600123,"topic":"system"}'):
        message = message_of(text)
        assert isinstance(message, m.SystemMessage)
        assert message.heartbeat == datetime(2026, 1, 1, 0, 0, 0, 123000, tzinfo=UTC)
    message = message_of({"topic": "system", "success": "user1", "isPaper": False})
    assert isinstance(message, m.SystemMessage)
    assert (message.success, message.is_paper, message.is_ft) == ("user1", False, None)
    tic = message_of({"topic": "tic", "alive": True, "id": "0123", "lastAccessed": 1767225600123})
    assert isinstance(tic, m.TicMessage)
    assert (tic.alive, tic.session_id, tic.last_accessed_ms) == (True, "0123", 1767225600123)


def test_status_and_accounts():
    message = message_of({"topic": "sts", "args": {"authenticated": False, "new": 1}, "newer": 2})
    assert isinstance(message, m.StatusMessage)
    assert (message.authenticated, message.connected) == (False, None)
    assert message.extras == {"newer": 2, "args": {"new": 1}}
    assert message_of({"topic": "sts", "args": {"authenticated": "maybe"}}).problems == ("args.authenticated",)
    assert message_of({"topic": "sts", "args": [1]}).problems == ("args",)
    assert message_of({"topic": "sts"}).problems == ()
    act = message_of({"topic": "act", "args": {"accounts": ["U1"], "aliases": {"U1": "main"}, "groups": []}})
    assert isinstance(act, m.AccountsMessage)
    assert (act.accounts, act.aliases, act.groups) == (("U1",), {"U1": "main"}, [])
    assert message_of({"topic": "act", "args": {"accounts": ["U1", 2]}}).problems == ("args.accounts",)


def test_notices():
    for args in ({"id": "A", "text": "b", "url": None}, [{"id": "A", "text": "b", "url": None}]):
        message = message_of({"topic": "ntf", "args": args})
        assert isinstance(message, m.NotificationsMessage)
        (notice,) = message.notifications
        assert (notice.id, notice.text, notice.url, message.problems) == ("A", "b", None, ())
    for args in ({"id": "5", "message": "b"}, [{"id": 5, "message": "b", "exchanges": None}]):
        message = message_of({"topic": "blt", "args": args})
        assert isinstance(message, m.BulletinsMessage)
        assert message.bulletins[0].id == "5"


def test_history_and_depth():
    row = {"o": 187.02, "c": 187.1, "h": 187.15, "l": 187.0, "v": 1200, "t": 1767277800}
    message = message_of(
        {"serverId": "9", "data": [row, {**row, "t": 1767277800000}], "topic": "smh+8314", "mdAvailability": "S"}
    )
    assert isinstance(message, m.HistoryMessage)
    assert message.bars[0].start == message.bars[1].start == datetime(2026, 1, 1, 14, 30, tzinfo=UTC)
    assert message.availability is not None
    assert message.availability.is_live
    rows = [{"row": 0, "focus": 1, "price": "100 @ 187.05"}, {"row": 1, "focus": 0, "price": 187.04, "bid": "400"}]
    depth = message_of({"topic": "sbd+DU1+8314", "data": [*rows, {"price": "a @ 1"}, {"price": "1 @ "}]})
    assert isinstance(depth, m.DepthMessage)
    assert [(row.price, row.price_size, row.focus) for row in depth.rows[:2]] == [
        (187.05, 100.0, True),
        (187.04, None, False),
    ]
    assert depth.problems == ("data[2].price", "data[3].price")


@pytest.mark.parametrize(
    ("text", "cls"),
    [
        ('{"error":"Topic unknown","code":1}', m.ErrorMessage),
        ('{"error":"unable to subscribe","code":500,"topic":"sor"}', m.ErrorMessage),
        ('{"error":"no","topic":"smd+1"}', m.ErrorMessage),
        ('{"topic":"error","error":{}}', m.ErrorMessage),
        ('{"error":null,"topic":"smd+1"}', m.MarketDataMessage),
        ('{"error":null}', m.ErrorMessage),
        ('{"message":"waiting for session"}', m.ReplyMessage),
        ('{"result":"unsubscribed from ledger"}', m.ReplyMessage),
        ('{"topic":"umd+1"}', m.OtherMessage),
        ('{"topic":7}', m.OtherMessage),
        ('{"topic":""}', m.OtherMessage),
        ('{"topic":"smd"}', m.MarketDataMessage),
        ("{}", m.OtherMessage),
        ('{"topic":"sor","topic":"smd+1"}', m.MarketDataMessage),
        ('{"topic":"smd+1","topic":"sor"}', m.OrdersMessage),
        ('{"topic":"\\u0073md+1"}', m.MarketDataMessage),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_the_class_of_a_message(text: str, cls: type[m.Message], strict: bool):
    assert type(classify(text.encode(), strict=strict).message) is cls


def test_a_reply():
    reply = message_of('{"message":"waiting for session"}')
    assert isinstance(reply, m.ReplyMessage)
    assert reply.is_waiting_for_session


@pytest.mark.parametrize(
    "raw", [b"", b"ech+hb", b"[]", b"null", b"1", b'"a"', b"{", b'{"a":NaN}', b'{"a":' * 5000, b"\xff\xfe"]
)
def test_what_is_not_an_object_has_no_message(raw: bytes):
    assert classify(raw).message is None
    assert classify(b'{"topic":"smd+1","31":').message is None


def test_numbers_that_no_float_holds():
    """The frame's payload is an error, and the message has every digit."""
    digits = "9" * 400
    quote = message_of(f'{{"84":{digits},"86":1e400,"31":"187.05","conid":{digits},"topic":"smd+1"}}')
    assert isinstance(quote, m.MarketDataMessage)
    assert quote.raw["84"] == int(digits)
    assert quote.raw["86"] == Decimal("1e400")
    assert (quote.last_price, quote.bid_price, quote.ask_price) == (187.05, None, None)
    assert quote.problems == ("84", "86")
    assert quote.conid == int(digits)
    long = message_of(f'{{"84":{"1" * 6000},"topic":"smd+1"}}')
    assert long.raw["84"] == Decimal("1" * 6000)
    assert long.problems == ("84",)
    assert classify(b'{"84":1e99999999999999999999,"topic":"smd+1"}').message is None


def test_invalid_text_is_repaired():
    message = message_of(b'{"message":"\x99"}')
    assert isinstance(message, m.ReplyMessage)
    assert message.message == "\ufffd"


def test_receive_time():
    frame = next(iter(batch_of([SNAPSHOT])))
    message = frame.message
    assert message is not None
    assert message.received_ns == frame.received_ns
    message = m.Message({}, 1767225600_123456789)
    assert message.received == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert m.Message({}).received is None


def test_messages_made_by_hand_pickled_and_copied():
    message = m.StatusMessage({"topic": "sts", "args": {"authenticated": True}}, 5)
    for made in (message, pickle.loads(pickle.dumps(message)), copy.copy(message), copy.deepcopy(message)):
        assert type(made) is m.StatusMessage
        assert (made.authenticated, made.received_ns) == (True, 5)
    row = m.PnlRow({"dpl": 1}, "U1.Core")
    assert pickle.loads(pickle.dumps(row)).account == "U1"
    assert m.PnlRow.__new__(m.PnlRow).account == ""
    empty = m.MarketDataMessage.__new__(m.MarketDataMessage)
    assert (empty.bid_price, empty.raw, empty.problems, empty.extras) == (None, {}, (), {})


def test_a_subclass_of_a_user():
    class Mine(m.MarketDataMessage):
        @property
        def mid(self) -> float | None:
            return None if self.bid_price is None or self.ask_price is None else (self.bid_price + self.ask_price) / 2

    assert Mine({"84": "1.5", "86": "2.5"}).mid == 2.0


@pytest.mark.parametrize("raw", SHAPES)
def test_every_shape_has_a_message_without_problems(raw: bytes):
    message = message_of(raw)
    assert message.raw == json.loads(raw)
    assert rebuilt(message) == message.raw
    assert message.problems == () or b'"topic":7' in raw or b'"topic":[' in raw or b'"topic":{' in raw
    read_all(message)


def test_a_member_belongs_to_an_object_of_json():
    class Wrong:
        number = m.MarketDataMessage.bid_price

    with pytest.raises(TypeError):
        _ = Wrong().number  # type: ignore[arg-type]


def test_messages_leak_nothing():
    def use(count: int) -> None:
        for _ in range(count):
            for raw in SHAPES[::5]:
                message = message_of(raw)
                read_all(message)
                _ = message.problems, message.extras

    use(3)
    before = sys.getallocatedblocks()
    use(200)
    assert sys.getallocatedblocks() - before < 500

"""No `repr`, `str` or error of a public class shows an account; the attributes stay exact."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable

import pytest

import cpapi_fast as cf
from cpapi_fast.delivery.callback_consumer import CallbackConsumer
from cpapi_fast.delivery.consumer import Consumer
from cpapi_fast.delivery.overflow import DropOldest
from cpapi_fast.events import Cause, FeedState
from cpapi_fast.feed.machine.actions import Emit, Send, Unwatch, Watch
from cpapi_fast.feed.machine.subscriptions.subscription_state import SubscriptionSpec
from cpapi_fast.frames.frame import classify
from cpapi_fast.outputs.event_log import event_line
from cpapi_fast.outputs.run_events import DiskChange, FileChange, InstrumentsChange
from tests.support.batches import batch_of

#: What identifies an account, and the topic with it.
TOPICS = {
    "DU1234567": "ssd+DU1234567",
    "Joe.Smith": "sld+Joe.Smith",
    "F12345": "sbd+F12345+265598",
    "U7654321": "sbd+U7654321+265598+SMART",
    "DFI1234567": "spl+DFI1234567",
    "U1234567": "no topic: U1234567.Core",
}


async def nothing(_text: str) -> None: ...


def unsubscribed(_topic: str) -> None: ...


#: How to create the other classes that get a text of the caller or of the gateway.
MADE: dict[type, Callable[[str], object]] = {
    cf.Subscription: lambda text: cf.Subscription(
        name=text, topic=text, payload=text, cancel_payload=text, send=nothing
    ),
    cf.FeedSubscription: lambda text: cf.FeedSubscription(text, text, unsubscribed, nothing),
    cf.LastValue: lambda text: cf.LastValue(text, {}, is_current=True),
    cf.Quote: lambda text: cf.Quote({"31": text, "topic": text}, 0, b"", 0.0, 0.0, is_current=True),
    cf.Order: lambda text: cf.Order({"acct": text, "status": text, "side": text, "orderId": text, text: text}),
    cf.Pnl: lambda text: cf.Pnl({"dpl": text, text: text}, text),
    cf.AccountValue: lambda text: cf.AccountValue({"key": text, "monetaryValue": text, "value": text}, text),
    cf.LedgerBalance: lambda text: cf.LedgerBalance({"key": text, "cashbalance": text, "acctCode": text}, text),
    cf.Frame: lambda text: classify(b'{"topic":"%b"}' % text.encode()),
    cf.Message: lambda text: cf.Message({"topic": text, text: text}),
    cf.Batch: lambda text: batch_of([text.encode()]),
    cf.ContractCache: cf.ContractCache,
    cf.Consumer: lambda text: Consumer(text, "drop_oldest", DropOldest(1, 1, 1), lambda _consumer: None),
    cf.CallbackConsumer: lambda text: CallbackConsumer(
        text, print, by_batch=False, on_error=lambda _error: None, on_close=lambda _consumer: None
    ),
}

#: Classes whose `repr` is that of `object`, or that only have numbers, or the fields of market data.
WITHOUT_TEXTS = {
    cf.ArrowReader, cf.BatchBuilder, cf.CaptureReader, cf.CaptureWriter, cf.Client, cf.Clock, cf.Collector, cf.Feed,
    cf.FrameCounters, cf.FrameSink, cf.KafkaOutput, cf.Keepalive, cf.LastField, cf.MarketDataFields,
    cf.MetricsCollector, cf.MetricsServer, cf.Output, cf.QuotesWriter, cf.Replay, cf.RestPacer, cf.TickDecoder,
    cf.Ticks, cf.TicksWriter, cf.Tls, cf.WsClient,
}  # fmt: skip

PUBLIC = [value for name in cf.__all__ if inspect.isclass(value := getattr(cf, name)) and value.__module__ != "typing"]

#: Dataclasses that are not public, but in events or actions.
PRIVATE = [DiskChange, FileChange, InstrumentsChange, Emit, Send, Unwatch, Watch, SubscriptionSpec]


def filled(cls: type, text: str) -> object:
    """An object with this text in every attribute, whatever their types."""
    made = cls.__new__(cls)
    for field in dataclasses.fields(cls):
        object.__setattr__(made, field.name, text)
    return made


def made_of(cls: type, text: str) -> object | None:
    if cls in MADE:
        return MADE[cls](text)
    if dataclasses.is_dataclass(cls):
        return filled(cls, text)
    if issubclass(cls, cf.CpapiError):
        return cls.__new__(cls, f"cannot do {text}")
    assert issubclass(cls, (enum.Enum, Warning)) or cls in WITHOUT_TEXTS, f"say how to create a {cls.__name__}"
    return None


@pytest.mark.parametrize(("account", "topic"), TOPICS.items())
@pytest.mark.parametrize("cls", PUBLIC + PRIVATE, ids=lambda cls: cls.__name__)
def test_no_repr_shows_an_account(cls: type, account: str, topic: str) -> None:
    if cls in WITHOUT_TEXTS:
        return
    value = made_of(cls, topic)
    if value is None:
        return
    for text in (repr(value), str(value), f"{value}", repr([value]), repr({"key": value})):
        assert account not in text
        assert cls.__name__ in text or issubclass(cls, BaseException) or "redacted" in text
    if dataclasses.is_dataclass(cls):
        assert all(getattr(value, field.name) == topic for field in dataclasses.fields(cls)), "attributes are exact"


@pytest.mark.parametrize(("account", "topic"), TOPICS.items())
def test_nested_texts_do_not_either(account: str, topic: str) -> None:
    gap = cf.Gap(topic, 1, 2, Cause.DATA)
    for value in (cf.Backfill(gap, (), "smh", topic), filled_collection(topic)):
        assert account not in repr(value)


def filled_collection(text: str) -> object:
    made = filled(cf.FeedOptions, text)
    name = dataclasses.fields(cf.FeedOptions)[0].name
    object.__setattr__(made, name, {text: [text, (text,)]})
    return made


@pytest.mark.parametrize(("account", "topic"), TOPICS.items())
def test_events_files_do_not_either(account: str, topic: str) -> None:
    change = cf.StateChange(1, FeedState.STALE, FeedState.STREAMING, Cause.DATA, "wait", topic, f"why {topic}")
    gap = cf.Gap(topic, 1, None, Cause.DATA)
    for event in (change, gap, cf.Backfill(gap, (), "rest", topic)):
        assert account.encode() not in event_line(event, 0)


@pytest.mark.parametrize(
    "text",
    [
        "smd+265598", "smd+265598@NYSE", "smd+28812380;;;265598/1,8314/-1", "sor", "spl", "smh+265598", "status 503",
        "x86_64", "a1234567" + "b" * 56, "AB12345C" * 8, "/data/quotes-20260102T143000.123456Z-1f9a3c.parquet",
    ],
)  # fmt: skip
def test_other_texts_stay(text: str) -> None:
    assert repr(cf.Gap(text, 1, None, Cause.DATA)).startswith(f"Gap(subscription={text!r}, last_good_ns=1")
    assert str(cf.ConfigError(text)) == text


def test_numbers_stay() -> None:
    gap = cf.Gap("smd+1", 1_767_268_800_123_456_789, None, Cause.DATA)
    assert repr(gap) == (
        "Gap(subscription='smd+1', last_good_ns=1767268800123456789, first_good_ns=None, "
        "cause=<Cause.DATA: 'data'>, frames_dropped=None, "
        "certainty=<Certainty.POSSIBLE: 'possible'>)"
    )

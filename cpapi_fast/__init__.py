"""Market data of Interactive Brokers' Client Portal Web API, routed without decoding JSON.

The folders, in the order in which data flows::

    program    Programs of the command line: exit codes, errors in one line, and a last resort for internal errors
    protocol   IB's data formats: field codes, topics, kinds, numbers, history. No I/O
    _json      C headers that read JSON text within its bounds. Private to the compiled modules
    messages   Typed messages: the class of each topic, with the members of its messages as attributes
    frames     Frames, batches and columns: finds routes, stores frames, and decodes fields, in compiled code
    rest       REST requests to the gateway: client, transport, session, pacing, TLS
    ws         One WebSocket connection: handshake, listener, receive queue, client, closing
    delivery   Consumers: bounded queues, overflow policies, conflation, callbacks
    feed       Feed: subscriptions that persist across connections, on the state machine in `machine`
    outputs    Writers of files, and the thread that runs them
    files      What is done with the files of runs: recovery after a kill, verification, repair and conversion
    collect    Collects market data: a feed whose frames and events are written to files
    replay     Replay: captures in the place of a feed, at any pace
    metrics    Metrics and health of a feed or a run, for Prometheus
    doctor     Checks every step from the URL of a gateway to a quote, and reports the first failure with advice
    report     Report: one self-contained HTML page about the files of a run or of a folder of runs
    simulator  A simulated Client Portal gateway, for tests and for trying the library without an account
    cli        The command line: commands, options and terminal screens
"""

from __future__ import annotations

from importlib import metadata as _metadata

from . import startup as _startup
from ._version import PICOWS_VERSION as _PICOWS_VERSION
from ._version import __version__

# Before everything else, because the imports take a few tenths of a second.
if _startup.is_command():
    _startup.let_interrupts_end_the_process()
    _startup.keep_services_from_hanging_up()

# Before anything imports the listener: a picows of another layout would lose frames without an error.
if (_found := _metadata.version("picows")) != _PICOWS_VERSION:
    raise ImportError(
        f"cpapi_fast {__version__} is compiled against picows {_PICOWS_VERSION}, and picows {_found} is installed; "
        f"install the right one: pip install picows=={_PICOWS_VERSION}"
    )

from .clock import SYSTEM_CLOCK, Clock
from .collect.collector import Collector
from .collect.instruments import InstrumentChange
from .collect.options import CollectOptions
from .collect.symbols import resolve_symbols
from .contract_cache import ContractCache
from .delivery.callback_consumer import CallbackConsumer
from .delivery.consumer import Consumer
from .delivery.stats import ConsumerStats
from .errors import (
    CallbackError,
    CertificateError,
    CompetingSessionError,
    ConfigError,
    ConnectError,
    ConsumerOverflowError,
    CpapiError,
    DecisionRecordError,
    DecodeError,
    HandshakeError,
    HeaderRefusedError,
    LimitError,
    MalformedPayloadError,
    MissingDependencyError,
    NoSessionError,
    NotAuthenticatedError,
    OutputError,
    PaceError,
    PinMismatchError,
    ProtocolViolationError,
    RateLimitedError,
    RedirectError,
    ReplayMismatchError,
    RequestTimeoutError,
    SessionError,
    StatusError,
    SubscriptionError,
    SymbolError,
    TransportError,
    UsageError,
)
from .events import (
    Backfill,
    Bar,
    Cause,
    Certainty,
    FeedEvent,
    FeedState,
    Gap,
    Standstill,
    StandstillReason,
    StateChange,
)
from .feed import Feed, FeedStats, FeedSubscription, LastField, LastValue, SubscriptionStatus
from .feed.decisions.replay import Decision, replay_decisions
from .feed.options import FeedOptions
from .feed.state import AccountValue, FeedSession, LedgerBalance, Order, Pnl, Quote
from .frames.arrow_reader import ArrowReader
from .frames.batch import Batch, BatchBuilder
from .frames.frame import Frame, FrameCounters, classify
from .frames.sink import FrameSink
from .frames.tick_decoder import TickDecoder
from .frames.ticks import Ticks
from .loop import new_event_loop, run
from .meaning import Meaning
from .messages.member import Message
from .metrics import MetricsCollector, MetricsServer
from .outputs.capture import CaptureReader, CaptureWriter, read_capture
from .outputs.contract.options import OutputOptions
from .outputs.contract.output import Output
from .outputs.kafka.options import KafkaOptions
from .outputs.kafka.output import KafkaOutput, KafkaStats
from .outputs.tables.market_data import QuotesWriter, TicksWriter
from .outputs.tables.reader import read_table
from .protocol.contracts.info import ContractInfo
from .protocol.contracts.listings import ContractMatch, ContractSection, CurrencyPair, FutureContract, StockContract
from .protocol.contracts.schedule import TradingDay, TradingSchedule, TradingSession
from .protocol.contracts.symbols import ResolvedSymbol
from .protocol.fields import FIELDS, Field, FieldKind, field_code
from .protocol.history import History, HistorySource
from .protocol.hours import DailyWindow, TradingHours
from .protocol.kinds import FrameKind
from .protocol.numbers import number_prefix, parse_number
from .protocol.topics import KEEPALIVE_INTERVAL_S, MarketDataFields, Subscription
from .replay import Replay
from .rest.client import Client
from .rest.endpoints.live_orders import LiveOrders
from .rest.keepalive import Keepalive
from .rest.pacing import RestPacer
from .rest.session import Accounts, AuthStatus, SessionTicket
from .rest.stats import ClientStats
from .rest.tls import InsecureTlsWarning, Tls
from .rest.urls import ws_url_from_base
from .ws.connection import WsClient
from .ws.options import WsOptions
from .ws.stats import WsStats

__all__ = [
    "FIELDS",
    "KEEPALIVE_INTERVAL_S",
    "SYSTEM_CLOCK",
    "AccountValue",
    "Accounts",
    "ArrowReader",
    "AuthStatus",
    "Backfill",
    "Bar",
    "Batch",
    "BatchBuilder",
    "CallbackConsumer",
    "CallbackError",
    "CaptureReader",
    "CaptureWriter",
    "Cause",
    "Certainty",
    "CertificateError",
    "Client",
    "ClientStats",
    "Clock",
    "CollectOptions",
    "Collector",
    "CompetingSessionError",
    "ConfigError",
    "ConnectError",
    "Consumer",
    "ConsumerOverflowError",
    "ConsumerStats",
    "ContractCache",
    "ContractInfo",
    "ContractMatch",
    "ContractSection",
    "CpapiError",
    "CurrencyPair",
    "DailyWindow",
    "Decision",
    "DecisionRecordError",
    "DecodeError",
    "Feed",
    "FeedEvent",
    "FeedOptions",
    "FeedSession",
    "FeedState",
    "FeedStats",
    "FeedSubscription",
    "Field",
    "FieldKind",
    "Frame",
    "FrameCounters",
    "FrameKind",
    "FrameSink",
    "FutureContract",
    "Gap",
    "HandshakeError",
    "HeaderRefusedError",
    "History",
    "HistorySource",
    "InsecureTlsWarning",
    "InstrumentChange",
    "KafkaOptions",
    "KafkaOutput",
    "KafkaStats",
    "Keepalive",
    "LastField",
    "LastValue",
    "LedgerBalance",
    "LimitError",
    "LiveOrders",
    "MalformedPayloadError",
    "MarketDataFields",
    "Meaning",
    "Message",
    "MetricsCollector",
    "MetricsServer",
    "MissingDependencyError",
    "NoSessionError",
    "NotAuthenticatedError",
    "Order",
    "Output",
    "OutputError",
    "OutputOptions",
    "PaceError",
    "PinMismatchError",
    "Pnl",
    "ProtocolViolationError",
    "Quote",
    "QuotesWriter",
    "RateLimitedError",
    "RedirectError",
    "Replay",
    "ReplayMismatchError",
    "RequestTimeoutError",
    "ResolvedSymbol",
    "RestPacer",
    "SessionError",
    "SessionTicket",
    "Standstill",
    "StandstillReason",
    "StateChange",
    "StatusError",
    "StockContract",
    "Subscription",
    "SubscriptionError",
    "SubscriptionStatus",
    "SymbolError",
    "TickDecoder",
    "Ticks",
    "TicksWriter",
    "Tls",
    "TradingDay",
    "TradingHours",
    "TradingSchedule",
    "TradingSession",
    "TransportError",
    "UsageError",
    "WsClient",
    "WsOptions",
    "WsStats",
    "__version__",
    "classify",
    "field_code",
    "new_event_loop",
    "number_prefix",
    "parse_number",
    "read_capture",
    "read_table",
    "replay_decisions",
    "resolve_symbols",
    "run",
    "ws_url_from_base",
]

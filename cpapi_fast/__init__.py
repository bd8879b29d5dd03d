"""Market data of Interactive Brokers' Client Portal Web API, routed without decoding JSON.

The way of a quote, file by file::

    gateway      Client: REST, login state and session, the TLS policy       (tls, urls, rest, pacing, session)
    topics       what is sent: subscribes, unsubscribes, field codes         (fields)
    classifier   bytes to kind, topic and conid, in C, without decoding
    batch        Batch and Frame: who owns the bytes, payload on first use
    sink         the C interface: frames borrowed one by one, no Python object for any
    listener     the picows callback: fragments, PING, CLOSE, one batch per socket read
    ticks        fields of market data frames as float64 columns             (walk, marks, decimals, scan)
    connection   WsClient: one ticket, one socket                            (handshake, inbox, options, stats)
    tracker      when each topic was last heard of                           (text_slots, last_values)
    machine      the policy of a feed, pure: inputs in, actions out          (feed_options, hours)
    delivery     consumers, each bounded with its own policy                 (consumer, push, policies)
    feed         Feed: never silently stale                                  (events, backfill)
    capture      every frame as an Arrow IPC stream; quotes as Parquet       (quotes, recorder, outputs, numbers)
    collector    the main job, from a gateway to files                       (reports, progress, cli)
    doctor       what is wrong with a gateway, and what to do                (availability, doctor_command)
    tail         quotes on a terminal as they come                           (tail_command)
    simulator    a gateway for tests: `from cpapi_fast.simulator import Gateway`
    errors       everything that is raised on purpose, in one tree           (clock, kinds, loop)
"""

from __future__ import annotations

from importlib import metadata as _metadata

from ._version import PICOWS_VERSION as _PICOWS_VERSION
from ._version import __version__

# Before anything imports the listener: a picows of another layout would lose frames without an error.
if (_found := _metadata.version("picows")) != _PICOWS_VERSION:
    raise ImportError(
        f"cpapi_fast {__version__} is compiled against picows {_PICOWS_VERSION}, and picows {_found} is installed; "
        f"install the right one: pip install picows=={_PICOWS_VERSION}"
    )

from .batch import Batch, BatchBuilder, Frame, FrameCounters, classify
from .capture import CaptureReader, CaptureWriter, read_capture
from .clock import SYSTEM_CLOCK, Clock
from .connection import WsClient
from .consumer import Consumer, ConsumerStats
from .errors import (
    CallbackError,
    CertificateError,
    CompetingSessionError,
    ConfigError,
    ConnectError,
    ConsumerOverflowError,
    CpapiError,
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
    RequestTimeoutError,
    SessionError,
    StatusError,
    SubscriptionError,
    TransportError,
    UsageError,
)
from .events import Backfill, Bar, Cause, FeedEvent, FeedState, Gap, StateChange
from .feed import Feed, FeedStats, FeedSubscription, LastField, LastValue, SubscriptionStatus
from .feed_options import FeedOptions
from .fields import FIELDS, Field, field_code
from .gateway import Client
from .history import History, HistorySource
from .hours import DailyWindow, TradingHours
from .keepalive import Keepalive
from .kinds import FrameKind
from .loop import new_event_loop, run
from .numbers import number_prefix, parse_number
from .options import WsOptions
from .pacing import RestPacer
from .quotes import QuotesWriter
from .session import Accounts, AuthStatus, SessionTicket
from .sink import FrameSink
from .stats import WsStats
from .ticks import TickDecoder, Ticks
from .tls import InsecureTlsWarning, Tls
from .topics import KEEPALIVE_INTERVAL_S, MarketDataFields, Subscription
from .urls import ws_url_from_base

__all__ = [
    "FIELDS",
    "KEEPALIVE_INTERVAL_S",
    "SYSTEM_CLOCK",
    "Accounts",
    "AuthStatus",
    "Backfill",
    "Bar",
    "Batch",
    "BatchBuilder",
    "CallbackError",
    "CaptureReader",
    "CaptureWriter",
    "Cause",
    "CertificateError",
    "Client",
    "Clock",
    "CompetingSessionError",
    "ConfigError",
    "ConnectError",
    "Consumer",
    "ConsumerOverflowError",
    "ConsumerStats",
    "CpapiError",
    "DailyWindow",
    "DecodeError",
    "Feed",
    "FeedEvent",
    "FeedOptions",
    "FeedState",
    "FeedStats",
    "FeedSubscription",
    "Field",
    "Frame",
    "FrameCounters",
    "FrameKind",
    "FrameSink",
    "Gap",
    "HandshakeError",
    "HeaderRefusedError",
    "History",
    "HistorySource",
    "InsecureTlsWarning",
    "Keepalive",
    "LastField",
    "LastValue",
    "LimitError",
    "MalformedPayloadError",
    "MarketDataFields",
    "MissingDependencyError",
    "NoSessionError",
    "NotAuthenticatedError",
    "OutputError",
    "PaceError",
    "PinMismatchError",
    "ProtocolViolationError",
    "QuotesWriter",
    "RateLimitedError",
    "RedirectError",
    "RequestTimeoutError",
    "RestPacer",
    "SessionError",
    "SessionTicket",
    "StateChange",
    "StatusError",
    "Subscription",
    "SubscriptionError",
    "SubscriptionStatus",
    "TickDecoder",
    "Ticks",
    "Tls",
    "TradingHours",
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
    "run",
    "ws_url_from_base",
]

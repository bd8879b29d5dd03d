"""The public names are listed here, so that no name is added or removed by accident, and each is documented."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import cpapi_fast
from cpapi_fast import errors

PACKAGE = Path(cpapi_fast.__path__[0])

#: What `import cpapi_fast as cf` offers. A change of `__all__` is a change of this list.
NAMES = frozenset(
    [
        "AccountValue",
        "Accounts",
        "AuthStatus",
        "ArrowReader",
        "Backfill",
        "Bar",
        "Batch",
        "BatchBuilder",
        "CallbackError",
        "CallbackConsumer",
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
        "CpapiError",
        "DailyWindow",
        "Decision",
        "DecisionRecordError",
        "DecodeError",
        "FIELDS",
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
        "InstrumentChange",
        "Gap",
        "HandshakeError",
        "HeaderRefusedError",
        "History",
        "HistorySource",
        "InsecureTlsWarning",
        "KEEPALIVE_INTERVAL_S",
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
        "RestPacer",
        "SYSTEM_CLOCK",
        "SessionError",
        "SessionTicket",
        "Standstill",
        "StandstillReason",
        "StateChange",
        "StatusError",
        "Subscription",
        "SubscriptionError",
        "SubscriptionStatus",
        "TickDecoder",
        "Ticks",
        "TicksWriter",
        "Tls",
        "TradingHours",
        "TransportError",
        "UsageError",
        "WsClient",
        "WsOptions",
        "WsStats",
        "ContractInfo",
        "ContractMatch",
        "ContractSection",
        "CurrencyPair",
        "FutureContract",
        "StockContract",
        "TradingDay",
        "TradingSchedule",
        "TradingSession",
        "ResolvedSymbol",
        "SymbolError",
        "resolve_symbols",
        "ContractCache",
        "__version__",
        "classify",
        "field_code",
        "new_event_loop",
        "number_prefix",
        "parse_number",
        "read_capture",
        "read_table",
        "replay_decisions",
        "run",
        "ws_url_from_base",
    ]
)


def imported_from() -> dict[str, str]:
    """The module that `cpapi_fast/__init__.py` imports each name from, without `cpapi_fast.`."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {alias.asname or alias.name: node.module or "" for node in imports for alias in node.names}


def module_of(name: str) -> str:
    """The module that defines a public name, without `cpapi_fast.`."""
    # Constants and type aliases have no `__module__` of this package.
    module = getattr(getattr(cpapi_fast, name), "__module__", None) or ""
    return module.removeprefix("cpapi_fast.") if module.startswith("cpapi_fast.") else imported_from()[name]


def is_documented(name: str) -> bool:
    """Whether a class or function has a docstring (an extension in its stub), or a constant a `#:` comment."""
    path = PACKAGE / module_of(name).replace(".", "/")
    stub = path.with_suffix(".pyi")
    text = (stub if stub.exists() else path.with_suffix(".py")).read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return bool(ast.get_docstring(node))
    return re.search(rf"^#:.*\n(#:?.*\n)*{name}\b", text, re.MULTILINE) is not None


def test_the_public_names_are_the_listed_ones():
    assert set(cpapi_fast.__all__) == NAMES
    assert len(cpapi_fast.__all__) == len(NAMES)


def test_every_error_is_public():
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree <= NAMES


@pytest.mark.parametrize("name", sorted(NAMES - {"__version__"}))
def test_a_public_name_is_documented_where_it_is_defined(name: str):
    assert is_documented(name)

"""The public names: listed here, where each comes from, so that none appears or goes by accident."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

import cpapi_fast
from cpapi_fast import errors

PACKAGE = Path(cpapi_fast.__path__[0])

#: Module by module, what `import cpapi_fast as cf` offers. A name that is added to `__all__` is added here too.
EXPORTS: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "_version": "__version__",
        "frames.batch": "Batch BatchBuilder Frame FrameCounters classify",
        "outputs.capture": "CaptureReader CaptureWriter read_capture",
        "clock": "SYSTEM_CLOCK Clock",
        "ws.connection": "WsClient",
        "delivery.consumer": "Consumer ConsumerStats",
        "errors": """
            CallbackError CertificateError CompetingSessionError ConfigError ConnectError ConsumerOverflowError
            CpapiError DecisionRecordError DecodeError HandshakeError HeaderRefusedError LimitError
            MalformedPayloadError MissingDependencyError NoSessionError NotAuthenticatedError OutputError PaceError
            PinMismatchError ProtocolViolationError RateLimitedError RedirectError ReplayMismatchError
            RequestTimeoutError SessionError StatusError SubscriptionError TransportError UsageError
        """,
        "events": "Backfill Bar Cause FeedEvent FeedState Gap StateChange",
        "feed.decisions.replay": "Decision replay_decisions",
        "feed.feed": "Feed FeedSubscription",
        "feed.status": "FeedStats LastField LastValue SubscriptionStatus",
        "feed.options": "FeedOptions",
        "protocol.fields": "FIELDS Field field_code",
        "rest.client": "Client",
        "protocol.history": "History HistorySource",
        "protocol.hours": "DailyWindow TradingHours",
        "rest.keepalive": "Keepalive",
        "protocol.kinds": "FrameKind",
        "loop": "new_event_loop run",
        "protocol.numbers": "number_prefix parse_number",
        "ws.options": "WsOptions",
        "rest.pacing": "RestPacer",
        "outputs.quotes": "QuotesWriter",
        "rest.session": "Accounts AuthStatus SessionTicket",
        "frames.sink": "FrameSink",
        "ws.stats": "WsStats",
        "frames.ticks": "TickDecoder Ticks",
        "rest.tls": "InsecureTlsWarning Tls",
        "protocol.topics": "KEEPALIVE_INTERVAL_S MarketDataFields Subscription",
        "rest.urls": "ws_url_from_base",
    }.items()
}

LISTED = sorted((module, name) for module, names in EXPORTS.items() for name in names)


def is_documented(module: str, name: str) -> bool:
    """Whether a docstring stands at a class or function (for an extension: in its stub), or a `#:` line at a value."""
    stub = PACKAGE / f"{module.replace('.', '/')}.pyi"
    source = stub if stub.exists() else PACKAGE / f"{module.replace('.', '/')}.py"
    text = source.read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return bool(ast.get_docstring(node))
    return re.search(rf"^#:.*\n(#:?.*\n)*{name}\b", text, re.MULTILINE) is not None


def test_nothing_is_exported_that_is_not_listed():
    names = [name for _, name in LISTED]
    assert len(names) == len(set(names))
    assert set(cpapi_fast.__all__) <= set(names), "add it to EXPORTS, with the module that it comes from"
    assert len(cpapi_fast.__all__) == len(set(cpapi_fast.__all__))


def test_every_error_is_listed():
    tree = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert tree == EXPORTS["errors"]


@pytest.mark.parametrize(("module", "name"), LISTED)
def test_a_listed_name_is_there_and_documented(module: str, name: str):
    value = getattr(importlib.import_module(f"cpapi_fast.{module}"), name)
    if name in cpapi_fast.__all__:
        assert getattr(cpapi_fast, name) is value
    if name != "__version__":
        assert is_documented(module, name)


def test_what_the_package_exports_is_there():
    for name in cpapi_fast.__all__:
        assert hasattr(cpapi_fast, name), name

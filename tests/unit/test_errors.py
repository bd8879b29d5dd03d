"""The tree of errors: which are retryable, and which built-in exception each is."""

from __future__ import annotations

import copy
import pickle

import pytest

from cpapi_fast import errors

#: As the Rust client has it, and certificates, which no retry mends.
RETRYABLE = {
    "NoSessionError",
    "TransportError",
    "ConnectError",
    "RequestTimeoutError",
    "HandshakeError",
    # What the Rust client does not have: requests that were held back, and that will pass later.
    "PaceError",
    "RateLimitedError",
    "ProtocolViolationError",
}

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_is_in_the_documented_tree(error: type[Exception]) -> None:
    assert issubclass(error, errors.CpapiError)
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", [c for c in CLASSES if c is not errors.StatusError], ids=lambda e: e.__name__)
def test_is_retryable_matches_the_rust_client(error: type[errors.CpapiError]) -> None:
    assert error.is_retryable is (error.__name__ in RETRYABLE)


@pytest.mark.parametrize(
    ("status", "is_retryable"),
    [(429, True), (500, True), (503, True), (599, True), (400, False), (404, False), (411, False)],
)
def test_temporary_statuses_are_retryable(status: int, is_retryable: bool) -> None:
    error = errors.StatusError("x", status=status, path="/tickle")
    assert error.is_retryable is is_retryable
    assert (error.status, error.path) == (status, "/tickle")


ATTRIBUTES = {
    "StatusError": {"status": 500, "path": "/x"},
    "RateLimitedError": {"path": "/x", "retry_after_s": 5.0},
    "PaceError": {"path": "/x", "limit": "all", "retry_after_s": 5.0},
    "LimitError": {"most": 1, "in_use": 1, "advice": "x"},
    "SymbolError": {"candidates": {"AAPL": (5, 6)}},
    "ConsumerOverflowError": {"name": "x", "dropped": 5},
    "MalformedPayloadError": {"raw": b"x"},
    "OutputError": {"path": "/x"},
    "DecisionRecordError": {"line": 5},
    "ReplayMismatchError": {"line": 5},
}


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_an_error_can_be_copied_and_pickled(error: type[errors.CpapiError]) -> None:
    original = error("what is wrong", **ATTRIBUTES.get(error.__name__, {}))
    for copied in (copy.copy(original), pickle.loads(pickle.dumps(original))):
        assert type(copied) is error
        assert (str(copied), copied.args, vars(copied)) == (str(original), original.args, vars(original))


def test_a_limit_error_states_limit_use_and_advice() -> None:
    error = errors.LimitError("market data lines", most=100, in_use=100, advice="Unsubscribe one first.")
    assert str(error) == "all market data lines are in use: 100 of 100. Unsubscribe one first."
    assert (error.limit, error.most, error.in_use) == ("market data lines", 100, 100)
    assert isinstance(error, errors.SubscriptionError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.SubscriptionError, ValueError),
        (errors.MalformedPayloadError, ValueError),
        (errors.UsageError, RuntimeError),
        (errors.RequestTimeoutError, TimeoutError),
        (errors.OutputError, OSError),
    ],
)
def test_errors_are_also_built_in_exceptions(error: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(error, builtin)

"""The format of a decision record: JSON lines, the first with options and seed, each other one with an input.

A line with an input has these members: `input` and `arguments`; `activity`, the received frames of the topics that
have changed since the last line; `last_frame_s`; and `actions`, or `error` for an input that raised.
"""

from __future__ import annotations

import datetime as dt
import enum
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

from cpapi_fast.events import Cause, FeedEvent, Gap, Standstill, StandstillReason, StateChange
from cpapi_fast.feed.machine import (
    Action,
    Call,
    Emit,
    Failure,
    Machine,
    Moment,
    Send,
    SessionFacts,
    SubscriptionSpec,
    Unwatch,
    Watch,
)
from cpapi_fast.feed.options import FeedOptions
from cpapi_fast.protocol.hours import DailyWindow, TradingHours

FORMAT: Final = "cpapi_fast decision record"
VERSION: Final = 2

#: The parameters of each input of the machine, in order.
INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(inspect.signature(method).parameters)[1:]
    for name, method in vars(Machine).items()
    if inspect.isfunction(method) and "now" in inspect.signature(method).parameters
}

#: Options that do not affect the machine.
_NOT_RECORDED: Final = frozenset({"seed", "ws", "record_decisions", "give_up_after_s", "log_trouble"})

Texts = Callable[[str], str]


# --- options --------------------------------------------------------------------------------------


def encode_options(options: FeedOptions) -> dict[str, Any]:
    """The options as JSON."""
    encoded = {name: value for name, value in vars(options).items() if name not in _NOT_RECORDED}
    nightly = options.nightly
    encoded["nightly"] = None if nightly is None else [nightly.start, nightly.end, nightly.time_zone]
    return encoded


def decode_options(encoded: Mapping[str, Any]) -> FeedOptions:
    """The options from JSON."""
    values = dict(encoded)
    values["nightly"] = None if values["nightly"] is None else DailyWindow(*values["nightly"])
    if values["renew_after_s"] is not None:
        values["renew_after_s"] = tuple(values["renew_after_s"])
    return FeedOptions(**values)


# --- arguments ------------------------------------------------------------------------------------


def encode_arguments(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], redact: Texts) -> dict[str, Any]:
    """The arguments of an input as JSON, by the names of its parameters."""
    arguments = dict(zip(INPUTS[name], args, strict=False))
    arguments.update(kwargs)
    return {parameter: _encode(value, redact) for parameter, value in arguments.items()}


def _encode(value: object, redact: Texts) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, SessionFacts):
        return [*value[:-1], redact(value.words)]
    if isinstance(value, SubscriptionSpec):
        return [
            redact(value.topic),
            redact(value.payload),
            redact(value.cancel_payload),
            value.needs_brokerage,
            value.is_market_data,
            value.usual_interval_s,
            None if value.hours is None else _encode_hours(value.hours),
        ]
    return value


def _encode_hours(hours: TradingHours) -> list[Any]:
    return [hours.sessions, hours.time_zone, sorted(day.isoformat() for day in hours.holidays)]


def _decode_spec(encoded: list[Any]) -> SubscriptionSpec:
    *values, hours = encoded
    if hours is not None:
        sessions, time_zone, holidays = hours
        days = frozenset(dt.date.fromisoformat(day) for day in holidays)
        hours = TradingHours(tuple(tuple(session) for session in sessions), time_zone, days)
    topic, payload, cancel_payload, needs_brokerage, is_market_data, usual_interval_s = values
    return SubscriptionSpec(topic, payload, cancel_payload, needs_brokerage, is_market_data, usual_interval_s, hours)


_DECODERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "now": lambda encoded: Moment(*encoded),
    "facts": lambda encoded: SessionFacts(*encoded),
    "failure": Failure,
    "cause": Cause,
    "reason": StandstillReason,
    "spec": _decode_spec,
}


def decode_arguments(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an input from JSON."""
    return {name: _DECODERS[name](value) if name in _DECODERS else value for name, value in encoded.items()}


# --- actions --------------------------------------------------------------------------------------


def encode_action(action: Action, redact: Texts) -> list[Any]:
    """An action as JSON: its type, then its content."""
    kind = type(action).__name__
    if isinstance(action, Call):
        return [kind, action.kind.value, action.number, action.compete]
    if isinstance(action, Send):
        return [kind, redact(action.text)]
    if isinstance(action, (Watch, Unwatch)):
        return [kind, redact(action.topic)]
    if isinstance(action, Emit):
        return [kind, *_encode_event(action.event, redact)]
    return [kind]


def _encode_event(event: FeedEvent, redact: Texts) -> list[Any]:
    kind = type(event).__name__
    topic = None
    if isinstance(event, (Gap, StateChange)) and event.subscription is not None:
        topic = redact(event.subscription)
    if isinstance(event, Gap):
        return [kind, topic, event.last_good_ns, event.first_good_ns, event.cause.value, event.certainty.value]
    if isinstance(event, Standstill):
        return [kind, event.start_ns, event.length_ns, event.reason.value]
    if isinstance(event, StateChange):
        # The advice follows from the cause.
        states = [event.state.value, event.previous.value, event.cause.value]
        return [kind, topic, event.time_ns, *states, redact(event.detail)]
    return [kind]

"""The slow definition of a member's value, from the rules of docs/reference/messages.md."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import orjson

from cpapi_fast.frames.frame import classify
from cpapi_fast.messages import JsonObject, Member
from cpapi_fast.protocol.numbers import parse_number
from tests.support.messages import rebuilt

#: A value of another type.
WRONG = object()

_NO_VALUES = ("", "-", "N/A")


def value_of(member: Member[Any], value: Any) -> Any:
    """What the attribute is for a decoded value, or WRONG."""
    kind = type(member).__name__
    if value is None:
        return None
    if kind not in ("TextMember", "IdMember") and isinstance(value, str) and value in _NO_VALUES:
        return None if kind not in ("ListMember", "ObjectMember", "RowsMember") else WRONG
    if kind == "NumberMember":
        number = parse_number(value)
        return WRONG if number is None else number
    if kind == "IntegerMember":
        return _integer(value)
    if kind in ("MillisecondsMember", "SecondsMember"):
        count = _integer(value)
        try:
            unit = 1 if kind == "MillisecondsMember" else 1000
            return WRONG if count is WRONG else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=count * unit)
        except OverflowError:
            return WRONG
    if kind == "FlagMember":
        if isinstance(value, str):
            return {"1": True, "true": True, "0": False, "false": False}.get(value, WRONG)
        return bool(value) if isinstance(value, (bool, int, float)) and value in (0, 1) else WRONG
    if kind == "IdMember" and isinstance(value, int) and not isinstance(value, bool):
        return str(value) if -(2**63) <= value < 2**64 else WRONG
    types = {"TextMember": str, "IdMember": str, "ListMember": list, "ObjectMember": dict}
    return value if isinstance(value, types[kind]) else WRONG


def _integer(value: Any) -> Any:
    if isinstance(value, bool):
        return WRONG
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value) and abs(value) < 2**53 and Fraction(value).denominator == 1:
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        return int(value)
    return WRONG


def decoded(raw: bytes) -> Any:
    """The decoded text, by orjson; None if it rejects it."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def check(message: JsonObject) -> None:
    """Compare every attribute of an object and of its rows, and its problems, with this definition."""
    body_key = type(message).body_key
    body = message.raw.get(body_key) if body_key else message.raw
    problems = [] if body is None or isinstance(body, dict) else [body_key]
    for name, member in type(message).members().items():
        source = message.raw if member.is_top else body
        value = source.get(member.key) if isinstance(source, dict) else None
        found = getattr(message, name)
        path = f"{body_key}.{member.key}" if body_key and not member.is_top else member.key
        if type(member).__name__ == "RowsMember":
            for row in found:
                check(row)
            assert len(found) <= (len(value) if isinstance(value, (list, dict)) else 0) or found[0].raw is value
            if value is not None and not isinstance(value, (list, dict)):
                assert found == ()
                problems.append(path)
        elif type(member).__name__ == "FunctionMember":
            assert found is None or value is not None
        else:
            expected = value_of(member, value)
            if expected is WRONG:
                problems.append(path)
                expected = None
            assert type(found) is type(expected), (name, value)
            assert found == expected, (name, value)
    assert set(problems) <= set(message.problems)
    known = {member.key for member in type(message).members().values()} | {body_key}
    assert all(re.split(r"[.\[]", path)[0] in known for path in message.problems)


def check_text(raw: bytes) -> None:
    """Check the message of a text: it is complete, every attribute is right, and `raw` is what orjson decodes."""
    payload = decoded(raw)
    for strict in (False, True):
        message = classify(raw, strict=strict).message
        if message is None:
            assert not isinstance(payload, dict)
            continue
        if payload is not None:
            assert message.raw == payload
        assert rebuilt(message) == message.raw
        check(message)

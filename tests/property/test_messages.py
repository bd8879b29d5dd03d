"""Any change of a frame has a message: nothing raises, nothing is guessed, and nothing of the JSON is lost.

The number of seeded texts comes from CPAPI_FAST_CASES, and their seed from CPAPI_FAST_TEST_SEED.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.frames.frame import classify
from cpapi_fast.messages import OtherMessage
from cpapi_fast.messages.member_types import NumberMember
from cpapi_fast.protocol.numbers import parse_number
from tests.oracles import generator
from tests.oracles.messages import check_text, decoded
from tests.support.messages import SHAPES, rebuilt

CASES = int(os.environ.get("CPAPI_FAST_CASES", "20000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))


class Pairs(list[Any]):
    """The members of an object in order, so that a key can occur twice."""


class Literal(str):
    """A piece of JSON text."""

    __slots__ = ()


def parse(raw: bytes) -> Pairs:
    return json.loads(raw, object_pairs_hook=Pairs, parse_float=Literal, parse_int=Literal)


def written(value: Any) -> str:
    if isinstance(value, Pairs):
        return "{" + ",".join(f"{json.dumps(key)}:{written(member)}" for key, member in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(entry) for entry in value) + "]"
    return value if isinstance(value, Literal) else json.dumps(value)


def places(value: Any) -> list[tuple[Any, int]]:
    """Every member and entry inside of a value: its container and index."""
    found = []
    for index, entry in enumerate(value) if isinstance(value, list) else ():
        found.append((value, index))
        found += places(entry[1] if isinstance(value, Pairs) else entry)
    return found


#: JSON texts to put in the place of a value.
VALUES = [
    "null", "true", "false", "[]", "{}", '""', '"-"', '"N/A"', "0", "-0", "1", "1.0", "-0.0", "5.5", "1E3", "2.5e-3",
    "1e400", "-1e400", "1e-400", "9" * 400, f"-{'9' * 400}", f'"{"9" * 400}"', f"0.{'1' * 400}", "1" * 5000,
    "9223372036854775807", "18446744073709551616", "9007199254740993", "9007199254740993.0", '"1"', '"0"', '"1.0"',
    '"1,300"', '"1,30"', '"12.2M"', '"C187.05"', '"H187.05"', '"1e5"', '"5\\""', '"\\ud800"', '"\\u0663"', '"smd+1"',
    '"BUY"', '"Filled"', "[null]", "[[]]", '[{"price":[]}]', '{"price":"1.5","orderId":"x"}', '{"topic":"sor"}',
    '"1 @ 2"', '"true"', '"a\\u0000b"',
]  # fmt: skip

KEYS = ["topic", "args", "result", "error", "message", "data", "31", "84", "conid", "key", "new", "99999", ""]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    value = parse(draw(st.sampled_from(SHAPES)))
    for _ in range(draw(st.integers(0, 4))):
        found = places(value)
        if not found:
            break
        container, index = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["replace", "as_text", "remove", "repeat", "wrap", "add", "unwrap"]))
        entry = container[index]
        is_member = isinstance(container, Pairs)
        old = entry[1] if is_member else entry
        new: Any = Literal(draw(st.sampled_from(VALUES)))
        if change == "as_text":
            new = str(old) if isinstance(old, str) else Literal("null")
        elif change == "wrap":
            new = [old] if draw(st.booleans()) else Pairs([("inner", old)])
        elif change == "unwrap":
            new = Pairs([("0", item) for item in old]) if isinstance(old, list) and not isinstance(old, Pairs) else []
        if change == "remove":
            del container[index]
        elif change in ("repeat", "add"):
            key = draw(st.sampled_from(KEYS)) if change == "add" else entry[0] if is_member else ""
            container.insert(draw(st.integers(0, len(container))), (key, new) if is_member else new)
        else:
            container[index] = (entry[0], new) if is_member else new
    return written(value).encode()


@settings(max_examples=1500, deadline=None)
@given(raw=mutations())
def test_any_change_of_a_real_shape(raw: bytes):
    assert classify(raw).message is not None
    check_text(raw)


@settings(max_examples=300, deadline=None)
@given(raw=mutations())
def test_the_message_has_every_digit(raw: bytes):
    """Also of numbers for which there is no float, and which the payload therefore rejects."""
    message = classify(raw).message
    assert message is not None
    if decoded(raw) is None:

        def exact(text: str) -> Any:
            number = Decimal(text)
            return float(text) if "." in text or "e" in text.lower() else int(text) if len(text) < 4000 else number

        def fraction(text: str) -> Any:
            return Decimal(text) if abs(float(text)) == float("inf") else float(text)

        assert message.raw == json.loads(raw, parse_int=exact, parse_float=fraction)


def test_seeded_texts():
    for case in generator.Generator(SEED).cases(CASES):
        frame = classify(case.data)
        message = frame.message
        payload = decoded(case.data)
        if isinstance(payload, dict):
            assert message is not None
            assert list(message.raw) == list(payload)
            # Python compares deeper values with an error.
            if case.data.count(b"[") + case.data.count(b"{") < 300:
                assert message.raw == payload
                assert rebuilt(message) == payload
            assert all(isinstance(path, str) for path in message.problems)


class Row(OtherMessage):
    number = NumberMember("n")


@settings(max_examples=2000, deadline=None)
@given(
    text=st.one_of(
        st.text(alphabet='0123456789.,+-eEKMB%CH"\\ \x00', max_size=45),
        st.decimals(allow_nan=False, allow_infinity=False).map(str),
        st.from_regex(r"[CH]?[+-]?[0-9]{1,3}(,[0-9]{3}){0,3}(\.[0-9]{0,20})?(e-?[0-9]{1,3}|K|M|B)?%?", fullmatch=True),
        st.text(),
    )
)
def test_numbers_equal_parse_number(text: str):
    assert repr(Row({"n": text}).number) == repr(parse_number(text))


@settings(max_examples=300, deadline=None)
@given(value=st.one_of(st.floats(), st.integers(), st.booleans(), st.none()))
def test_json_numbers_equal_parse_number(value: Any):
    assert repr(Row({"n": value}).number) == repr(parse_number(value))

"""Typed columns equal the slow way (orjson, then `parse_number`) on every valid text, and `float` on every decimal.

The seeded tests take their number of texts and their seed from CPAPI_FAST_CASES and CPAPI_FAST_TEST_SEED.
"""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.frames.tick_decoder import TickDecoder
from tests.oracles import generator
from tests.oracles.ticks import CDecoder, check_payloads, check_row, decoded
from tests.support.batches import batch_of

CASES = int(os.environ.get("CPAPI_FAST_CASES", "40000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))

#: Time limits belong to no single example: the machine may be busy.
EXAMPLES = settings(max_examples=400, deadline=None)

FIELDS = ("31", "6509", "84", "_updated", "55", "87_raw", "a_long_name", "server_id", "9999")
LAZY, STRICT = TickDecoder(FIELDS), TickDecoder(FIELDS, strict=True)
C_LAZY, C_STRICT = CDecoder(LAZY), CDecoder(STRICT)

SPACE = st.sampled_from(generator.SPACES)
NUMBER_TEXT = st.one_of(
    st.from_regex(r"[CH]?[+-]?([0-9]{1,3}(,[0-9]{3}){0,4}|[0-9]{0,21})(\.[0-9]{0,21})?([eE][+-]?[0-9]{1,4}|[KMB])?%?"),
    st.text("CH+-0123456789,.KMBeE% ", max_size=12),
    st.floats().map(repr),
    st.integers().map(str),
)
SCALAR = st.one_of(
    NUMBER_TEXT,
    NUMBER_TEXT,
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
KEY = st.one_of(
    st.sampled_from([*FIELDS, *FIELDS, "3", "311", "_update", "_updated_", "a_long_nam", "x", 'a"31"', "\\31"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEY, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def strings(draw: st.DrawFn, text: str) -> bytes:
    """A JSON string, any of its characters written as an escape."""
    if draw(st.integers(0, 3)):
        return json.dumps(text, ensure_ascii=False).encode()
    units = text.encode("utf-16-be")
    escapes = [f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)]
    plain = [json.dumps(character)[1:-1] for character in text]
    if len(plain) != len(escapes):
        return ('"' + "".join(escapes) + '"').encode()
    mixed = [draw(st.sampled_from(pair)) for pair in zip(plain, escapes, strict=True)]
    return ('"' + "".join(mixed) + '"').encode()


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A JSON value; numbers as any writer may put them."""
    value = draw(VALUE)
    if isinstance(value, str):
        return draw(strings(value))
    if draw(st.integers(0, 4)) == 0:
        return draw(st.from_regex(rb"-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
    return json.dumps(value, ensure_ascii=draw(st.booleans())).encode()


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """Market data: any members in any order and some of them twice, white space anywhere."""
    members = [(draw(strings(draw(KEY))), draw(values())) for _ in range(draw(st.integers(0, 5)))]
    members.insert(draw(st.integers(0, len(members))), (b'"topic"', b'"smd+8314"'))
    spaced = draw(st.booleans())
    space = SPACE if spaced else st.just(b"")
    rows = [draw(space) + key + draw(space) + b":" + draw(space) + value + draw(space) for key, value in members]
    return draw(space) + b"{" + b",".join(rows) + b"}" + draw(space)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Market data after a few bytes were changed, put in, taken out, or cut off."""
    text = bytearray(draw(payloads()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        insert = draw(st.one_of(st.sampled_from((*generator.SOUP, *generator.NOT_UTF8)), st.binary(max_size=2)))
        text[at : at + draw(st.integers(0, 3))] = insert
    return bytes(text[: draw(st.integers(len(text) // 2, len(text)))] if draw(st.booleans()) else text)


def check(payload: bytes) -> None:
    """Through a batch (where the classifier lets it be market data) and through the C interface, both ways."""
    for decoder, c_decoder in ((LAZY, C_LAZY), (STRICT, C_STRICT)):
        check_payloads([payload], decoder)
        is_json, row = c_decoder.decode_bytes(payload)
        check_row(payload, FIELDS, row, strict=decoder.strict or not is_json, has_texts=False)


@EXAMPLES
@given(payloads())
def test_valid_payloads(payload: bytes):
    decoded(payload)
    check(payload)


@EXAMPLES
@given(damaged())
def test_damaged_payloads(payload: bytes):
    check(payload)


@EXAMPLES
@given(st.one_of(st.binary(max_size=64), st.lists(st.sampled_from(generator.SOUP), max_size=16).map(b"".join)))
def test_any_bytes(payload: bytes):
    check(payload)


@EXAMPLES
@given(payloads(), st.sampled_from(generator.NOT_UTF8), st.data())
def test_invalid_utf8_in_a_string(payload: bytes, wrong: bytes, data: st.DataObject):
    """Put in after a quote, it is at the start of a string or outside of any."""
    quotes = [at for at, byte in enumerate(payload) if byte == ord('"')]
    at = data.draw(st.sampled_from(quotes)) + 1
    check(payload[:at] + wrong + payload[at:])


def test_every_change_of_one_byte():
    payload = (
        b'{"a":"\\"","31":"C1.50","84":"12.50","87_raw":-2e1,"x":[{}],"_updated":1767225600123,"topic":"smd+8314"}'
    )
    changed = (payload[:at] + bytes([byte]) + payload[at + 1 :] for at in range(len(payload)) for byte in range(256))
    assert check_payloads(changed, LAZY) > 10_000


def test_every_beginning_and_end():
    payload = b' {"31" : "C1.50","84":-2e1,"x":[{}],"_updated":1767225600123,"87_raw":"4","topic":"smd+8314"} '
    for at in range(len(payload) + 1):
        for part in (payload[:at], payload[at:]):
            check(part)


def test_escapes_and_quotes_at_every_place_of_a_block():
    """Quotes are found 64 bytes at a time: an escape may begin in one block and end in the next.

    When a quote is missed or invented, the walk usually rejects the frame, and the slow path has the right result. So
    the test also asserts which frames the walk takes.
    """
    walked: list[bytes] = []
    rejected: list[bytes] = []
    for padding in range(140):
        for count in range(6):
            # Pairs of backslashes, then the end of the string; with one more, a quote and a key inside of it.
            pairs = b"x" * padding + b"\\\\" * count
            walked.append(b'{"a":"' + pairs + b'","31":"7","84":"2.5","topic":"smd+1"}')
            walked.append(b'{"a":"' + pairs + rb'\",\"31\":\"7","84":"2.5","topic":"smd+1"}')
            walked.append(b'{"a":[{"31":"' + pairs + rb'\""}],"84":"2.5","topic":"smd+1"}')
            walked.append(b" " * padding + b'{"a":1,"31":"' + b"1" * count + b'","topic":"smd+1"}')
            rejected.append(b'{"31":"' + pairs + rb'\u0031","84":"2.5","topic":"smd+1"}')
            rejected.append(b'{"\\\\' + pairs + b'":1,"31":"' + b"1" * count + b'","topic":"smd+1"}')
    assert check_payloads([*walked, *rejected], LAZY) == 140 * 6 * 6
    assert [text for text in walked if C_LAZY.walk_bytes(text) is None] == []
    assert [text for text in rejected if C_LAZY.walk_bytes(text) is not None] == []


def test_seeded_texts():
    """What the classifier is tested with: mutated fixtures, token soup, wrong escapes, deep nesting."""
    texts = (case.data for case in generator.Generator(SEED).cases(CASES))
    assert check_payloads(texts, LAZY) > CASES // 20


def decimal_texts(rng: random.Random) -> Iterator[str]:
    """Decimals that are hard to round, and easy ones; without end."""
    contexts = [Context(prec=40, rounding=rounding) for rounding in (ROUND_HALF_EVEN, ROUND_FLOOR, ROUND_CEILING)]
    while True:
        # As they come: few digits, as on a screen.
        yield f"{rng.randrange(10 ** rng.randrange(1, 8))}.{rng.randrange(10 ** rng.randrange(1, 5))}"
        # Any digits at any place of the point, any exponent within and beyond reach.
        digits = str(rng.randrange(10 ** rng.randrange(1, 20)))
        point = rng.randrange(len(digits) + 1)
        yield f"{digits[:point] or '0'}.{digits[point:]}e{rng.randrange(-40, 40)}"
        yield f"{digits}e{rng.randrange(-340, 289)}"
        # The shortest text of a double, as other programs write them.
        yield repr(rng.uniform(0, 1) * 10.0 ** rng.randrange(-30, 30))
        # Exactly between two doubles, or as near to it as this many digits allow, on either side.
        bits = (rng.randrange(1023 - 90, 1023 + 90) << 52) | rng.getrandbits(52)
        double, above = struct.unpack("2d", struct.pack("2Q", bits, bits + 1))
        exact = Context(prec=400)
        middle = exact.divide(exact.add(Decimal(double), Decimal(above)), Decimal(2))
        context = rng.choice(contexts)
        context.prec = rng.randrange(16, 21)
        yield str(context.plus(middle))
        # Whole numbers and halves between two doubles: ties that few digits write out in full.
        yield str((rng.randrange(2**52, 2**53) * 2 + 1) << rng.randrange(0, 10))
        yield f"{rng.randrange(2**51, 2**52) * 2 + rng.randrange(2)}.{rng.choice(['5', '25', '75', '125', '375'])}"


@pytest.mark.parametrize(("form", "count"), [("text", 300_000), ("number", 150_000)])
def test_rounding_is_that_of_float(form: str, count: int):
    """Each number as text and as JSON number, bit for bit against the float that Python reads."""
    rng = random.Random(SEED)
    texts = decimal_texts(rng)
    decoder = TickDecoder(["31", "84", "85", "86", "88"])
    per_batch = 5 * 2_000
    pattern = ",".join(f'"{field}":{{}}' for field in decoder.fields)
    for _ in range(count // per_batch):
        columns = [[next(texts) for _ in range(2_000)] for _ in decoder.fields]
        if form == "text":
            written = [[f'"{text}"' for text in column] for column in columns]
        else:
            # JSON wants a digit after the point.
            sign = ("-", "")
            written = [[rng.choice(sign) + text.replace(".e", "e") for text in column] for column in columns]
            columns = written
        rows = ("{" + pattern.format(*members) + ',"topic":"smd+1"}' for members in zip(*written, strict=True))
        ticks = decoder.decode(batch_of(row.encode() for row in rows))
        assert len(ticks) == 2_000
        for field, column in zip(decoder.fields, columns, strict=True):
            floats = struct.pack(f"={len(column)}d", *map(float, column))
            assert bytes(ticks.valid(field)) == b"\1" * len(column)
            if bytes(ticks.values(field)) != floats:
                pairs = zip(column, ticks.values(field), strict=True)
                wrong = [(text, value) for text, value in pairs if float(text) != value]
                raise AssertionError(f"seed {SEED}: {wrong[:5]}")

"""classifier.pyx: the table of topics, and what it can say without decoding."""

from __future__ import annotations

import pytest

from cpapi_fast.frames.classifier import NOT_JSON, ROUTED, UNDECIDED, Classification, classify_bytes, route_topic
from cpapi_fast.protocol.kinds import FrameKind
from tests.support import frames

NO_CONID = -1
INT64_MAX = 2**63 - 1

TABLE = [
    *[(f"smd+{digits}", FrameKind.MARKET_DATA, int(digits)) for digits in ("0", "1", "265598", "007", str(INT64_MAX))],
    (f"smd+{'0' * 500}8314", FrameKind.MARKET_DATA, 8314),
    ("smd+8314@NYSE", FrameKind.MARKET_DATA, 8314),
    ("smd+8314@N", FrameKind.MARKET_DATA, 8314),
    ("smd+8314@@", FrameKind.MARKET_DATA, 8314),
    ("smd+8314@É\x00\n", FrameKind.MARKET_DATA, 8314),
    ("smd+0;;;495512557/1,497222760/-1", FrameKind.MARKET_DATA, 0),
    ("smd+28812380;;;495512557/1", FrameKind.MARKET_DATA, 28812380),
    ("smd+28812380;;;;", FrameKind.MARKET_DATA, 28812380),
    (f"smd+{INT64_MAX}@NYSE", FrameKind.MARKET_DATA, INT64_MAX),
    ("system", FrameKind.SYSTEM, NO_CONID),
    *[(topic, FrameKind.ORDER, NO_CONID) for topic in ("sor", "ortd", "ord")],
    *[(topic, FrameKind.PNL, NO_CONID) for topic in ("spl", "pnl", "ssd", "sld", "ssl")],
    *[(f"{topic}+U1234567", FrameKind.PNL, NO_CONID) for topic in ("spl", "pnl", "ssd", "sld", "ssl")],
    ("spl++", FrameKind.PNL, NO_CONID),
    # No conid: it is empty, signed, too big, no digits, or has something else after it.
    *[
        (f"smd+{rest}", FrameKind.OTHER, NO_CONID)
        for rest in (
            *("", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x1", "1a", "a", "1+", "1_0", "٣", "1\n", "1\x00", "@NYSE"),
            *("1@", "1;", "1;;", "1;;;", "1;;x", "1;;@x", ";;;1/1", str(INT64_MAX + 1), str(2**64), str(2**64 + 1)),
            *(f"{INT64_MAX + 1}@NYSE", f"{INT64_MAX + 1};;;1/1", "9" * 400, "1,2", "1/1"),
        )
    ],
    *[(topic, FrameKind.OTHER, NO_CONID) for topic in ("", "s", "sm", "smd", "smd8314", "Smd+1", "SMD+1", " smd+1")],
    *[
        (topic, FrameKind.OTHER, NO_CONID)
        for topic in ("umd+1", "smh+1", "sbd+DU1234567+1", "str", "sts", "act", "tic")
    ],
    *[
        (f"{topic}+", FrameKind.OTHER, NO_CONID)
        for topic in ("spl", "pnl", "ssd", "sld", "ssl", "sor", "ord", "system")
    ],
    *[
        (f"{topic}x", FrameKind.OTHER, NO_CONID)
        for topic in ("spl", "pnl", "ssd", "sld", "ssl", "sor", "ord", "system")
    ],
    *[(f"{topic}+U1234567", FrameKind.OTHER, NO_CONID) for topic in ("sor", "ortd", "ord", "system", "str", "splx")],
    *[(topic, FrameKind.OTHER, NO_CONID) for topic in ("so", "or", "sp", "pn", "syste", "Sor", "SYSTEM", "sor\x00")],
]


@pytest.mark.parametrize(("topic", "kind", "conid"), TABLE)
def test_table(topic: str, kind: FrameKind, conid: int):
    assert route_topic(topic.encode()) == (kind, conid)


@pytest.mark.parametrize(("topic", "kind", "conid"), TABLE)
@pytest.mark.parametrize("form", ['{"topic":"%s"}', '{"a":"1","topic":"%s"}', '{"a":"1","topic":"%s","b":[]}'])
def test_table_in_a_frame(form: str, topic: str, kind: FrameKind, conid: int):
    """First, last, and third key: the places where the gateway writes it, and each another way through the code."""
    if any(ord(character) < 0x20 for character in topic):
        # Such a byte has to be escaped in JSON; that is the other layer's matter.
        assert classify_bytes((form % topic).encode()).verdict == UNDECIDED
        return
    answer = classify_bytes((form % topic).encode())
    assert (answer.verdict, answer.kind, answer.conid) == (ROUTED, kind, conid)
    span = (form % topic).encode()[answer.topic_start : answer.topic_start + answer.topic_length]
    assert span == topic.encode()


@pytest.mark.parametrize("data", frames.HEARTBEATS)
def test_heartbeat(data: bytes):
    answer = classify_bytes(data)
    assert (answer.verdict, answer.kind, answer.conid) == (ROUTED, FrameKind.HEARTBEAT, NO_CONID)
    assert (answer.topic_start, answer.topic_length) == (-1, 0)


@pytest.mark.parametrize("data", [b"{ }", b" {}", b"{} ", b"{}\n", b"{\n}"])
def test_an_empty_object_with_white_space_is_not_a_heartbeat(data: bytes):
    assert classify_bytes(data).kind == FrameKind.OTHER


@pytest.mark.parametrize(
    "data", [b"ech+hb", b"<html>", b"\xef\xbb\xbf{}", b" ", b"\n", b"\x00", b"}", b"]", b",", b":", b"'a'", b"T", b"N"]
)
def test_text_that_cannot_start_json_needs_no_decoder(data: bytes):
    answer = classify_bytes(data)
    assert (answer.verdict, answer.kind) == (NOT_JSON, FrameKind.MALFORMED)


@pytest.mark.parametrize(
    "data",
    [
        # No object.
        *(b"[]", b'["topic"]', b'"a"', b"0", b"-1", b"9", b"true", b"false", b"null", b" [1]"),
        # No topic, or none that is a plain string.
        *(b'{"a":1}', b'{"topic":1}', b'{"topic":null}', b'{"topic":{"topic":"sor"}}', b'{"a":{"topic":"sor"}}'),
        *(b'{"t\\u006fpic":"sor"}', b'{"topic":"s\\u006fr"}', b'{"topic":"a\\"b"}'),
        # Cut.
        *(b"{", b'{"', b'{"topic', b'{"topic"', b'{"topic":', b'{"topic":"', b'{"topic":"sor'),
    ],
)
def test_which_texts_are_undecided(data: bytes):
    assert classify_bytes(data).verdict == UNDECIDED


@pytest.mark.parametrize("kind", frames.VALID)
def test_every_fixture_with_a_topic_is_routed_without_a_decode(kind: FrameKind):
    for data in frames.VALID[kind]:
        answer = classify_bytes(data)
        if kind is not FrameKind.OTHER:
            assert (answer.verdict, answer.kind) == (ROUTED, kind), data
        elif answer.verdict == ROUTED:
            assert answer.kind == kind, data


def test_a_classification_cannot_be_made_by_a_call():
    with pytest.raises(TypeError, match="classify_bytes"):
        Classification()


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: memoryview(b"ab" + data + b"cd")[2:-2]])
def test_bytes_like(make):
    data = b'{"a":1,"topic":"smd+8314"}'
    answer = classify_bytes(make(data))
    assert (answer.kind, answer.conid) == (FrameKind.MARKET_DATA, 8314)


@pytest.mark.parametrize("data", ["text", None, 1])
def test_not_bytes_like(data: object):
    with pytest.raises(TypeError):
        classify_bytes(data)


def test_borrowed_memory_is_released():
    data = bytearray(b'{"topic":"sor"}')
    classify_bytes(data)
    data.clear()  # a buffer still exported would make this a BufferError


def test_the_topic_of_a_long_frame_is_found_at_both_ends():
    filler = b'"' + b"x" * 5_000_000 + b'"'
    last = b'{"a":' + filler + b',"topic":"smd+8314"}'
    first = b'{"topic":"smd+8314","a":' + filler + b"}"
    assert classify_bytes(last).topic_start == len(last) - len('smd+8314"}')
    assert classify_bytes(first).topic_start == len('{"topic":"')


@pytest.mark.parametrize("room", [0, 1, 8, 40])
@pytest.mark.parametrize("count", range(21))
def test_every_number_of_digits_at_the_end_of_every_short_frame(count: int, room: int):
    # Eight digits are read at once: each count, and each byte that may stand in the place of a digit, on both sides of
    # the lengths at which a frame is long enough for that.
    digits = "12345678901234567890"[:count]
    for place in range(count):
        for byte in "/:09pw\x30\x7f":
            topic = f"smd+{digits[:place]}{byte}{digits[place + 1 :]}"
            _assert_tail(topic, room)
    for other in ("", "@NYSE", "é"):
        _assert_tail(f"smd+{digits}{other}", room)


def _assert_tail(topic: str, room: int) -> None:
    data = f'{{"a":"{"x" * room}","topic":"{topic}"}}'.encode()
    answer = classify_bytes(data)
    kind, conid = route_topic(topic.encode())
    assert (answer.verdict, answer.kind, answer.conid) == (ROUTED, kind, conid), data
    assert data[answer.topic_start : answer.topic_start + answer.topic_length] == topic.encode()

"""The fast classifier equals the slow oracle: on every text that hypothesis or the seeded generator comes up with.

The generator makes 200,000 texts in a normal run. More, fewer (where the same run comes again on another interpreter or
build), or others, by environment:

    CPAPI_FAST_CASES=5000000 CPAPI_FAST_TEST_SEED=7 python -m pytest tests/property
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cpapi_fast.frames.classifier import route_topic
from cpapi_fast.protocol.kinds import FrameKind
from tests.oracles import generator, reference
from tests.oracles.comparison import BATCH_SIZE, ORACLE, Oracle, check_all
from tests.support import frames

CASES = int(os.environ.get("CPAPI_FAST_CASES", "200000"))
SEED = int(os.environ.get("CPAPI_FAST_TEST_SEED", "20260101"))

#: Time limits belong to no single example: the machine may be busy.
EXAMPLES = settings(max_examples=400, deadline=None)

SPACE = st.sampled_from(generator.SPACES)
TOPIC = st.one_of(
    st.sampled_from([topic.decode() for topic in (*generator.ROUTED_TOPICS, *generator.OTHER_TOPICS)]),
    st.from_regex(r"smd\+[0-9]{0,22}(@|;;;|;|)[A-Z0-9/,-]{0,4}", fullmatch=True),
    st.from_regex(r"(sor|ortd|ord|spl|pnl|ssd|sld|ssl|system|smd)\+?[A-Z0-9]{0,3}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
KEY = st.one_of(
    st.sampled_from(["31", "conid", "error", "message", "xtopic", "topic ", '"topic"', "\\topic", 'a","topic":"sor']),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
).filter(lambda key: key != "topic")
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), TOPIC)
VALUE = st.recursive(
    st.one_of(SCALAR.filter(lambda value: value not in (float("inf"), float("-inf"))), KEY),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(KEY, st.just("topic")), inner, max_size=3),
    ),
    max_leaves=8,
)


@st.composite
def strings(draw: st.DrawFn, text: str) -> bytes:
    """A JSON string, any of its characters written as an escape."""
    parts = []
    for character in text:
        if draw(st.integers(0, 9)) == 0:
            units = character.encode("utf-16-be")
            parts += [f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)]
        else:
            parts.append(json.dumps(character, ensure_ascii=False)[1:-1])
    return ('"' + "".join(parts) + '"').encode()


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A valid object: members in any order, white space anywhere, `topic` once or not at all."""
    members = [
        (draw(strings(key)), json.dumps(value, ensure_ascii=draw(st.booleans())).encode())
        for key, value in draw(st.dictionaries(KEY, VALUE, max_size=4)).items()
    ]
    if draw(st.integers(0, 9)):
        topic = strings(draw(TOPIC)) if draw(st.integers(0, 9)) else VALUE.map(lambda value: json.dumps(value).encode())
        member = (draw(strings("topic")) if draw(st.booleans()) else b'"topic"', draw(topic))
        members.insert(draw(st.integers(0, len(members))), member)
    rows = [draw(SPACE) + key + draw(SPACE) + b":" + draw(SPACE) + value + draw(SPACE) for key, value in members]
    return draw(SPACE) + b"{" + b",".join(rows) + b"}" + draw(SPACE)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A valid object after a few bytes were changed, put in, taken out, or cut off."""
    text = bytearray(draw(objects()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        insert = draw(st.one_of(st.sampled_from(generator.SOUP), st.binary(max_size=2)))
        text[at : at + draw(st.integers(0, 3))] = insert
    return bytes(text[: draw(st.integers(len(text) // 2, len(text)))] if draw(st.booleans()) else text)


@EXAMPLES
@given(objects())
def test_every_valid_object_is_routed_as_a_full_decode_routes_it(data: bytes):
    assert reference.decode_error(data) is None
    assert len(reference.topic_members(data)) <= 1
    check_all([data])


@EXAMPLES
@given(damaged())
def test_damaged_text_gets_an_answer_that_is_allowed(data: bytes):
    check_all([data])


@EXAMPLES
@given(st.one_of(st.binary(max_size=64), st.lists(st.sampled_from(generator.SOUP), max_size=16).map(b"".join)))
def test_any_bytes_get_an_answer_that_is_allowed(data: bytes):
    check_all([data])


@EXAMPLES
@given(TOPIC)
def test_the_table_in_c_is_the_table(topic: str):
    expected = reference.route(topic)
    assert route_topic(topic.encode()) == (expected.kind, -1 if expected.conid is None else expected.conid)


def test_seeded_texts():
    """200,000 texts, or as many as requested; the message of a failure has the seed and the text."""
    texts = generator.Generator(SEED)
    families: Counter[str] = Counter()

    def counted():
        for case in texts.cases(CASES):
            families[case.family] += 1
            yield case.data

    try:
        assert check_all(counted()) == CASES
    except AssertionError as error:
        raise AssertionError(f"seed {SEED}, among the first {sum(families.values())} texts: {error}") from error
    # A family that is hardly ever made proves nothing.
    assert families.keys() == texts.families
    assert min(families.values()) > CASES // 1_000


def test_a_seed_gives_the_same_texts_again():
    first, again, other = (list(generator.Generator(seed).cases(500)) for seed in (SEED, SEED, SEED + 1))
    assert first == again
    assert first != other


def test_seeded_texts_are_a_mix():
    """Every kind, valid and not, is well represented, and so are texts where a probe could be fooled."""
    kinds: Counter[FrameKind] = Counter()
    several = repeated = 0
    for case in generator.Generator(SEED).cases(20_000):
        decoded = reference.full_decode(case.data)
        kinds[decoded.kind] += 1
        if decoded.kind is FrameKind.MALFORMED:
            several += len(reference.allowed_answers(case.data)) > 1
        else:
            repeated += reference.has_repeated_topic(case.data)
    assert set(kinds) == set(FrameKind)
    assert min(kinds.values()) > 50
    assert several > 1_000
    assert repeated > 500


def test_huge_texts():
    assert check_all(case.data for case in generator.huge(1_200_000)) == 14


def test_every_fixture_cut_at_every_byte():
    texts = {text[:end] for text in frames.corpus() for end in range(len(text) + 1)}
    texts |= {text[start:] for text in frames.corpus() for start in range(0, len(text), 7)}
    assert check_all(texts) > 9_000


@pytest.mark.parametrize(
    "text",
    [
        b'{"server_id":"q1","31":"1.5","topic":"smd+8314"}',
        b'{"topic":"spl","args":{}}',
        b'{ "a" : "\\"}" , "topic" : "smd+8314@NYSE" , "b" : [] }',
        b'{"t\\u006fpic":"smd\\u002b1","x":{"topic":"sor"}}',
        b'{"a":"x,\\"topic\\":\\"smd+1"}',
    ],
)
def test_every_change_of_one_byte(text: bytes):
    changed = (text[:at] + bytes([byte]) + text[at + 1 :] for at in range(len(text)) for byte in range(256))
    assert check_all(changed) == len(text) * 256


TRAPS = [
    # Tails that look like a topic and are none: inside a string, in an array, after an escaped quote.
    b'{"a":"x,\\"topic\\":\\"smd+1"}',
    b'{"a":"x\\\\","topic":"smd+1"}',
    b'{"a":"x\\\\\\",\\"topic\\":\\"smd+1"}',
    b'{"a":[{"topic":"smd+1"}]}',
    b'{"a":{"b":1,"topic":"smd+1"}}',
    b'["a","topic":"smd+1"}',
    b'[{"a":1,"topic":"smd+1"}',
    b'{"a":{"b":1,"topic":"smd+1"}',
    b'"x,"topic":"smd+1"}',
    b'{"a",\\"topic":"smd+1"}',
    b'{"a":"b","topic":"topic","topic":"smd+1"}',
    b'{"a":1,"topic":"smd+1"}}',
    b'{"a":1,"topic":"smd+1"} ',
    b'{"a":1,"topic":"smd+1"}\x00',
    b'{"a":1,"topic":"smd+1" }',
    b'{"a":1,"topic": "smd+1"}',
    b'{"a":1 ,"topic":"smd+1"}',
    b'{"a":1, "topic":"smd+1"}',
    b'{"topic":"smd+1","topic":7}',
    b',"topic":"smd+1"}',
    b'"topic":"smd+1"}',
    b'{"topic":"smd+1"',
    b'{"topic":"smd+1"}',
    b'{"topic":"smd+1":1}',
    b'{"topic":"smd+1" "a":1}',
    b'{"topic":"smd+1\\"}',
    b'{"topic":"smd+1\\\\"}',
    b'{"xtopic":"smd+1"}',
    b'{"a":1,"\\"topic":"smd+1"}',
    b'{"a\\",\\"topic":"smd+1"}',
    b'{"topic":"smd+' + b"0" * 250 + b'1"}',
    b'{"a":1,"topic":"smd+' + b"0" * 250 + b'1"}',
    b'{"a":1,"topic":"smd+1@' + b"x" * 1_000 + b'"}',
]


@pytest.mark.parametrize("text", TRAPS)
def test_traps(text: bytes):
    check_all([text])


@pytest.mark.parametrize(
    "wrong",
    [
        Oracle(full_decode=lambda data: reference.full_decode(data)._replace(kind=FrameKind.OTHER)),
        Oracle(allowed_answers=lambda data: _spoilt(data, lambda answer: answer._replace(kind=FrameKind.SYSTEM))),
        Oracle(allowed_answers=lambda data: _spoilt(data, lambda answer: answer._replace(conid=8315))),
        Oracle(allowed_answers=lambda data: _spoilt(data, lambda answer: answer._replace(topic="smd+8315"))),
        Oracle(allowed_answers=lambda data: _spoilt(data, lambda answer: answer._replace(target="8314@NYSE"))),
        Oracle(topic_span=lambda data: (reference.topic_span(data)[0] + 1, 8)),
        Oracle(topic_span=lambda data: reference.ESCAPED_SPAN),
        Oracle(payload=lambda data, answer: {"topic": "smd+8314"}),
        Oracle(payload=lambda data, answer: reference.Refused),
    ],
)
def test_a_wrong_result_is_detected(wrong: Oracle):
    """The comparison fails for any error in any column."""
    text = b'{"31":"1.5","topic":"smd+8314"}'
    check_all([text], ORACLE)
    with pytest.raises(AssertionError):
        check_all([text], wrong)


def test_a_wrong_reason_is_noticed():
    with pytest.raises(AssertionError):
        check_all([b"ech+hb"], Oracle(decode_error=lambda data: "no reason"))


def test_a_wrong_answer_is_noticed_in_the_last_batch_and_in_full_ones():
    text = b'{"31":"1.5","topic":"smd+8314"}'
    wrong = Oracle(topic_span=lambda data: (0, 8))
    for count in (1, BATCH_SIZE, BATCH_SIZE + 1):
        with pytest.raises(AssertionError, match="the topic lies at"):
            check_all([text] * count, wrong)


def _spoilt(data: bytes, spoil: Callable[[reference.Answer], reference.Answer]) -> frozenset[reference.Answer]:
    return frozenset(map(spoil, reference.allowed_answers(data)))

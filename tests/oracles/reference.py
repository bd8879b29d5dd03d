"""The slow and simple oracle of routes, which decodes the whole text with orjson.

It shares no code with the classifier. Valid JSON is what orjson accepts. The position of the topic, and whether its key
occurs twice, cannot be seen in a decoded value, so a scan over the tokens of the text finds them.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from cpapi_fast.protocol.kinds import FrameKind

#: The largest conid that fits the int64 column.
MAX_CONID: Final = 2**63 - 1

ORDER_TOPICS: Final = frozenset({"sor", "ortd", "ord"})
PNL_TOPICS: Final = frozenset({"spl", "pnl", "ssd", "sld", "ssl"})

_MARKET_DATA = re.compile(r"smd\+([0-9]+)((?:@|;;;).+)?", re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]', re.DOTALL)

# The only thing that a probe may take for a topic in a text that is not JSON: the key and a value without quote and
# backslash, with JSON's white space around the colon. In a lookahead, because two of them may overlap.
_SPELLING = re.compile(rb'(?="topic"[ \t\n\r]*:[ \t\n\r]*"([^"\\]*)")')


class Answer(NamedTuple):
    """What a frame is, as `Frame` shows it."""

    kind: FrameKind
    topic: str | None = None
    conid: int | None = None
    target: str | None = None


class Refused:
    """Stands for the payload of a text that cannot be decoded, not even after repair."""


HEARTBEAT: Final = Answer(FrameKind.HEARTBEAT)
MALFORMED: Final = Answer(FrameKind.MALFORMED)
NO_TOPIC: Final = Answer(FrameKind.OTHER)

#: The position of a topic that is missing, and of one that is written with escapes.
NO_SPAN: Final = (-1, 0)
ESCAPED_SPAN: Final = (-1, -1)


def route(topic: str) -> Answer:
    """The table of topics."""
    market_data = _MARKET_DATA.fullmatch(topic)
    # Counted before it is converted: CPython refuses to convert more than some thousand digits.
    if market_data is not None and len(market_data[1].lstrip("0")) <= len(str(MAX_CONID)):
        conid = int(market_data[1].lstrip("0") or "0")
        if conid <= MAX_CONID:
            target = None if market_data[2] is None else topic.removeprefix("smd+")
            return Answer(FrameKind.MARKET_DATA, topic, conid, target)
    if topic == "system":
        return Answer(FrameKind.SYSTEM, topic)
    if topic in ORDER_TOPICS:
        return Answer(FrameKind.ORDER, topic)
    head, plus, account = topic.partition("+")
    if head in PNL_TOPICS and (account or not plus):
        return Answer(FrameKind.PNL, topic)
    return Answer(FrameKind.OTHER, topic)


def decode_error(data: bytes) -> str | None:
    """The decoder's reason for refusing a text; None when it is JSON."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return str(error)
    return None


def full_decode(data: bytes) -> Answer:
    """The one answer of `strict=True`: MALFORMED exactly for what orjson refuses (but empty is a heartbeat)."""
    if data in (b"", b"{}"):
        return HEARTBEAT
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return MALFORMED
    topic = value.get("topic") if isinstance(value, dict) else None
    return route(topic) if isinstance(topic, str) else NO_TOPIC


def spelled_topics(data: bytes) -> dict[tuple[int, int], str]:
    """Everything in a text that looks like an unescaped topic: its place and its text."""
    return {match.span(1): match[1].decode("utf-8", "replace") for match in _SPELLING.finditer(data)}


def allowed_answers(data: bytes) -> frozenset[Answer]:
    """What a lazy classification may say: one answer for JSON without a repeated topic, else what a probe may find."""
    decoded = full_decode(data)
    if decoded.kind is FrameKind.MALFORMED:
        return frozenset({MALFORMED, *map(route, spelled_topics(data).values())})
    members = topic_members(data)
    if len(members) > 1:
        topics = (orjson.loads(member.value) if member.value else None for member in members)
        return frozenset(NO_TOPIC if topic is None else route(topic) for topic in topics)
    return frozenset({decoded})


class TopicMember(NamedTuple):
    """One `"topic": value` of the outermost object, as it is written."""

    key: bytes
    #: The string literal with its quotes; None when the value is no string.
    value: bytes | None
    #: Where the literal starts in the text.
    start: int


def topic_members(data: bytes) -> list[TopicMember]:
    """All members of the outermost object whose key decodes to `topic`. The text must be JSON."""
    members: list[TopicMember] = []
    depth = 0
    key: bytes | None = None
    is_value = False
    for match in _TOKEN.finditer(data):
        token = match[0]
        if token in (b"{", b"["):
            if depth == 0 and token == b"[":
                return []
            if depth == 1 and key is not None and _is_topic(key):
                members.append(TopicMember(key, None, match.start()))
            depth += 1
        elif token in (b"}", b"]"):
            depth -= 1
        elif depth != 1:
            continue
        elif token == b":":
            is_value = True
            if (
                key is not None
                and _is_topic(key)
                and data[match.end() :].lstrip(b" \t\n\r")[:1] not in (b'"', b"{", b"[")
            ):
                members.append(TopicMember(key, None, match.end()))
        elif token == b",":
            key, is_value = None, False
        elif is_value:
            if key is not None and _is_topic(key):
                members.append(TopicMember(key, token, match.start()))
        else:
            key = token
    return members


def _is_topic(literal: bytes) -> bool:
    return literal == b'"topic"' or (b"\\" in literal and orjson.loads(literal) == "topic")


def has_repeated_topic(data: bytes) -> bool:
    """Whether a JSON text has the key `topic` more than once in its outermost object: the promise leaves it out."""
    return len(topic_members(data)) > 1


def topic_span(data: bytes) -> tuple[int, int]:
    """(start, length) of the topic of a JSON text without a repeated one, as the columns of a batch give it."""
    for member in topic_members(data):
        if member.value is not None:
            is_verbatim = member.key == b'"topic"' and b"\\" not in member.value
            return (member.start + 1, len(member.value) - 2) if is_verbatim else ESCAPED_SPAN
    return NO_SPAN


def payload(data: bytes, answer: Answer) -> Any:
    """What `Frame.payload` gives for this answer: the decoded value, the repaired one, None, or Refused."""
    if answer.kind in (FrameKind.HEARTBEAT, FrameKind.MALFORMED):
        return None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return orjson.loads(data.decode("utf-8", "replace"))
        except orjson.JSONDecodeError:
            return Refused


def channel(answer: Answer, decoded: Any) -> str | None:
    """The finer word to route on."""
    if answer.topic is not None:
        return answer.topic.partition("+")[0]
    if isinstance(decoded, dict):
        return next((word for word in ("error", "result", "message") if word in decoded), None)
    return None

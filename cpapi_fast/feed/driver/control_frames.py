"""Reads the payloads of inspected frames, in bounded time: `sts` flags and words, errors, and the header of `smd`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.frame import Frame
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.members import Members, Words

#: Larger frames are not decoded to read one member. Those that the gateway sends have a few hundred bytes.
MAX_CONTROL_BYTES: Final = 256 * 1024

#: How many bytes of a larger frame are searched for the key that names its channel.
_START_BYTES: Final = 1024


class SessionFlags(NamedTuple):
    """The flags of an `sts` frame, None for what it does not contain, and the gateway's words in it, possibly empty."""

    authenticated: bool | None
    connected: bool | None
    competing: bool | None
    words: str = ""


class SmdHeader(NamedTuple):
    """The members of an `smd` frame that distinguish a snapshot from a tick, and one stream from another."""

    has_availability: bool
    updated_ms: int | None
    stream_id: str | None


def payload_of(frame: Frame) -> dict[str, Any]:
    """The payload of a frame; an empty object if it is not a JSON object, or larger than a control frame can be."""
    if len(frame) > MAX_CONTROL_BYTES:
        return {}
    try:
        payload = frame.payload
    except MalformedPayloadError:
        return {}
    return payload if isinstance(payload, dict) else {}


def is_error(frame: Frame) -> bool:
    """Whether a frame of the kind OTHER reports an error of the gateway; such a frame may have no topic."""
    topic = frame.topic
    if topic is not None:
        return channel_of(topic) == "error"
    if len(frame) > MAX_CONTROL_BYTES:
        return b'"error"' in frame.raw[:_START_BYTES]
    try:
        return frame.channel == "error"
    except MalformedPayloadError:
        return False


def channel_of(topic: str | None) -> str | None:
    """The topic up to its first `+`; None for None. Unlike `Frame.channel`, this decodes no payload."""
    return None if topic is None else topic.partition("+")[0]


def read_status(payload: dict[str, Any]) -> SessionFlags:
    """The flags and words of an `sts` frame, which is complete or a part."""
    arguments = Members(payload.get("args"), [])
    authenticated, connected, competing = (arguments.flag(name) for name in ("authenticated", "connected", "competing"))
    words = Words(arguments.words())
    if words.meaning is Meaning.COMPETING and not authenticated:
        competing = True
    return SessionFlags(authenticated, connected, competing, words.shown)


def read_smd_header(payload: dict[str, Any]) -> SmdHeader:
    """The header of an `smd` frame."""
    updated, stream = payload.get("_updated"), payload.get("server_id")
    return SmdHeader(
        has_availability="6509" in payload,
        updated_ms=updated if isinstance(updated, int) else None,
        stream_id=stream if isinstance(stream, str) else None,
    )

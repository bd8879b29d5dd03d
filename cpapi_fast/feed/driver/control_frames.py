"""Reads the payloads of inspected frames: `sts` flags and words, and the header of `smd` frames."""

from __future__ import annotations

from typing import Any, NamedTuple

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.frame import Frame
from cpapi_fast.meaning import Meaning
from cpapi_fast.protocol.members import Members, Words


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
    """The payload of a frame; an empty object if it is not a JSON object."""
    try:
        payload = frame.payload
    except MalformedPayloadError:
        return {}
    return payload if isinstance(payload, dict) else {}


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

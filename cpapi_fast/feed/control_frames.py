"""What frames say about the connection itself and about subscriptions: read of the few that are worth a look."""

from __future__ import annotations

from typing import Any, NamedTuple

from cpapi_fast.errors import MalformedPayloadError
from cpapi_fast.frames.frame import Frame


class SessionFlags(NamedTuple):
    """Of an `sts`; None for what it does not say."""

    authenticated: bool | None
    connected: bool | None
    competing: bool | None


class SmdHeader(NamedTuple):
    """Of an `smd` frame: what tells a snapshot from a tick, and one stream from another."""

    has_availability: bool
    updated_ms: int | None
    stream_id: str | None


def payload_of(frame: Frame) -> dict[str, Any]:
    """The payload if it is an object; else, and for what is not JSON, an empty one."""
    try:
        payload = frame.payload
    except MalformedPayloadError:
        return {}
    return payload if isinstance(payload, dict) else {}


def read_status(payload: dict[str, Any]) -> SessionFlags:
    """Read an `sts`, which comes whole or in fragments."""
    arguments = payload.get("args")
    if not isinstance(arguments, dict):
        return SessionFlags(None, None, None)
    return SessionFlags(*(_flag(arguments, name) for name in ("authenticated", "connected", "competing")))


def read_answer(payload: dict[str, Any]) -> SmdHeader:
    """Read what an `smd` frame says of itself."""
    updated, stream = payload.get("_updated"), payload.get("server_id")
    return SmdHeader(
        has_availability="6509" in payload,
        updated_ms=updated if isinstance(updated, int) else None,
        stream_id=stream if isinstance(stream, str) else None,
    )


def _flag(body: dict[str, Any], name: str) -> bool | None:
    value = body.get(name)
    return value if isinstance(value, bool) else None

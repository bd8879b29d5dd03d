"""One frame of each shape of protocol.md, and the JSON value that a message and its extras stand for."""

from __future__ import annotations

from typing import Any, Final

from cpapi_fast.messages import JsonObject
from tests.support.frames import VALID

#: Frames of every topic, as the gateway writes them. Only JSON objects.
SHAPES: Final = [raw for frames in VALID.values() for raw in frames if raw.lstrip().startswith(b"{")]


def rebuilt(message: JsonObject) -> dict[str, Any]:
    """The JSON object, from the members that the class of a message has, its rows, and its extras.

    It does not use `raw` of a message for anything but the values of known members.
    """
    body_key = type(message).body_key
    extras = message.extras
    found = {key: value for key, value in extras.items() if key != body_key}
    members = type(message).members()
    body = message.raw.get(body_key) if body_key else None
    if body_key is not None and body_key in message.raw:
        found[body_key] = dict(extras.get(body_key, {})) if isinstance(body, dict) else body
    for name, member in members.items():
        is_inside = body_key is not None and not member.is_top
        source, target = (body, found.get(body_key)) if is_inside else (message.raw, found)
        if not isinstance(source, dict) or member.key not in source:
            continue
        value = source[member.key]
        rows = getattr(message, name) if type(member).__name__ == "RowsMember" else ()
        target[member.key] = _with_rows(value, list(rows))
    return found


def _with_rows(value: Any, rows: list[JsonObject]) -> Any:
    # A value whose objects are replaced by what the rows stand for, in order.
    if not rows:
        return value
    if isinstance(value, list):
        return [rebuilt(rows.pop(0)) if isinstance(entry, dict) else entry for entry in value]
    if len(rows) == 1 and rows[0].raw is value:
        return rebuilt(rows[0])
    return {key: rebuilt(rows.pop(0)) if isinstance(entry, dict) else entry for key, entry in value.items()}

"""Encoding as in the gateway: unmasked WebSocket frames, and JSON with numbers as Java writes them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

OPCODE_CONTINUATION: Final = 0x0
OPCODE_TEXT: Final = 0x1
OPCODE_BINARY: Final = 0x2
OPCODE_CLOSE: Final = 0x8
OPCODE_PING: Final = 0x9
OPCODE_PONG: Final = 0xA


def encode_frame(payload: bytes, opcode: int = OPCODE_BINARY, *, fin: bool = True) -> bytes:
    """One WebSocket frame from server to client. The gateway writes data with the binary opcode and FIN set."""
    first = (0x80 if fin else 0x00) | opcode
    length = len(payload)
    if length < 126:
        return bytes((first, length)) + payload
    if length < 65536:
        return bytes((first, 126)) + length.to_bytes(2, "big") + payload
    return bytes((first, 127)) + length.to_bytes(8, "big") + payload


def encode_close(code: int, reason: str = "") -> bytes:
    """A CLOSE frame."""
    return encode_frame(code.to_bytes(2, "big") + reason.encode(), OPCODE_CLOSE)


def java_double(value: float) -> str:
    """A double as Java's `Double.toString` writes it: `1.0`, `0.56`, `1.22E7`, `2.0201311791131118E8`."""
    if value == 0.0 or 1e-3 <= abs(value) < 1e7:
        # In this range Python writes no exponent, and its shortest form is the same as Java's.
        return repr(float(value))
    sign, digits, _ = Decimal(repr(float(value))).normalize().as_tuple()
    exponent = Decimal(repr(float(value))).adjusted()
    text = "".join(map(str, digits))
    return f"{'-' if sign else ''}{text[0]}.{text[1:] or '0'}E{exponent}"


def dumps(value: Any) -> str:
    """Compact JSON with numbers as Java writes them: an int stays an int, a float always has a point."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dumps(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, float):
        return java_double(value)
    return json.dumps(value)


def payload(value: Any) -> bytes:
    """`value` as JSON bytes, the payload of a frame."""
    return dumps(value).encode()

"""Frames without a socket: the corpus of our own fixtures, and the bytes of WebSocket frames.

The fixtures have the shapes that protocol.md documents, with values of our own. Each file of `tests/data` has
the frames of one kind, so the corpus does not depend on the oracle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cpapi_fast.protocol.kinds import FrameKind

DATA: Final = Path(__file__).parents[1] / "data"

#: Invented ids of the fixtures.
ACCOUNT: Final = "U1234567"
PAPER_ACCOUNT: Final = "DU1234567"
SESSION: Final = "0123456789abcdef0123456789abcdef"

#: Server frames go out unmasked; these are the opcodes of RFC 6455.
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def _lines(kind: FrameKind) -> list[bytes]:
    return (DATA / f"{kind.label}.jsonl").read_bytes().splitlines()


#: Valid JSON as the gateway writes it, by kind.
VALID: Final[dict[FrameKind, list[bytes]]] = {
    kind: _lines(kind)
    for kind in (FrameKind.SYSTEM, FrameKind.MARKET_DATA, FrameKind.ORDER, FrameKind.PNL, FrameKind.OTHER)
}

#: The two texts of a heartbeat without a topic.
HEARTBEATS: Final = [b"", b"{}"]

#: Not JSON, and nothing in it looks like a topic: MALFORMED however lazy one is.
MALFORMED: Final = [
    b"ech+hb",
    b"<html><head><title>Login</title></head><body></body></html>",
    b"{",
    b"{}{}",
    b"\x00",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":1e400}',
    b'{"a":"\\ud83d"}',
    b"{'topic':'smd+8314'}",
    b'{"message":"\x99"}',
    b'{"topic":smd+8314}',
    b'{"topic":"smd+8314',
    b'{"topic":"smd\\u002b8314"',
]

#: A byte that is not UTF-8 inside a string, as seen on the direct route; the topic is first or last.
NOT_UTF8: Final = [
    b'{"topic":"str","args":[{"company_name":"CAF\x99","account":"U1234567"}]}',
    b'{"topic":"sor","args":[{"companyName":"SOCI\xc9T\xc9","acct":"U1234567"}]}',
    b'{"conidEx":"8314","55":"IBM\x99","conid":8314,"topic":"smd+8314"}',
]


def smd(conid: int, *, size: int = 151, target: str | None = None) -> bytes:
    """A delta with the topic last, padded to `size` bytes where it is shorter."""
    name = str(conid) if target is None else target
    head = f'{{"server_id":"q1","conidEx":"{name}","conid":{conid},"_updated":1767225600123,"6119":"q1","31":"187.05'
    tail = f'","topic":"smd+{name}"}}'
    return (head + "0" * max(0, size - len(head) - len(tail)) + tail).encode()


def corpus() -> list[bytes]:
    """Every fixture: valid, malformed, and with a byte that is not UTF-8."""
    valid = [text for texts in VALID.values() for text in texts]
    return [*HEARTBEATS, *valid, *MALFORMED, *NOT_UTF8]


def ws_frame(payload: bytes, opcode: int = BINARY, fin: bool = True, rsv: int = 0) -> bytes:
    """One unmasked server frame with the shortest header that fits; `rsv` is the three reserved bits as a number."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    length = len(payload)
    if length < 126:
        header = struct.pack("!BB", first, length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", first, 126, length)
    else:
        header = struct.pack("!BBQ", first, 127, length)
    return header + payload


def ws_frames(payloads: Iterable[bytes], opcode: int = BINARY) -> bytes:
    """Several whole messages, one after the other."""
    return b"".join(ws_frame(payload, opcode) for payload in payloads)


def ws_fragments(payload: bytes, sizes: Iterable[int], opcode: int = BINARY) -> list[bytes]:
    """One message as fragments: one of each size, and a final one with what is left (nothing, if need be)."""
    frames = []
    for size in sizes:
        frames.append(ws_frame(payload[:size], opcode, fin=False))
        payload, opcode = payload[size:], CONTINUATION
    frames.append(ws_frame(payload, opcode))
    return frames


def ws_close(code: int | None = 1000, reason: str = "") -> bytes:
    """A CLOSE frame; without a code its payload is empty."""
    return ws_frame(b"" if code is None else struct.pack("!H", code) + reason.encode(), CLOSE)


def ws_ping(payload: bytes = b"") -> bytes:
    """A PING frame."""
    return ws_frame(payload, PING)

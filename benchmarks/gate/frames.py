"""What the gate feeds: `smd` frames of 151 bytes, one set for each place where the topic can stand.

Apart from the benchmarks' corpus on purpose: a change there must not move the gate's numbers. Whoever changes a frame
here changes what a path means, and gives the path a new name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

FRAME_BYTES: Final = 151
CONIDS: Final = tuple(range(265_598, 265_608))

_PRICES: Final = (
    '"_updated":1777552119103,"6119":"q10","84":"123.45","31":"123.46","85":"300","88":"1,200","6509":"{pad}"'
)


def _padded(template: str, conid: int, length: int) -> bytes:
    bare = template.replace("{conid}", str(conid))
    frame = bare.replace("{pad}", "1" * (length - len(bare) + len("{pad}"))).encode()
    if len(frame) != length:
        raise AssertionError(f"a frame of {len(frame)} bytes: {frame!r}")
    return frame


def _all(template: str, length: int = FRAME_BYTES) -> list[bytes]:
    return [_padded(template, conid, length) for conid in CONIDS]


def tail(length: int = FRAME_BYTES) -> list[bytes]:
    """The usual frame: topic last."""
    return _all(f'{{"conid":{{conid}},{_PRICES},"topic":"smd+{{conid}}"}}', length)


def tail_venue() -> list[bytes]:
    """Topic last, of one venue's quotes."""
    return _all(f'{{"conid":{{conid}},{_PRICES},"topic":"smd+{{conid}}@NYSE"}}')


def head() -> list[bytes]:
    """Topic first."""
    return _all(f'{{"topic":"smd+{{conid}}","conid":{{conid}},{_PRICES}}}')


def third_key() -> list[bytes]:
    """Topic after two plain keys."""
    return _all(
        f'{{"server_id":"q10","conid":{{conid}},"topic":"smd+{{conid}}",{_PRICES}}}'.replace('"6119":"q10",', "")
    )


def walk() -> list[bytes]:
    """Topic before the last key, behind nested values, and spaces between the tokens."""
    return _all('{"args": {"list": [1, 2, {"a": "\\"topic\\""}], "pad": "{pad}"}, "topic": "smd+{conid}", "end": 1}')


def odd() -> list[bytes]:
    """A topic written with an escape: only a decoder can tell."""
    return _all(f'{{"conid":{{conid}},{_PRICES},"topic":"smd\\u002b{{conid}}"}}')


def wire(frames: list[bytes]) -> bytes:
    """The frames as a gateway writes them: unmasked, binary."""
    return b"".join(_header(len(frame)) + frame for frame in frames)


def _header(length: int) -> bytes:
    return struct.pack("!BB", 0x82, length) if length < 126 else struct.pack("!BBH", 0x82, 126, length)


#: By the name that `classify/<name>` carries, with the sum of the conids that the classifier itself must find.
CLASSIFIED: Final[dict[str, tuple[Callable[[], list[bytes]], int]]] = {
    "tail": (tail, sum(CONIDS)),
    "tail_60k": (lambda: tail(60_000), sum(CONIDS)),
    "tail_venue": (tail_venue, sum(CONIDS)),
    "head": (head, sum(CONIDS)),
    "third_key": (third_key, sum(CONIDS)),
    "walk": (walk, sum(CONIDS)),
    "odd": (odd, -len(CONIDS)),
}

"""The frames of the gate: `smd` frames of 151 bytes, a set for each position of the topic.

They are separate from the corpora of the benchmarks, so that changes there do not affect the gate. A change to a frame
here changes what a path measures, so the path must get a new name.
"""

from __future__ import annotations

import struct
from typing import Final

FRAME_BYTES: Final = 151
CONIDS: Final = tuple(range(265_598, 265_608))

_PRICES: Final = '"84":"123.45","31":"123.46","85":"300","88":"1,200","6509":"<pad>"'
_BODY: Final = f'"_updated":1777552119103,"6119":"q10",{_PRICES}'
_TEMPLATES: Final = {
    "tail": f'{{"conid":<conid>,{_BODY},"topic":"smd+<conid>"}}',
    "tail_venue": f'{{"conid":<conid>,{_BODY},"topic":"smd+<conid>@NYSE"}}',
    "head": f'{{"topic":"smd+<conid>","conid":<conid>,{_BODY}}}',
    "third_key": f'{{"server_id":"q10","conid":<conid>,"topic":"smd+<conid>","_updated":1777552119103,{_PRICES}}}',
    # Nested values before the topic, and spaces between the tokens.
    "walk": '{"args": {"list": [1, 2, {"a": "\\"topic\\""}], "pad": "<pad>"}, "topic": "smd+<conid>", "end": 1}',
    # An escape in the topic needs the slow path.
    "escaped": f'{{"conid":<conid>,{_BODY},"topic":"smd\\u002b<conid>"}}',
}
#: The frames of each path `classify/<name>`: template, length, and the sum of the conids that the classifier must find.
CLASSIFIED: Final = {
    "tail": ("tail", FRAME_BYTES, sum(CONIDS)),
    "tail_60k": ("tail", 60_000, sum(CONIDS)),
    "tail_venue": ("tail_venue", FRAME_BYTES, sum(CONIDS)),
    "head": ("head", FRAME_BYTES, sum(CONIDS)),
    "third_key": ("third_key", FRAME_BYTES, sum(CONIDS)),
    "walk": ("walk", FRAME_BYTES, sum(CONIDS)),
    "odd": ("escaped", FRAME_BYTES, -len(CONIDS)),
}


def texts(template: str, length: int = FRAME_BYTES) -> list[bytes]:
    """Return one frame for each conid, padded to `length` bytes."""
    bare = [_TEMPLATES[template].replace("<conid>", str(conid)) for conid in CONIDS]
    return [text.replace("<pad>", "1" * (length - len(text) + len("<pad>"))).encode() for text in bare]


def tail() -> list[bytes]:
    """Return the most frequent frames, with the topic last."""
    return texts("tail")


def deltas() -> list[bytes]:
    """Return frames like `tail` without the availability, which is in snapshots only."""
    return [text.replace(b'"6509"', b'"7051"') for text in tail()]


def wire(frames: list[bytes]) -> bytes:
    """Return the frames as a gateway sends them: unmasked and binary."""
    return b"".join(_header(len(frame)) + frame for frame in frames)


def _header(length: int) -> bytes:
    return struct.pack("!BB", 0x82, length) if length < 126 else struct.pack("!BBH", 0x82, 126, length)

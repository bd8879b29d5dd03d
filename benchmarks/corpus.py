"""The frames that every benchmark reads: `smd` deltas of exactly 151 bytes, `topic` last, and what they should give."""

from __future__ import annotations

import random
import struct
import zlib
from typing import Final, NamedTuple

FRAME_BYTES: Final = 151
FRAMES: Final = 64


class Received(NamedTuple):
    """What a contender got: how many frames, and the digest of their conids in order (0 where it did not look)."""

    frames: int
    digest: int


def smd_delta(conid: int, rng: random.Random) -> bytes:
    """One delta: the envelope that every recorded delta has, and as many changed fields as fill 151 bytes."""
    server_id = f"q{rng.randrange(10, 100)}"
    last = rng.randrange(10_000, 99_999)
    updated = 1_777_552_119_103 + rng.randrange(1_000) * 500
    head = f'{{"server_id":"{server_id}","conidEx":"{conid}","conid":{conid},"_updated":{updated},"6119":"{server_id}"'
    prices = f',"84":"{last / 100:.2f}","31":"{(last + 1) / 100:.2f}"'
    tail = f',"topic":"smd+{conid}"}}'
    digits = FRAME_BYTES - len(head) - len(prices) - len(tail) - len(',"88":""')
    frame = f'{head}{prices},"88":"{"1" * digits}"{tail}'.encode()
    if digits < 1 or len(frame) != FRAME_BYTES:
        raise AssertionError(f"a frame of {len(frame)} bytes with {digits} digits of size: {frame!r}")
    return frame


def conids() -> list[int]:
    """The conid of each frame of the corpus."""
    rng = random.Random(151)
    return [rng.randrange(100_000, 1_000_000) for _ in range(FRAMES)]


def frames() -> list[bytes]:
    """The corpus: the same bytes in every process."""
    rng = random.Random(152)
    return [smd_delta(conid, rng) for conid in conids()]


def wire() -> bytes:
    """The corpus as a gateway writes it: unmasked binary frames, one after the other."""
    header = struct.pack("!BBH", 0x82, 126, FRAME_BYTES)
    return b"".join(header + frame for frame in frames())


def digest(repeats: int) -> int:
    """What a contender's digest has to be after `repeats` times the corpus."""
    once = struct.pack(f"={FRAMES}q", *conids())
    crc = 0
    for _ in range(repeats):
        crc = zlib.crc32(once, crc)
    return crc


def add_conid(crc: int, conid: int) -> int:
    """One more frame in a digest."""
    return zlib.crc32(struct.pack("=q", conid), crc)

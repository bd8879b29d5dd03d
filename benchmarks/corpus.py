"""The frames of the benchmarks: five seeded corpora with the same bytes in every process, and their encoding."""

from __future__ import annotations

import random
import struct
from functools import cache
from typing import Final

from . import frames as make

#: The number of frames of each kind among the 1,000 of `mixed`; docs/explanation/benchmarks.md has the reasons.
MIXED_COUNTS: Final[tuple[tuple[make.Maker, int], ...]] = (
    (make.smd_delta, 670),
    (make.smd_snapshot, 190),
    (make.smd_exchange, 10),
    (make.smd_combo, 5),
    (make.smd_without_data, 5),
    (make.execution, 30),
    (make.heartbeat, 25),
    (make.pnl, 20),
    (make.order_delta, 15),
    (make.order, 5),
    (make.tic, 8),
    (make.ledger, 4),
    (make.summary, 2),
    (make.status, 3),
    (make.account, 2),
    (make.notice, 2),
    (make.refusal, 1),
    (make.without_topic, 1),
    (make.not_json, 1),
    (make.empty_object, 1),
)

#: The corpora by name, and the number of frames in one pass.
FRAMES: Final = {"smd151": 1_000, "smd1400": 500, "smd60k": 20, "mixed": 1_000, "market": 100_000}


@cache
def frames(name: str) -> tuple[bytes, ...]:
    """Return the frames of one pass of the corpus `name`.

    Raises:
        ValueError: no corpus has this name.
    """
    if name not in FRAMES:
        raise ValueError(f"no corpus {name!r}; there are {', '.join(FRAMES)}")
    rng = random.Random(name)
    if name == "smd151":
        made = [make.smd_151(rng) for _ in range(FRAMES[name])]
    elif name == "market":
        made = make.market(rng, FRAMES[name])
    elif name == "mixed":
        made = [maker(rng) for maker, count in MIXED_COUNTS for _ in range(count)]
        rng.shuffle(made)
    else:
        length = {"smd1400": 1_400, "smd60k": 60_000}[name]
        made = [make.smd_wide(rng, length) for _ in range(FRAMES[name])]
    return tuple(made)


def encode(payload: bytes) -> bytes:
    """Return one unmasked binary WebSocket frame, as a gateway sends it."""
    length = len(payload)
    if length < 126:
        header = struct.pack("!BB", 0x82, length)
    elif length < 65_536:
        header = struct.pack("!BBH", 0x82, 126, length)
    else:
        header = struct.pack("!BBQ", 0x82, 127, length)
    return header + payload


def wire(name: str) -> list[bytes]:
    """Return one pass of the corpus `name` as WebSocket frames."""
    return [encode(frame) for frame in frames(name)]


def bytes_per_frame(name: str) -> float:
    """Return the mean payload size of the corpus `name`."""
    return sum(map(len, frames(name))) / FRAMES[name]

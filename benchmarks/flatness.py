"""Measures the time to find a route, by topic position and frame size, and compares it with a copy and a decode."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from cpapi_fast.frames.frame import classify

from . import digest, frames
from .build_native import native

#: `escaped`: the topic has an escape, which needs the slow path.
POSITIONS: Final = ("tail", "head", "walk", "escaped")
SIZES: Final = (151, 1_400, 60_000)
FRAMES: Final = 64
#: The approximate time of one measurement: long enough for the clock, short enough to interleave.
TARGET_NS: Final = 20_000_000


def frame_with_topic(position: str, size: int, rng: random.Random) -> bytes:
    """Return a frame of `size` bytes with its topic at `position`. The escape makes the small frame 5 bytes longer."""
    members: dict[str, Any] = json.loads(frames.smd_151(rng) if size == 151 else frames.smd_wide(rng, size))
    topic = members.pop("topic")
    if position == "escaped" and "58" in members:
        members["58"] = members["58"][: -len(r"\u002b") + 1]
    items = list(members.items())
    where = {"tail": len(items), "escaped": len(items), "head": 0, "walk": 2}[position]
    text = frames.text_of(dict([*items[:where], ("topic", topic), *items[where:]]))
    return text.replace(b'"smd+', rb'"smd\u002b') if position == "escaped" else text


def check(position: str, made: Sequence[bytes]) -> None:
    """Raise AssertionError unless the library routes every frame as the reference does."""
    for frame in made:
        kind, conid = digest.reference_route(json.loads(frame), True, "full")
        classified = classify(frame)
        if (int(classified.kind), classified.conid) != (kind, conid):
            raise AssertionError(f"wrong route for a frame with its topic at {position}: {frame[:200]!r}")


def _time_python(function: Callable[[bytes], Any], made: Sequence[bytes], rounds: int) -> float:
    start_ns = time.perf_counter_ns()
    for _ in range(rounds):
        for frame in made:
            function(frame)
    return (time.perf_counter_ns() - start_ns) / (rounds * len(made))


def _time_in_c(function: Callable[..., Any], made: Sequence[bytes], rounds: int) -> float:
    return float(function(list(made), rounds)[0]) / (rounds * len(made))


def measurements(position: str, made: Sequence[bytes]) -> dict[str, Callable[[int], float]]:
    """Return the timed functions of a set of frames by name. Each takes a number of rounds and returns ns per frame."""
    compiled = native()
    timed: dict[str, Callable[[int], float]] = {
        "classify() to a Frame": lambda rounds: _time_python(classify, made, rounds),
    }
    if position != "escaped":
        timed["classify_ptr in C"] = lambda rounds: _time_in_c(compiled.time_classify, made, rounds)
    if position == "tail":
        timed["memcpy"] = lambda rounds: _time_in_c(compiled.time_copy, made, rounds)
        timed["orjson.loads"] = lambda rounds: _time_python(orjson.loads, made, rounds)
    return timed


def run(runs: int) -> list[dict[str, Any]]:
    """Return one row for each position, size and measurement, with every single run."""
    rng = random.Random(1)
    timed = []
    for size in SIZES:
        for position in POSITIONS:
            made = [frame_with_topic(position, size, rng) for _ in range(FRAMES)]
            check(position, made)
            for name, measure in measurements(position, made).items():
                rounds = max(1, round(TARGET_NS / (measure(1) * FRAMES + 1)))
                row: dict[str, Any] = {"size": size, "position": position, "what": name, "ns": []}
                timed.append((row, measure, rounds))
    for _ in range(runs):
        for row, measure, rounds in timed:
            row["ns"].append(measure(rounds))
    return [row for row, _, _ in timed]

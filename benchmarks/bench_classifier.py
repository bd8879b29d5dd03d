"""ns per frame to find a frame's route: the C classifier alone, beside decoding the whole frame."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from cpapi_fast.batch import classify

from . import corpus
from .build_native import native

RUNS = 9


def _check(classify_in_c: Callable[..., Any]) -> None:
    frames, conids = corpus.frames(), corpus.conids()
    _, routed, conid_sum = classify_in_c(frames, 1)
    if routed != len(frames) or conid_sum != sum(conids):
        raise AssertionError(f"the classifier routed {routed} of {len(frames)} frames, conids add up to {conid_sum}")
    for frame, conid in zip(frames, conids, strict=True):
        if classify(frame).conid != conid or orjson.loads(frame)["topic"] != f"smd+{conid}":
            raise AssertionError(f"not the route of {frame!r}")


def _time_calls(function: Callable[[bytes], Any], frames: list[bytes], rounds: int) -> float:
    start_ns = time.perf_counter_ns()
    for _ in range(rounds):
        for frame in frames:
            function(frame)
    return (time.perf_counter_ns() - start_ns) / (rounds * len(frames))


def run(*, smoke: bool) -> dict[str, list[float]]:
    """Check the answers, then return ns per frame of each run, by name; nothing is timed for a smoke run."""
    classify_in_c = native().time_classify
    _check(classify_in_c)
    if smoke:
        return {}
    frames = corpus.frames()
    rounds = 20_000
    results: dict[str, list[float]] = {"classify_ptr in C": [], "classify() to a Frame": [], "orjson.loads": []}
    for _ in range(RUNS):
        results["classify_ptr in C"].append(classify_in_c(frames, rounds)[0] / (rounds * len(frames)))
        results["classify() to a Frame"].append(_time_calls(classify, frames, 500))
        results["orjson.loads"].append(_time_calls(orjson.loads, frames, 200))
    return results

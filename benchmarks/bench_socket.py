"""Frames through a loopback socket: each contender in a process of its own, against a sender in another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from . import corpus

#: In the order they are run, again and again, so that a slow minute of the machine hits all alike.
CONTENDERS: Final = (
    "picows_floor",
    "cpapi_on_batch",
    "cpapi_batches",
    "cpapi_on_frame",
    "cpapi_async_for",
    "picows_orjson",
)
#: Contenders that only count frames, so that there is no digest to compare.
COUNT_ONLY: Final = frozenset({"picows_floor"})

CHECK_REPEATS: Final = 150
TIMED_REPEATS: Final = 16_000
RUNS: Final = 5
TIMEOUT_S: Final = 120
ROOT: Final = Path(__file__).resolve().parent.parent


def _one(contender: str, repeats: int, *, check: bool) -> dict[str, Any]:
    sender = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sender", str(repeats)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with sender:
        try:
            if sender.stdout is None:
                raise AssertionError("the sender has no output")
            port = sender.stdout.readline().strip()
            command = [sys.executable, "-m", "benchmarks.worker", contender, port, *(["--check"] if check else [])]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True)
            result: dict[str, Any] = json.loads(done.stdout)
            result["sender"] = json.loads(sender.stdout.readline())
        finally:
            sender.kill()
    expected = repeats * corpus.FRAMES
    if result["frames"] != expected:
        raise AssertionError(f"{contender} received {result['frames']} of {expected} frames")
    if check and contender not in COUNT_ONLY and result["digest"] != corpus.digest(repeats):
        raise AssertionError(f"{contender} received other conids than were sent")
    return result


def run(*, smoke: bool) -> dict[str, list[dict[str, Any]]]:
    """Check every contender's answer, then time them all `RUNS` times over, one after the other."""
    for contender in CONTENDERS:
        _one(contender, CHECK_REPEATS, check=True)
    results: dict[str, list[dict[str, Any]]] = {contender: [] for contender in CONTENDERS}
    if not smoke:
        for _ in range(RUNS):
            for contender in CONTENDERS:
                results[contender].append(_one(contender, TIMED_REPEATS, check=False))
    return results

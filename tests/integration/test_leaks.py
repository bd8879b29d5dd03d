"""Nothing stays behind: a million frames in every form of reading, and a thousand connections with every kind of end.

What counts is memory in use, as malloc knows it, and not what the process holds for later (see leaks.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.loops import LOOPS

SCRIPT = Path(__file__).with_name("leaks.py")

FRAMES, CONNECTIONS = 1_000_000, 1_000

#: Bytes. The smallest Python object has 16; kept for one frame of sixteen, it would be seen.
FRAME_LIMIT = 1.0
#: An object with a few attributes has more. Tables that grow with the number of connections ever made take some 20.
CONNECTION_LIMIT = 100.0


def bytes_left(what: str, loop: str, count: int, limit: float, *leak: str) -> list[int]:
    # The child imports what this process imports: the tree under test, or an installed wheel.
    path = os.pathsep.join(path for path in sys.path if path)
    # Every object a block of malloc: then malloc's own account is exact.
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONMALLOC": "malloc"}
    if sys.platform != "linux":
        del environment["PYTHONMALLOC"]
    command = [sys.executable, "-W", "error", SCRIPT, what, loop, str(count), str(limit), *leak]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_a_million_frames():
    left = bytes_left("frames", LOOPS[0], FRAMES, FRAME_LIMIT)
    assert left[-1] < FRAME_LIMIT * FRAMES, f"{left} bytes are left of {FRAMES} frames, in each round"


@pytest.mark.parametrize("loop", LOOPS)
def test_a_thousand_connections(loop: str):
    left = bytes_left("connections", loop, CONNECTIONS, CONNECTION_LIMIT)
    assert left[-1] < CONNECTION_LIMIT * CONNECTIONS, f"{left} bytes are left of {CONNECTIONS} connections"


@pytest.mark.parametrize(
    ("what", "count", "limit"), [("frames", 50_000, FRAME_LIMIT), ("connections", 200, CONNECTION_LIMIT)]
)
def test_a_leak_is_noticed(what: str, count: int, limit: float):
    left = bytes_left(what, LOOPS[0], count, limit, "leak")
    assert len(left) == 3
    assert min(left) > limit * count

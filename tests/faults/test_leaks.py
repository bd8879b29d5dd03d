"""A feed that reconnects many times keeps no memory of past connections."""

from __future__ import annotations

import json
import os
import subprocess
import sys

COUNT = 20
#: In bytes for each reconnect. A connection that is kept needs tens of thousands.
LIMIT = 15_000.0


def bytes_left(count: int, *leak: str) -> list[int]:
    # Every object is allocated by malloc, so malloc's own count is exact.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONMALLOC": "malloc"}
    if sys.platform != "linux":
        del environment["PYTHONMALLOC"]
    command = [sys.executable, "-W", "error", "-m", "tests.faults.leaking", str(count), str(LIMIT), *leak]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_reconnects_leave_no_memory_behind() -> None:
    left = bytes_left(COUNT)
    assert left[-1] < LIMIT * COUNT, f"{left} bytes are left of {COUNT} reconnects, in each round"


def test_a_leak_is_detected() -> None:
    left = bytes_left(4, "leak")
    assert len(left) == 3
    assert min(left) > LIMIT * 4

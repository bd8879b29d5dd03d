"""A feed that reconnects again and again keeps nothing of the connections behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

COUNT = 20
#: Bytes for each reconnect. A connection that is kept has tens of thousands.
LIMIT = 15_000.0


def bytes_left(count: int, *leak: str) -> list[int]:
    # Every object a block of malloc: then malloc's own account is exact.
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


def test_a_leak_is_noticed() -> None:
    left = bytes_left(4, "leak")
    assert len(left) == 3
    assert min(left) > LIMIT * 4

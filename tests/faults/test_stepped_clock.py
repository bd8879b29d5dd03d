"""The wall clock is stepped by an hour, forward and back, during a feed that streams and one that reconnects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clock_step import SteppedClock


@pytest.mark.parametrize("speed", [1.0, 20.0])
def test_a_step_of_the_clock_causes_neither_a_reconnect_nor_a_gap(tmp_path: Path, speed: float) -> None:
    clock = SteppedClock(tmp_path)
    environment = {**clock.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "tests.faults.stepped", str(speed)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, cwd=tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for off in (1, -1):
            assert process.stdout.readline() == "streams\n"
            clock.step(off * 3_600.0)
            process.stdin.write("\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"reconnects": 0, "gaps": 0}
        assert process.wait(30.0) == 0

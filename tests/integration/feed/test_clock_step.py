"""The library that steps the wall clock of a process: which functions it changes and which it does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.clock_step import HOUR_NS, SteppedClock

#: Prints the time of every clock function, once for each line that it reads.
READER = """
import ctypes, datetime, json, sys, time
libc = ctypes.CDLL(None)
for _ in sys.stdin:
    wall = {
        "time_ns": time.time_ns(),
        "clock_gettime": time.clock_gettime_ns(time.CLOCK_REALTIME),
        "datetime": int(datetime.datetime.now().timestamp() * 1e9),
        "time": libc.time(None) * 10**9,
    }
    print(json.dumps({"wall": wall, "monotonic": time.monotonic_ns()}), flush=True)
"""

#: Receives a frame from its own server for each line that it reads, and prints the receive time.
LISTENER = """
import asyncio, json, sys
from cpapi_fast.ws.connection import WsClient
from tests.servers.raw import RawServer
from tests.support import frames

async def main():
    requests = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async def script(peer):
        while await requests.get():
            await peer.send(frames.ws_frame(frames.smd(265598)))
    async with RawServer(script) as server, await WsClient.open(server.url) as ws:
        while await loop.run_in_executor(None, sys.stdin.readline):
            requests.put_nowait(True)
            print(json.dumps((await ws.next_message()).received_ns), flush=True)
        requests.put_nowait(False)

asyncio.run(main())
"""


class Process:
    """A program that prints a line of JSON for each line it reads."""

    def __init__(self, clock: SteppedClock, program: str) -> None:
        home = Path(__file__).parents[3]
        environment = {**clock.environment, "PYTHONPATH": os.pathsep.join([str(home), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self):
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("\n")
        stdin.flush()
        return json.loads(stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate(timeout=20)
        assert self._process.returncode == 0


#: Longer than anything here takes, however busy the machine is.
SLACK_NS = HOUR_NS // 2


@pytest.mark.parametrize("hours", [1, -1])
def test_every_wall_clock_function_is_stepped_and_monotonic_time_is_not(tmp_path: Path, hours: int) -> None:
    clock = SteppedClock(tmp_path)
    with Process(clock, READER) as process:
        for off in (0, hours, 0):
            clock.step(off * 3_600.0)
            reported = process.ask()
            for name, wall_ns in reported["wall"].items():
                assert abs(wall_ns - time.time_ns() - off * HOUR_NS) < SLACK_NS, name
            assert abs(reported["monotonic"] - time.monotonic_ns()) < SLACK_NS


@pytest.mark.parametrize("hours", [1, -1])
def test_receive_times_of_frames_follow_the_step(tmp_path: Path, hours: int) -> None:
    clock = SteppedClock(tmp_path)
    with Process(clock, LISTENER) as process:
        for off in (0, hours, 0):
            clock.step(off * 3_600.0)
            assert abs(process.ask() - time.time_ns() - off * HOUR_NS) < SLACK_NS

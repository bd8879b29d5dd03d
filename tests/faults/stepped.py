"""Runs a rig in a process whose wall clock its parent steps, and prints what happened as one line of JSON.

    python -m tests.faults.stepped SPEED

Twice, it prints "streams" when everything streams, waits for a line (the clock was stepped), waits until everything
streams, breaks the connection, and waits until everything streams again.
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.support.loops import run

from .rig import BRISK, STEADY, Rig


async def main(speed: float) -> None:
    loop = asyncio.get_running_loop()
    conids = (BRISK, STEADY)
    async with Rig(speed=speed, conids=conids) as rig:
        await rig.streams()
        for _ in range(2):
            connections, gaps = rig.feed.stats.connections, len(rig.events.gaps)
            print("streams", flush=True)  # noqa: T201
            await loop.run_in_executor(None, sys.stdin.readline)
            await rig.streams()
            await rig.wait(1.0 + speed / 2.0)
            await rig.streams()
            quiet = {
                "reconnects": rig.feed.stats.connections - connections,
                "gaps": len(rig.events.gaps) - gaps,
            }
            rig.proxy.reset()
            await rig.streams()
            print(json.dumps(quiet), flush=True)  # noqa: T201
            ages = [rig.feed.status_of(topic).age_s for topic in (f"smd+{conid}" for conid in conids)]
            assert all(age is not None and 0.0 <= age < 1_000.0 for age in ages), ages


if __name__ == "__main__":
    run(main(float(sys.argv[1])), timeout_s=100.0)

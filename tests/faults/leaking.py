"""Breaks the connection of one feed many times and prints how much memory each round left in use.

    python -m tests.faults.leaking COUNT LIMIT [leak]

Prints one JSON line: how many bytes each round of COUNT reconnects left in use. It stops after a round that left less
than LIMIT bytes for each reconnect. With `leak` it keeps some bytes for every reconnect on purpose.
"""

from __future__ import annotations

import gc
import json
import sys
from typing import Final

from tests.integration.leaks import memory_meter
from tests.support.loops import run

from .rig import BRISK, Rig

MOST_ROUNDS: Final = 3
KEPT: Final[list[object]] = []


async def main(count: int, limit: float, *, is_leaking: bool) -> list[int]:
    meter = memory_meter()
    left: list[int] = []
    # What the tests and the simulator keep is bounded, or cleared here.
    async with Rig(speed=100.0, conids=(BRISK,)) as rig:

        async def measured(rounds: int) -> int:
            for number in range(rounds):
                await rig.streams()
                (rig.proxy.reset, rig.gateway.faults.drop_sockets, lambda: rig.gateway.faults.close_sockets(1001))[
                    number % 3
                ]()
                rig.events.clear()
                rig.gateway.connections.clear()
                rig.gateway.requests.clear()
                if is_leaking:
                    KEPT.append(bytearray(40_000))
            await rig.streams()
            gc.collect()
            return meter()

        before = await measured(max(count // 2, 4))
        while len(left) < MOST_ROUNDS and (not left or left[-1] >= limit * count):
            after = await measured(count)
            left.append(after - before)
            before = after
    return left


if __name__ == "__main__":
    _, count, limit, *leak = sys.argv
    print(json.dumps(run(main(int(count), float(limit), is_leaking=leak == ["leak"]), timeout_s=200.0)))  # noqa: T201

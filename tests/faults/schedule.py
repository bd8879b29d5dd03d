"""Faults at random, alone or two at a time, and the recovery from each."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Final

from .catalog import FAULTS, Fault
from .rig import Recovery, Rig

#: How often two faults happen at the same time.
_PAIR_SHARE: Final = 0.3


class Schedule:
    """Draws random faults and applies them to a rig.

    Args:
        rig: what to do them to.
        seed: the same seed draws the same faults.
    """

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._random = Random(seed)
        self.done: list[str] = []
        self.counts: Counter[str] = Counter()
        self.recoveries: list[Recovery] = []

    def draw(self) -> list[Fault]:
        """One random fault, or two of different places."""
        first = self._random.choice(list(FAULTS.values()))
        if self._random.random() >= _PAIR_SHARE:
            return [first]
        return [first, self._random.choice([other for other in FAULTS.values() if other.place != first.place])]

    async def step(self) -> None:
        """Wait for a while, apply a fault or two, and wait until everything streams again."""
        await self._rig.streams()
        await self._rig.wait(self._random.uniform(0.0, 10.0))
        drawn = self.draw()
        name = "+".join(fault.name for fault in drawn)
        self.done.append(name)
        try:
            await asyncio.gather(*(fault.act(self._rig, Random(self._random.random())) for fault in drawn))
            took_s = await self._rig.streams()
        except AssertionError as error:
            raise AssertionError(f"{error}\nafter {', '.join(self.done)}") from error
        self.counts.update(fault.name for fault in drawn)
        self.recoveries.append(Recovery(name, took_s))

"""Every fault alone: afterwards everything streams again without a restart, and what was lost lies in a gap."""

from __future__ import annotations

from random import Random

import pytest

from tests.support import LOOPS, run

from .catalog import FAULTS
from .rig import Rig

LIMIT_S = 120.0


def one(name: str, *, loop: str = LOOPS[0], tls: bool = False, seed: int = 1) -> None:
    async def main() -> None:
        async with Rig(tls=tls) as rig:
            await rig.streams()
            await FAULTS[name].act(rig, Random(seed))
            await rig.streams()

    run(main(), loop=loop, timeout_s=LIMIT_S)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_got_over(name: str) -> None:
    one(name)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.place == "network"])
def test_fault_of_the_network_is_got_over_with_tls(name: str) -> None:
    one(name, tls=True, seed=2)


@pytest.mark.parametrize("name", ["reset", "half_open", "cut_anywhere", "garbage"])
def test_fault_of_the_network_is_got_over_on_the_other_loop(name: str) -> None:
    one(name, loop=LOOPS[-1], tls=True, seed=3)

"""Every fault alone: afterwards everything streams again without a restart, and every lost frame is in a gap."""

from __future__ import annotations

from random import Random

import pytest

from .catalog import FAULTS
from .rig import Rig

pytestmark = pytest.mark.time_limit(120.0)


async def recover(name: str, *, tls: bool = False, seed: int = 1) -> None:
    async with Rig(tls=tls) as rig:
        await rig.streams()
        await FAULTS[name].act(rig, Random(seed))
        await rig.streams()


@pytest.mark.parametrize("name", FAULTS)
async def test_the_feed_recovers_from_each_fault(name: str) -> None:
    await recover(name)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.place == "network"])
async def test_the_feed_recovers_from_network_faults_with_tls(name: str) -> None:
    await recover(name, tls=True, seed=2)


@pytest.mark.asyncio_loop
@pytest.mark.parametrize("name", ["reset", "half_open", "cut_anywhere", "garbage"])
async def test_the_feed_recovers_from_network_faults_on_the_other_loop(name: str) -> None:
    await recover(name, tls=True, seed=3)

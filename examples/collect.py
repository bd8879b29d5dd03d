"""Collects quotes into files, here from the simulated gateway.

Usage: python examples/collect.py FOLDER [SECONDS]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cpapi_fast as cf
from cpapi_fast.collect.options import CollectOptions
from cpapi_fast.collect.run import collect
from cpapi_fast.loop import run
from cpapi_fast.simulator import SimulatedGateway


async def main(folder: Path, seconds: float) -> None:
    options = CollectOptions(conids=(265598, 8314), out=folder, duration_s=seconds)
    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        summary = await collect(client, options, on_notice=print)
    for output in summary.outputs:
        print(output.name, output.counts, *(path.name for path, _ in output.files))


if __name__ == "__main__":
    run(main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0))

"""cpapi_fast: the collector behind the command `collect`."""

from __future__ import annotations

import asyncio
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.collectors import Clocks, memory_mb, parse, report
from cpapi_fast import Client, CollectOptions, Collector, FeedOptions, run

_POLL_S = 0.01


async def collect(url: str, conids: list[int], count: int, tables: list[str], folder: Path) -> dict[str, Any]:
    """Collect `count` frames of the corpus into files, and return the times and the memory."""
    client = Client(urlsplit(url)._replace(scheme="http").geturl().removesuffix("/ws"))
    feed = FeedOptions(send_bytes_per_s=1e9, market_data_lines=len(conids))
    options = CollectOptions(conids=conids, out=folder, tables=tuple(tables), feed=feed)  # type: ignore[arg-type]
    collector = Collector(client, options, on_notice=lambda text: print(text, file=sys.stderr))
    # The frames before the corpus: two snapshots of each instrument, and two messages of the gateway.
    first = 2 * len(conids) + 2
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    start: Clocks | None = None
    begun = 0
    memory: list[float] = []
    while not running.done():
        await asyncio.sleep(_POLL_S)
        connection = collector.status().connection
        received = 0 if connection is None else connection.frames_received - first
        if received > 0 and start is None:
            start, begun = Clocks.now(), received
        if received > len(memory) * count // 20:
            memory.append(memory_mb())
        if received >= count:
            stop.set()
            break
    summary = await running
    end = Clocks.now()
    await client.aclose()
    if start is None:
        raise SystemExit("no frame of the corpus was received")
    return report(
        summary.feed.connection.frames_received,
        count - begun,
        end.cost_since(start),
        memory_mb=memory,
        gaps=dict(summary.gaps),
        counts={output.name: str(output.counts) for output in summary.outputs},
        dropped=summary.consumer.dropped,
        versions={name: version(name) for name in ("cpapi-fast", "picows", "pyarrow")},
    )


if __name__ == "__main__":
    given = parse(__doc__)
    print(json.dumps(run(collect(given.url, given.conids, given.frames, given.tables.split(","), given.out))))

"""Writes every market data frame to an SQLite database, beside the files of a run, here from the simulated gateway.

Usage: python examples/own_output.py FOLDER [SECONDS]
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import cpapi_fast as cf
from cpapi_fast.collect.run import collect
from cpapi_fast.simulator import SimulatedGateway


class SqliteOutput(cf.Output):
    """An output of 20 lines. SQLite commits what is passed at a time, and a failure rolls it back."""

    name = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Open the database, in the thread that uses it."""
        self.db = sqlite3.connect(self.path)
        self.db.execute("create table if not exists frames (received_ns integer, conid integer, raw text)")

    def write(self, batch: cf.Batch) -> None:
        """Insert the frames of a batch."""
        rows = [(frame.received_ns, frame.conid, frame.raw.decode()) for frame in batch if frame.conid is not None]
        self.db.executemany("insert into frames values (?, ?, ?)", rows)

    def flush(self) -> None:
        """Commit."""
        self.db.commit()

    def recover(self, error: BaseException) -> None:
        """Roll back. The frames are passed again."""
        del error
        self.db.rollback()

    def close(self) -> None:
        """Close the database."""
        self.db.close()


async def main(folder: Path, seconds: float) -> None:
    options = cf.CollectOptions(conids=(265598, 8314), out=folder, duration_s=seconds)
    output = SqliteOutput(folder / "frames.sqlite")
    async with SimulatedGateway() as gateway, cf.Client(gateway.url, tls=cf.Tls.pinned(gateway.fingerprint)) as client:
        summary = await collect(client, options, on_notice=print, outputs=[output])
    for result in summary.outputs:
        print(result.name, result.counts)


if __name__ == "__main__":
    cf.run(main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 10.0))

"""Lists the contenders and collectors: Python modules of this folder, and the peers that `make peers` compiles."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent
#: Written by `make peers`; benchmarks/peers/README.md describes it.
MANIFEST: Final = ROOT / "build" / "peers" / "manifest.json"

ALL: Final = ("smd151", "smd1400", "smd60k", "mixed")
MARKET_DATA: Final = ("smd151", "smd1400", "smd60k")


@dataclass(frozen=True)
class Contender:
    """One client in one form, which the benchmarks measure.

    Attributes:
        name: for `--only`.
        label: for tables and plots.
        group: `limit`, `own`, `python` or `peer`.
        command: the start of its command line.
        jobs: the supported jobs, the main one first.
        frames: the number of 151-byte frames in a timed run, chosen so that all contenders take about the same time.
        corpora: the supported corpora.
        needs_frame_count: whether it gets `--frames`, because it does not count frames or does not detect CLOSE.
        is_paced: whether only its latency is measured; its other jobs are used to check its answers.
        takes_tls: whether it supports `wss`.
    """

    name: str
    label: str
    group: str
    command: tuple[str, ...]
    jobs: tuple[str, ...]
    frames: int
    corpora: tuple[str, ...] = ALL
    needs_frame_count: bool = False
    takes_tls: bool = True
    is_paced: bool = False

    def can(self, corpus: str, is_tls: bool) -> bool:
        """Return whether the contender supports this corpus and transport."""
        return corpus in self.corpora and (self.takes_tls or not is_tls)


def _python(name: str, label: str, group: str, jobs: str, frames: int, **others: Any) -> Contender:
    command = (sys.executable, "-m", "benchmarks.worker", name)
    return Contender(name, label, group, command, tuple(jobs.split()), frames, **others)


def _collector(name: str, label: str, group: str, frames: int) -> Contender:
    command = (sys.executable, "-m", f"benchmarks.collectors.{name}")
    return Contender(name, label, group, command, ("collect",), frames, corpora=("market",), takes_tls=False)


PYTHON: Final = (
    _python("picows_floor", "picows, no-op Cython listener", "limit", "count", 2_000_000),
    _python("cpapi_sink", "cpapi_fast C sink", "own", "route latency", 2_000_000),
    _python("cpapi_on_batch", "cpapi_fast on_batch", "own", "route dict columns latency", 1_500_000),
    _python("cpapi_batches", "cpapi_fast batches()", "own", "route dict columns", 1_500_000),
    _python("cpapi_feed", "cpapi_fast Feed.on_batch", "own", "route columns latency", 1_500_000),
    _python("cpapi_feed_values", "cpapi_fast Feed.on_batch, last values", "own", "route", 1_000_000),
    _python("cpapi_feed_batches", "cpapi_fast Feed, batches()", "own", "route", 1_500_000),
    _python("cpapi_on_frame", "cpapi_fast on_frame", "own", "count route dict columns latency", 800_000),
    _python("cpapi_on_frame_busy", "cpapi_fast on_frame, busy-poll", "own", "route latency", 800_000, is_paced=True),
    _python("cpapi_sink_busy", "cpapi_fast C sink, busy-poll", "own", "route latency", 2_000_000, is_paced=True),
    _python("cpapi_async_for", "cpapi_fast async for", "own", "count route dict latency", 500_000),
    _python("picows_orjson", "picows + orjson", "python", "route dict columns latency", 250_000),
    _python("picows_websockets", "picows.websockets + orjson", "python", "route dict columns latency", 150_000),
    _python("aiohttp_orjson", "aiohttp + orjson", "python", "route dict columns latency", 100_000),
    _python("websockets_orjson", "websockets + orjson", "python", "route dict columns latency", 20_000),
    _python("websocket_client_json", "websocket-client + json", "python", "route dict columns latency", 10_000),
    _python(
        "ibind_client", "ibind 0.2.2", "python", "route latency", 8_000, corpora=MARKET_DATA, needs_frame_count=True
    ),
    _python("blocking_recv", "blocking recv, Python", "limit", "count latency", 500_000),
)


#: What `collect` is measured with: from a socket to files. The job `collect` has a command line of its own, which
#: benchmarks/collectors describes.
COLLECTORS: Final = (
    _collector("cpapi_collect", "cpapi_fast collect", "own", 10_000_000),
    _collector("picows_pyarrow", "picows + orjson + pyarrow", "python", 2_000_000),
)


def peers(manifest: Path = MANIFEST) -> tuple[Contender, ...]:
    """Return the compiled peers; empty before they are built.

    Raises:
        ValueError: the manifest was not written by this version of `make peers`.
    """
    if not manifest.exists():
        return ()
    entries: dict[str, dict[str, Any]] = json.loads(manifest.read_text())
    try:
        return tuple(_peer(name, entry) for name, entry in entries.items())
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{manifest.name} cannot be read; build it again with: make peers") from error


def _peer(name: str, entry: dict[str, Any]) -> Contender:
    return Contender(
        name,
        entry["label"],
        entry["group"],
        tuple(entry["command"]),
        tuple(entry["jobs"]),
        entry["frames"],
        needs_frame_count="bytes" in entry["jobs"],
        takes_tls=entry["tls"],
    )


def contenders(manifest: Path = MANIFEST) -> tuple[Contender, ...]:
    """Return all contenders, the limits first.

    Raises:
        SystemExit: the peers are not built, and CPAPI_FAST_REQUIRE_ALL is set.
    """
    built = peers(manifest)
    if not built:
        _leave_out("the compiled peers are not built and are left out; to build them: make peers")
    listed = (*PYTHON, *(peer for peer in built if "collect" not in peer.jobs))
    order = {"limit": 0, "own": 1, "python": 2, "peer": 3}
    return tuple(sorted(listed, key=lambda contender: order[contender.group]))


def collectors(manifest: Path = MANIFEST) -> tuple[Contender, ...]:
    """Return all collectors, that of the library first.

    Raises:
        SystemExit: the collector in Rust is not built, and CPAPI_FAST_REQUIRE_ALL is set.
    """
    built = tuple(peer for peer in peers(manifest) if "collect" in peer.jobs)
    if not built:
        _leave_out("the collector in Rust is not built and is left out; to build it, with cargo on PATH: make peers")
    return (*COLLECTORS, *built)


def _leave_out(complaint: str) -> None:
    if os.environ.get("CPAPI_FAST_REQUIRE_ALL", "0") not in ("", "0"):
        raise SystemExit(complaint)
    print(complaint, file=sys.stderr)


def select(listed: Iterable[Contender], names: Iterable[str]) -> tuple[Contender, ...]:
    """Return the contenders whose name is in `names`; all if `names` is empty.

    Raises:
        ValueError: no contender has the name.
    """
    known = {contender.name: contender for contender in listed}
    wanted = list(names)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ValueError(f"no contender {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in wanted) or tuple(known.values())

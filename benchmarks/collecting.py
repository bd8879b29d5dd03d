"""Measures `collect` from a socket to files, and the writer of each file alone, with frames of a market.

Usage: python -m benchmarks.collecting [--frames N] [--runs N] [--tables NAMES]

The sender and the collector run in processes of their own. The answers are checked first: every frame has to be in the
capture, and every row of the tables has to equal what `json` and `parse_number` give for the frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow.parquet as pq

from cpapi_fast import CaptureWriter, Client, CollectOptions, Collector, FeedOptions, QuotesWriter, TicksWriter
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.outputs.capture import read_capture
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS
from cpapi_fast.protocol.numbers import parse_number

from . import corpus, facts, frames, run, tables
from .registry import ROOT
from .sender import FEED
from .worker import peak_memory_kib

CORPUS: Final = "market"
#: The frames of a timed run from a socket, and of one of a writer.
FRAMES: Final = 10_000_000
WRITER_FRAMES: Final = 1_000_000
#: Frames per batch: about what one socket read brings when frames arrive faster than they are read.
BATCH_FRAMES: Final = 1_000
#: The frames before the corpus: two snapshots of each instrument, and two messages of the gateway.
FIRST_FRAMES: Final = 2 * len(frames.CONIDS) + 2
_POLL_S: Final = 0.01

_KEYS: Final = tuple((code, FIELDS[code].key) for code in DEFAULT_FIELDS)


def batches(count: int) -> Iterator[Batch]:
    """Yield batches with `count` frames together, with receive times that increase."""
    made = corpus.frames(CORPUS)
    builder = BatchBuilder()
    for number in range(1, count + 1):
        builder.append(made[(number - 1) % len(made)])
        if number % BATCH_FRAMES == 0 or number == count:
            batch = builder.finish(1_777_552_119_103_000_000 + number * 1_000)
            if batch is not None:
                yield batch


def expected_rows(made: Sequence[bytes], table: str) -> Iterator[tuple[Any, ...]]:
    """Yield the conid and the L1 numbers of each row, decoded one by one."""
    states: dict[int, dict[str, float | None]] = {}
    for raw in made:
        payload = json.loads(raw)
        values = {code: parse_number(payload[code]) for code, _ in _KEYS if code in payload}
        if table == "quotes":
            values = states.setdefault(payload["conid"], {}) | values
            states[payload["conid"]] = values
        yield (payload["conid"], *(values.get(code) for code, _ in _KEYS))


def check_table(paths: Sequence[Path], expected: Iterator[tuple[Any, ...]]) -> int:
    """Return the number of rows.

    Raises:
        WrongAnswerError: a row is not the expected one.
    """
    count = 0
    for path in sorted(paths):
        columns = pq.read_table(path, columns=["conid", *(key for _, key in _KEYS)]).to_pydict()
        for row in zip(*columns.values(), strict=True):
            wanted = next(expected, None)
            if row != wanted:
                raise run.WrongAnswerError(f"row {count} of {path.name} is {row}, not {wanted}")
            count += 1
    if next(expected, None) is not None:
        raise run.WrongAnswerError(f"the {count} rows are too few")
    return count


def writer_ns(name: str, made: Sequence[Batch], *, is_checked: bool = False) -> float:
    """Write the batches with one writer, and return the CPU time per frame in ns."""
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as text:
        folder = Path(text)
        writer: Any
        if name == "capture":
            writer = CaptureWriter(folder / "capture.arrows")
        else:
            writer = (TicksWriter if name == "ticks" else QuotesWriter)(folder)
        start_s = time.process_time()
        for batch in made:
            writer.write(batch)
        writer.close()
        elapsed_s = time.process_time() - start_s
        if is_checked and name != "capture":
            check_table(list(folder.iterdir()), expected_rows([frame.raw for one in made for frame in one], name))
        if writer.counts.written != sum(map(len, made)):
            raise run.WrongAnswerError(f"{name}: {writer.counts}")
    return elapsed_s / sum(map(len, made)) * 1e9


async def collect(url: str, count: int, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Collect `count` frames of the corpus into files, and return the times and the memory."""
    parts = urlsplit(url)
    client = Client(parts._replace(scheme="http", path=f"{FEED}/v1/api").geturl())
    feed = FeedOptions(send_bytes_per_s=1e9, market_data_lines=len(frames.CONIDS))
    options = CollectOptions(conids=frames.CONIDS, out=folder, tables=tuple(names), feed=feed)  # type: ignore[arg-type]
    collector = Collector(client, options, on_notice=lambda text: print(text, file=sys.stderr))
    stop = asyncio.Event()
    running = asyncio.create_task(collector.run(stop))
    start_s = cpu_s = loop_s = 0.0
    begun = faults = 0
    memory_mb: list[float] = []
    while not running.done():
        await asyncio.sleep(_POLL_S)
        connection = collector.status().connection
        received = 0 if connection is None else connection.frames_received - FIRST_FRAMES
        if received > 0 and not start_s:
            start_s, cpu_s, loop_s = time.monotonic(), time.process_time(), time.thread_time()
            begun, faults = received, resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        if received > len(memory_mb) * count // 20:
            memory_mb.append(_memory_mb())
        if received >= count:
            stop.set()
            break
    summary = await running
    end_s, end_cpu_s, end_loop_s = time.monotonic(), time.process_time(), time.thread_time()
    await client.aclose()
    return {
        "frames": summary.feed.connection.frames_received - FIRST_FRAMES,
        "wall_ns": (end_s - start_s) * 1e9 / (count - begun),
        "cpu_ns": (end_cpu_s - cpu_s) * 1e9 / (count - begun),
        "loop_cpu_ns": (end_loop_s - loop_s) * 1e9 / (count - begun),
        "page_faults": resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults,
        "memory_mb": memory_mb,
        "max_rss_mb": peak_memory_kib(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024 / 1e6,
        "gaps": dict(summary.gaps),
        "counts": {output.name: str(output.counts) for output in summary.outputs},
        "written": {output.name: output.counts.written for output in summary.outputs},
        "bytes": {output.name: sum(size for _, size in output.files) for output in summary.outputs},
        "dropped": summary.consumer.dropped,
    }


def _memory_mb() -> float:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return math.nan
    return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6


def collected(count: int, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Collect in a process of its own, and check that nothing was lost.

    Raises:
        WrongAnswerError: a frame is missing in a file.
    """
    repeats = max(1, count // corpus.FRAMES[CORPUS])
    count = repeats * corpus.FRAMES[CORPUS]
    cell = run.Cell(CORPUS, "collect")
    with run.sender(cell, "--repeats", str(repeats), "--live", "--subscribes", str(len(frames.CONIDS))) as (address, _):
        command = [sys.executable, "-m", "benchmarks.collecting", *address, "--frames", str(count)]
        done = subprocess.run(
            [*command, "--tables", ",".join(names), "--out", str(folder)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise run.WrongAnswerError(f"the collector ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    # Of each pair of snapshots, the quotes have one row.
    wanted = {"capture": count + FIRST_FRAMES, "ticks": count + FIRST_FRAMES - 2, "quotes": count + len(frames.CONIDS)}
    for name in ("capture", *names):
        if result["written"][name] != wanted[name]:
            raise run.WrongAnswerError(f"{name}: {result['counts'][name]}, and {wanted[name]} are wanted")
    if result["dropped"]:
        raise run.WrongAnswerError(f"{result['dropped']} frames were dropped")
    return result


def check(names: Sequence[str]) -> None:
    """Check the files of one pass of the corpus.

    Raises:
        WrongAnswerError: a file is wrong.
    """
    made = corpus.frames(CORPUS)
    snapshot = b'{"_updated":1777552119103,"6509":"RB","31":"1.00","conid":%d,"topic":"smd+%d"}'
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as text:
        folder = Path(text)
        collected(len(made), names, folder)
        raws = [raw for path in folder.glob("capture-*") for raw in read_capture(path).read_all()["raw"].to_pylist()]
        if [_without_time(raw) for raw in raws[FIRST_FRAMES:]] != [_without_time(raw) for raw in made]:
            raise run.WrongAnswerError("the capture does not have the frames of the corpus in their order")
        for name in names:
            pairs = 2 if name == "ticks" else 1
            firsts = [snapshot % (conid, conid) for conid in frames.CONIDS for _ in range(pairs)]
            check_table(list(folder.glob(f"{name}-*")), expected_rows([*firsts, *made], name))
    for name in ("ticks", "quotes"):
        writer_ns(name, list(batches(10_000)), is_checked=True)


def _without_time(raw: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(raw)
    del payload["_updated"]
    return payload


def measure(runs: int, count: int, names: Sequence[str]) -> dict[str, Any]:
    """Check the answers, then measure everything `runs` times, one after the other."""
    check(names)
    made = list(batches(min(count, WRITER_FRAMES)))
    results: dict[str, Any] = {"writers_cpu_ns": {"capture": [], "ticks": [], "quotes": []}, "collect": []}
    for _ in range(runs):
        for name, times in results["writers_cpu_ns"].items():
            times.append(writer_ns(name, made))
        with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as folder:
            results["collect"].append({"tables": list(names)} | collected(count, names, Path(folder)))
    return results


def show(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    writers = tables.table("writers alone: median (least .. most)", "file", "ns of CPU per frame", "rows per s")
    for name, times in results["writers_cpu_ns"].items():
        writers.add_row(name, tables.spread(times), f"{1e9 / median(times):,.0f}")
    ends = tables.table(
        "collect, from the socket to the files",
        "files",
        "frames",
        "frames per s (wall)",
        "CPU",
        "of the loop",
        "memory",
    )
    for one in results["collect"]:
        memory = f"{one['memory_mb'][len(one['memory_mb']) // 2]:,.0f} MB, at most {one['max_rss_mb']:,.0f} MB"
        names = ", ".join(("capture", *one["tables"]))
        ends.add_row(
            names,
            f"{one['frames']:,}",
            f"{1e9 / one['wall_ns']:,.0f}",
            f"{one['cpu_ns']:,.0f} ns",
            f"{one['loop_cpu_ns']:,.0f} ns",
            memory,
        )
    tables.show(writers, ends)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collecting", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames from the socket, {FRAMES:,} by default")
    parser.add_argument("--runs", type=int, default=1, help="runs of each measurement")
    parser.add_argument("--tables", default="quotes", help="the tables that are collected, separated by commas")
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    names = given.tables.split(",")
    if given.url is not None:
        from cpapi_fast import run as run_loop

        print(json.dumps(run_loop(collect(given.url, given.frames, names, given.out))))
        return
    facts_of_machine = facts.machine()
    print(f"{facts_of_machine['cpu']}, {facts_of_machine['cores']} cores, load {facts_of_machine['load_at_start']}")
    show(measure(given.runs, given.frames, names))


if __name__ == "__main__":
    main()

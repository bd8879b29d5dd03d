"""Measures collectors from a socket to files, `collect` among them, and the writer of each file alone.

Usage: python -m benchmarks.collecting [--frames N] [--runs N] [--tables NAMES] [--peers all|none]

The sender and the collector run in processes of their own. The answers are checked first: every frame has to be in the
capture, and every row of the tables has to equal what `json` and `parse_number` give for the frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from cpapi_fast import CaptureWriter, QuotesWriter, TicksWriter
from cpapi_fast.frames.batch import Batch, BatchBuilder
from cpapi_fast.outputs.tables.schema import quotes_schema
from cpapi_fast.protocol.fields import DEFAULT_FIELDS, FIELDS
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.protocol.numbers import parse_number

from . import corpus, facts, frames, registry, run, tables
from .sender import FEED

CORPUS: Final = "market"
#: A corpus with all kinds of frames, for checks only.
MIXED: Final = "mixed"
#: The frames of a timed run from a socket, and of one of a writer. Slow collectors get fewer.
FRAMES: Final = 10_000_000
WRITER_FRAMES: Final = 1_000_000
#: Frames per batch: about what one socket read brings when frames arrive faster than they are read.
BATCH_FRAMES: Final = 1_000
#: The frames before the corpus: two snapshots of each instrument, and two messages of the gateway.
FIRST_FRAMES: Final = 2 * len(frames.CONIDS) + 2
#: The collector of the library. The others write the capture and `quotes` only.
OWN: Final = registry.COLLECTORS[0]
PEER_TABLES: Final = ("quotes",)

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


def call(collector: registry.Contender, name: str, repeats: int, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a collector on `repeats` passes of the corpus `name`, and return the JSON that it prints.

    Raises:
        WrongAnswerError: the collector failed.
    """
    conids = ",".join(map(str, frames.CONIDS))
    live = ("--live", "--subscribes", str(len(frames.CONIDS)))
    with run.sender(run.Cell(name, "collect"), "--repeats", str(repeats), *live) as ((_, url), _process):
        url = urlsplit(url)._replace(path=f"{FEED}/v1/api/ws").geturl()
        count = repeats * corpus.FRAMES[name]
        options = ["--url", url, "--conids", conids, "--frames", str(count), "--out", str(folder)]
        if collector is OWN:
            options += ["--tables", ",".join(names)]
        done = subprocess.run(
            [*collector.command, *options], cwd=registry.ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
    if done.returncode != 0:
        raise run.WrongAnswerError(f"{collector.name} ended with exit code {done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def collected(collector: registry.Contender, count: int, names: Sequence[str], folder: Path) -> dict[str, Any]:
    """Run a collector on whole passes of the corpus, `count` frames or a little less, and check that nothing was lost.

    Raises:
        WrongAnswerError: a frame is missing in a file.
    """
    repeats = max(1, count // corpus.FRAMES[CORPUS])
    count = repeats * corpus.FRAMES[CORPUS]
    answer = call(collector, CORPUS, repeats, names, folder)
    found = {"received": answer["frames"], "capture": sum(map(_captured, sorted(folder.glob("capture-*"))))}
    found |= {name: sum(pq.read_metadata(path).num_rows for path in folder.glob(f"{name}-*")) for name in names}
    # Of each pair of snapshots, the quotes have one row.
    wanted = {"received": count + FIRST_FRAMES, "capture": count + FIRST_FRAMES}
    wanted |= {name: count + len(frames.CONIDS) * (1 if name == "quotes" else 2) for name in names}
    if found != wanted or answer.get("dropped"):
        raise run.WrongAnswerError(f"{collector.name}: {found}, wanted are {wanted}; {answer.get('counts', '')}")
    per_frame = {name: answer[name] / answer["measured"] for name in ("wall_ns", "cpu_ns", "loop_cpu_ns")}
    sizes = {name: sum(path.stat().st_size for path in folder.glob(f"{name}-*")) for name in ("capture", *names)}
    named = {"collector": collector.name, "label": collector.label, "tables": list(names), "bytes": sizes}
    return named | answer | per_frame | {"frames": count}


def _captured(path: Path) -> int:
    with pa.OSFile(str(path)) as file:
        return sum(batch.num_rows for batch in pa.ipc.open_stream(file))


def check(names: Sequence[str], collector: registry.Contender = OWN) -> None:
    """Check the files of one pass of the corpus.

    Raises:
        WrongAnswerError: a file is wrong.
    """
    made = corpus.frames(CORPUS)
    snapshot = b'{"_updated":1777552119103,"6509":"RB","31":"1.00","conid":%d,"topic":"smd+%d"}'
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as text:
        folder = Path(text)
        collected(collector, len(made), names, folder)
        captured = check_capture(sorted(folder.glob("capture-*")), made)
        for name in names:
            pairs = 2 if name == "ticks" else 1
            firsts = [snapshot % (conid, conid) for conid in frames.CONIDS for _ in range(pairs)]
            paths = sorted(folder.glob(f"{name}-*"))
            check_table(paths, expected_rows([*firsts, *made], name))
            if name == "quotes":
                check_other_columns(paths, captured)
    if collector is not OWN:
        check_mixed(collector)


def check_mixed(collector: registry.Contender) -> None:
    """Check the quotes of a peer for all kinds of frames: they have to be those of `QuotesWriter`, apart from times.

    Raises:
        WrongAnswerError: they differ.
    """
    with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as text:
        folder = Path(text)
        call(collector, MIXED, run.CHECK_REPEATS[MIXED], PEER_TABLES, folder)
        captured = [row for path in sorted(folder.glob("capture-*")) for row in _messages(path)]
        builder = BatchBuilder()
        for row in captured:
            builder.append(row["raw"])
        batch = builder.finish(1)
        if batch is None or len(batch) != FIRST_FRAMES + run.CHECK_REPEATS[MIXED] * corpus.FRAMES[MIXED]:
            raise run.WrongAnswerError(f"{collector.name}: {len(captured)} frames are in the capture")
        if [row["conid"] for row in captured] != list(batch.conids):
            raise run.WrongAnswerError(f"{collector.name}: the capture has wrong conids")
        own = folder / "own"
        own.mkdir()
        with QuotesWriter(own) as writer:
            writer.write(batch)
        columns = [name for name in quotes_schema().names if name not in ("received", "segment", "late_ns")]
        wanted = pq.read_table(writer.files[0], columns=columns).to_pylist()
        (path,) = folder.glob("quotes-*")
        quotes = pq.read_table(path, columns=columns).to_pylist()
    if len(quotes) != len(wanted):
        raise run.WrongAnswerError(f"{collector.name}: {len(quotes)} rows of all kinds of frames, not {len(wanted)}")
    for number, (row, right) in enumerate(zip(quotes, wanted, strict=True)):
        if row != right:
            raise run.WrongAnswerError(f"{collector.name}: row {number} of all kinds of frames is {row}, not {right}")


def check_capture(paths: Sequence[Path], made: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return the receive time and the event time of each frame of the corpus.

    Raises:
        WrongAnswerError: the capture does not have all frames in their order, with their routes.
    """
    rows = [row for path in paths for row in _messages(path)][FIRST_FRAMES:]
    found = [(row["kind"], row["conid"], _without_time(row["raw"])) for row in rows]
    wanted = [(FrameKind.MARKET_DATA, payload["conid"], payload) for payload in map(_without_time, made)]
    if found != wanted:
        raise run.WrongAnswerError("the capture does not have the frames of the corpus in their order")
    return [(row["received_ns"], json.loads(row["raw"])["_updated"]) for row in rows]


def check_other_columns(paths: Sequence[Path], captured: Sequence[tuple[int, int]]) -> None:
    """Check the columns of the quotes that `check_table` does not, for frames with these receive and event times.

    Raises:
        WrongAnswerError: a column is wrong.
    """
    quotes = pa.concat_tables([pq.read_table(path) for path in paths], promote_options="default")
    for got, wanted in zip(quotes.schema, quotes_schema(), strict=True):
        if not got.equals(wanted):
            raise run.WrongAnswerError(f"a column is {got}, not {wanted}")
    columns = {name: quotes[name].to_pylist() for name in ("availability", "symbol", "target", "last_price_prefix")}
    for name, wanted in (("availability", "RB"), ("symbol", None), ("target", None), ("last_price_prefix", None)):
        if set(columns[name]) != {wanted}:
            raise run.WrongAnswerError(f"{name} is {set(columns[name])}, not {wanted}")
    names = ("received", "updated", "conid", "segment", "late_ns")
    received, updated, conids, segments, late = (quotes[name].cast(pa.int64()).to_pylist() for name in names)
    if list(zip(received, updated, strict=True))[len(frames.CONIDS) :] != captured:
        raise run.WrongAnswerError("the times of the rows are not those of the capture")
    firsts: dict[int, int] = {}
    for conid, received_ns in zip(conids, received, strict=True):
        firsts.setdefault(conid, received_ns)
    if segments != [firsts[conid] for conid in conids]:
        raise run.WrongAnswerError("the segments are not the receive times of the first rows")
    if any(value != 0 and value <= 1_000_000_000 for value in late):
        raise run.WrongAnswerError("rows are late by less than a second")


def _messages(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.ipc.open_stream(path.read_bytes()).read_all().to_pylist()
    return rows


def _without_time(raw: bytes) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(raw)
    del payload["_updated"]
    return payload


def measure(
    runs: int, count: int, names: Sequence[str], collectors: Sequence[registry.Contender] = (OWN,)
) -> dict[str, Any]:
    """Check the answers, then measure everything `runs` times, one after the other."""
    for collector in collectors:
        check(names, collector)
    for name in ("ticks", "quotes"):
        writer_ns(name, list(batches(10_000)), is_checked=True)
    made = list(batches(min(count, WRITER_FRAMES)))
    results: dict[str, Any] = {"writers_cpu_ns": {"capture": [], "ticks": [], "quotes": []}, "collect": []}
    for _ in range(runs):
        for name, times in results["writers_cpu_ns"].items():
            times.append(writer_ns(name, made))
        for collector in collectors:
            with tempfile.TemporaryDirectory(prefix="cpapi-fast-bench-") as folder:
                share = collector.frames / FRAMES
                results["collect"].append(collected(collector, round(count * share), names, Path(folder)))
    return results


def show(results: dict[str, Any]) -> None:
    """Print the results as tables."""
    writers = tables.table("writers alone: median (least .. most)", "file", "ns of CPU per frame", "rows per s")
    for name, times in results["writers_cpu_ns"].items():
        writers.add_row(name, tables.spread(times), f"{1e9 / median(times):,.0f}")
    ends = tables.table(
        "collect, from the socket to the files",
        "collector",
        "files",
        "frames",
        "frames per s (wall)",
        "CPU per frame",
        "of the loop",
        "bytes per frame",
        "memory",
        texts=2,
    )
    for one in results["collect"]:
        sampled = one["memory_mb"][len(one["memory_mb"]) // 2]
        ends.add_row(
            one["label"],
            ", ".join(("capture", *one["tables"])),
            f"{one['frames']:,}",
            f"{1e9 / one['wall_ns']:,.0f}",
            f"{one['cpu_ns']:,.0f} ns",
            f"{one['loop_cpu_ns']:,.0f} ns",
            f"{sum(one['bytes'].values()) / one['frames']:.1f}",
            f"{sampled:,.0f} MB, at most {one['max_rss_kib'] * 1024 / 1e6:,.0f} MB",
        )
    tables.show(writers, ends)


def selected(peers: str, names: Sequence[str], manifest: Path = registry.MANIFEST) -> tuple[registry.Contender, ...]:
    """Return the collectors to measure, for the value of `--peers`.

    Raises:
        SystemExit: as described for `registry.collectors`.
    """
    if peers == "none":
        return (OWN,)
    if tuple(names) != PEER_TABLES:
        print(f"the peers are left out: they write the table {', '.join(PEER_TABLES)} only", file=sys.stderr)
        return (OWN,)
    return registry.collectors(manifest)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.collecting", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"frames from the socket, {FRAMES:,} by default")
    parser.add_argument("--runs", type=int, default=1, help="runs of each measurement")
    parser.add_argument("--tables", default="quotes", help="the tables that are collected, separated by commas")
    parser.add_argument("--peers", choices=("all", "none"), default="all", help="whether other collectors are measured")
    given = parser.parse_args()
    names = given.tables.split(",")
    collectors = selected(given.peers, names)
    facts_of_machine = facts.machine()
    print(f"{facts_of_machine['cpu']}, {facts_of_machine['cores']} cores, load {facts_of_machine['load_at_start']}")
    show(measure(given.runs, given.frames, names, collectors))


if __name__ == "__main__":
    main()

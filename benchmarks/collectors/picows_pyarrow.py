"""picows, orjson and pyarrow: a collector of quotes in Python.

It has two threads. The thread of the event loop reads the socket, decodes each frame and carries the values of its
subscription forward in a dict. The other one makes tables of the rows and writes them, a row group or four MiB of
frames at a time. A full queue between them stops the reading of the socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
import picows
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.collectors import Clocks, memory_mb, parse, report
from benchmarks.work import number_decoded, route_decoded

GROUP_ROWS: Final = 65_536
FILE_ROWS: Final = 1_000_000
MESSAGE_BYTES: Final = 2 * 1024 * 1024
#: How many groups may wait for the thread.
MOST_WAITING: Final = 4
LATE_NS: Final = 1_000_000_000
MARKET_DATA: Final = 2
# Names of the module are found faster than members of an enum.
BINARY: Final = picows.WSMsgType.BINARY
TEXT: Final = picows.WSMsgType.TEXT
CLOSE: Final = picows.WSMsgType.CLOSE

#: The fields with numbers, and their columns; the column after the last price has the letter before it.
COLUMNS: Final = {
    "31": "last_price",
    "84": "bid_price",
    "86": "ask_price",
    "85": "ask_size",
    "88": "bid_size",
    "87": "volume",
}
_TEXT: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("received", pa.timestamp("ns", "UTC"), nullable=False),
        pa.field("updated", pa.timestamp("ms", "UTC")),
        pa.field("late_ns", pa.int64(), nullable=False),
        pa.field("conid", pa.int64(), nullable=False),
        pa.field("symbol", _TEXT),
        pa.field("target", _TEXT),
        pa.field("segment", pa.int64(), nullable=False),
        pa.field("availability", _TEXT),
        pa.field("last_price", pa.float64()),
        pa.field("last_price_prefix", _TEXT),
        *(pa.field(name, pa.float64()) for name in COLUMNS.values() if name != "last_price"),
    ]
)
#: As `collect` writes them: statistics of the columns by which readers select rows, and times as differences.
PARQUET: Final = {
    "compression": "zstd",
    "write_statistics": ["received", "updated", "conid"],
    "use_dictionary": [name for name in SCHEMA.names if name not in ("received", "updated")],
    "column_encoding": dict.fromkeys(("received", "updated"), "DELTA_BINARY_PACKED"),
}
CAPTURE_SCHEMA: Final = pa.schema(
    [
        pa.field("received_ns", pa.int64(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("conid", pa.int64(), nullable=False),
        pa.field("raw", pa.binary(), nullable=False),
    ]
)

#: A kind of group, and its values: one tuple for each row.
Group = tuple[str, list[tuple[Any, ...]]]


def number(text: Any) -> float | None:
    """Return the number in a field. Commas may be anywhere, because that is faster than to check them."""
    try:
        return float(text.replace(",", ""))
    except (AttributeError, ValueError):
        return number_decoded(text)


def new_state(target: str, received_ns: int) -> dict[str, Any]:
    """Return the values of a subscription before its first frame, by column, in the order of the schema."""
    digits = target.partition("@")[0].partition(";")[0]
    state: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    state["conid"] = int(digits) if digits.isdecimal() else -1
    state["target"] = None if target.isdecimal() else target
    state["segment"] = received_ns
    return state


class Quotes:
    """The values of each subscription after its last frame, and the rows that are not in a group yet."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self._states: dict[str, dict[str, Any]] = {}
        self._usual_ns: dict[str, int] = {}
        #: The event time of the first of two snapshots, by target, if no frame followed it.
        self._snapshots: dict[str, int | None] = {}

    def add(self, target: str, message: dict[str, Any], received_ns: int) -> int:
        """Add the row of a frame, the second of two equal snapshots excepted, and return its conid."""
        state = self._states.get(target)
        if state is None:
            state = self._states[target] = new_state(target, received_ns)
            self._usual_ns[target] = sys.maxsize
        is_snapshot = "6509" in message
        if is_snapshot:
            before = list(state.values())[3:]
        updated_ms = message.get("_updated")
        late_ns = 0
        if updated_ms is not None:
            took_ns = received_ns - updated_ms * 1_000_000
            usual_ns = self._usual_ns[target]
            if took_ns < usual_ns:
                usual_ns = self._usual_ns[target] = took_ns
            late_ns = took_ns - usual_ns
        state["received"] = received_ns
        state["updated"] = updated_ms
        state["late_ns"] = late_ns if late_ns > LATE_NS else 0
        for code, name in COLUMNS.items():
            if code in message:
                text = message[code]
                state[name] = number(text)
                if code == "31":
                    state["last_price_prefix"] = text[0] if isinstance(text, str) and text[:1] in ("C", "H") else None
        # A dash is the symbol of an unknown contract.
        if "55" in message and message["55"] != "-":
            state["symbol"] = message["55"]
        if is_snapshot:
            state["availability"] = message["6509"]
            first_ms = self._snapshots.pop(target, None)
            if first_ms is not None and first_ms == updated_ms and before == list(state.values())[3:]:
                return int(state["conid"])
            self._snapshots[target] = updated_ms
        elif self._snapshots:
            self._snapshots.pop(target, None)
        self.rows.append(tuple(state.values()))
        return int(state["conid"])


class Listener(picows.WSListener):
    """Passes groups of rows and of frames to the queue."""

    def __init__(self, groups: queue.Queue[Group | None], closed: asyncio.Future[None], half: int) -> None:
        self.frames = 0
        self.memory: list[float] = []
        self._groups = groups
        self._closed = closed
        self._half = half
        self._quotes = Quotes()
        self._raw: list[tuple[Any, ...]] = []
        self._raw_bytes = 0
        self._received_ns = 0
        self._is_new_read = True

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        opcode = frame.msg_type
        if opcode != BINARY and opcode != TEXT:
            if opcode == CLOSE:
                transport.disconnect()
            return
        if self._is_new_read:
            self._received_ns = time.time_ns()
        self._is_new_read = frame.last_in_buffer
        received_ns = self._received_ns
        raw = frame.get_payload_as_bytes()
        try:
            message = orjson.loads(raw)
        except ValueError:
            message = None
        topic = message.get("topic", "") if message else ""
        if topic.startswith("smd+"):
            kind, conid = MARKET_DATA, self._quotes.add(topic[4:], message, received_ns)
            if len(self._quotes.rows) == GROUP_ROWS:
                self._pass_rows()
        else:
            kind, conid = route_decoded(message)
        self._raw.append((received_ns, kind, conid, raw))
        self._raw_bytes += len(raw)
        if self._raw_bytes >= MESSAGE_BYTES:
            self._pass_frames()
        self.frames += 1
        if self.frames == self._half:
            self.memory.append(memory_mb())

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        if self._quotes.rows:
            self._pass_rows()
        self._pass_frames()
        self._closed.set_result(None)

    def _pass_rows(self) -> None:
        self._groups.put(("rows", self._quotes.rows))
        self._quotes.rows = []

    def _pass_frames(self) -> None:
        self._groups.put(("frames", self._raw))
        self._raw = []
        self._raw_bytes = 0


def arrays(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> list[pa.Array]:
    """Return the columns of rows."""
    return [pa.array(values, field.type) for field, values in zip(schema, zip(*rows, strict=True), strict=True)]


class Tables:
    """The Parquet files. An unfinished file has the suffix `.part`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._writer: pq.ParquetWriter | None = None
        self._path = folder
        self._rows = 0

    def write(self, rows: list[tuple[Any, ...]]) -> None:
        """Write rows as one row group."""
        if self._writer is None:
            self._count += 1
            self._path = self._folder / f"quotes-{self._count:06}.parquet"
            self._writer = pq.ParquetWriter(self._path.with_suffix(".part"), SCHEMA, **PARQUET)
        self._writer.write_table(pa.Table.from_arrays(arrays(SCHEMA, rows), schema=SCHEMA))
        self._rows += len(rows)
        if self._rows >= FILE_ROWS:
            self.finish()

    def finish(self) -> None:
        """Finish the current file."""
        if self._writer is not None:
            self._writer.close()
            self._writer, self._rows = None, 0
            part = self._path.with_suffix(".part")
            sync(part)
            part.rename(self._path)


def sync(path: Path) -> None:
    """Flush a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write(groups: queue.Queue[Group | None], folder: Path) -> None:
    """Write groups until None, in a thread."""
    try:
        write_groups(groups, folder)
    except BaseException as error:  # noqa: BLE001  every error ends the process
        # Nobody else would read the queue, so the loop would wait forever.
        print(f"the writer thread has failed: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def write_groups(groups: queue.Queue[Group | None], folder: Path) -> None:
    path = folder / "capture-1.arrows"
    tables = Tables(folder)
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with pa.ipc.new_stream(str(path), CAPTURE_SCHEMA, options=options) as capture:
        while (group := groups.get()) is not None:
            name, rows = group
            if name == "rows":
                tables.write(rows)
            elif rows:
                capture.write_batch(pa.record_batch(arrays(CAPTURE_SCHEMA, rows), schema=CAPTURE_SCHEMA))
    tables.finish()
    sync(path)


async def collect(url: str, conids: list[int], count: int, folder: Path) -> dict[str, Any]:
    """Collect into files until the sender closes, and return the times and the memory."""
    groups: queue.Queue[Group | None] = queue.Queue(MOST_WAITING)
    writer = threading.Thread(target=write, args=(groups, folder))
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    listener = Listener(groups, closed, count // 2)
    transport, _ = await picows.ws_connect(lambda: listener, url)
    writer.start()

    def subscribe(conid: int) -> None:
        fields = json.dumps({"fields": list(COLUMNS)})
        transport.send(picows.WSMsgType.TEXT, f"smd+{conid}+{fields}".encode())

    for conid in conids[:-1]:
        subscribe(conid)
    start = Clocks.now()
    subscribe(conids[-1])
    await closed
    groups.put(None)
    writer.join()
    end = Clocks.now()
    return report(
        listener.frames,
        count,
        end.cost_since(start),
        memory_mb=listener.memory,
        versions={name: version(name) for name in ("picows", "orjson", "pyarrow")},
    )


def main() -> None:
    given = parse(__doc__)
    loop: asyncio.AbstractEventLoop
    if sys.platform == "win32":
        loop = asyncio.new_event_loop()
    else:
        import uvloop

        loop = uvloop.new_event_loop()
    print(json.dumps(loop.run_until_complete(collect(given.url, given.conids, given.frames, given.out))))
    loop.close()


if __name__ == "__main__":
    main()

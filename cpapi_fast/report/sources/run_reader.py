"""RunReader: reads the files of one run into counts, events and the entries of its files"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import orjson

from cpapi_fast.outputs.interface import import_arrow
from cpapi_fast.protocol.kinds import FrameKind
from cpapi_fast.report.model import FileEntry, FileState
from cpapi_fast.report.packages import import_numpy

from .capture_files import CaptureColumns
from .event_files import RunEvents, read_events, safe_text
from .found_files import TABLES, FoundFile
from .lateness import LatenessCounts
from .table_files import TableFile, times_ns
from .time_bins import BinnedCounts, TimeBins

#: The instrument of frames that belong to none.
NO_CONID: Final = -1

_IN_CAPTURE: Final = "its frames are in the capture"


class FrameCounts:
    """The frames of all runs by instrument and time bin.

    Args:
        bins: the time bins of the report.

    Attributes:
        by_conid: the number of frames, the first and the last receive time of each instrument, and of `NO_CONID`.
    """

    def __init__(self, bins: TimeBins) -> None:
        self._np: Final = import_numpy()
        self._pa: Final = import_arrow("pyarrow")
        self._bins: Final = bins
        self._counts: Final = BinnedCounts(bins)
        self._rows: Final[dict[int, int]] = {}
        self.by_conid: Final[dict[int, tuple[int, int, int]]] = {}

    def add(self, conids: Any, times_ns: Any) -> set[int]:
        """Count frames: two arrays of int64 of the same length. Returns their instruments."""
        np = self._np
        if not len(conids):
            return set()
        self._bins.cover(int(times_ns.min()), int(times_ns.max()))
        # A hash table, which takes a tenth of the time of sorting.
        encoded = self._pa.array(conids).dictionary_encode()
        found = encoded.dictionary.to_numpy(zero_copy_only=False)
        places = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        numbers = np.array([self._rows.setdefault(int(one), len(self._rows)) for one in found], dtype=np.int64)
        self._counts.add(numbers[places], times_ns)
        lowest, highest = np.full(len(found), np.iinfo(np.int64).max), np.full(len(found), np.iinfo(np.int64).min)
        np.minimum.at(lowest, places, times_ns)
        np.maximum.at(highest, places, times_ns)
        for conid, *values in zip(found, np.bincount(places), lowest, highest, strict=True):
            frames, first_ns, last_ns = map(int, values)
            before = self.by_conid.get(int(conid))
            if before is not None:
                frames, first_ns, last_ns = frames + before[0], min(first_ns, before[1]), max(last_ns, before[2])
            self.by_conid[int(conid)] = (frames, first_ns, last_ns)
        return {int(one) for one in found}

    def dense(self, conids: Iterable[int]) -> Any:
        """Return the counts as an array: a row for each of the instruments, then one for the frames of none."""
        counted = self._counts.dense(max(len(self._rows), 1))
        nothing = self._np.zeros(counted.shape[1], dtype=counted.dtype)
        numbers = [self._rows.get(conid) for conid in (*conids, NO_CONID)]
        return self._np.stack([nothing if number is None else counted[number] for number in numbers])


class RunReader:
    """Reads the files of one run.

    Frames are counted in the captures. A run without one is counted in `ticks`, or in `quotes`.

    Args:
        run: the digits in the names of its files; empty without them.
        files: its files.
        frames: where its frames are counted.
        lateness: where the lateness of its rows is counted.

    Attributes:
        entries: its files, as far as they can be read.
        events: its events.
        source: where the frames are counted; empty without any.
        frames: the number of frames.
        kinds: the number of frames by kind; empty if they are counted in a table.
        conids: its instruments.
        symbols: the symbols of its instruments.
        span: its first and last receive time; None without one.
    """

    def __init__(self, run: str, files: Iterable[FoundFile], frames: FrameCounts, lateness: LatenessCounts) -> None:
        self.run: Final = run
        self._files: Final = list(files)
        self._counts: Final = frames
        self._lateness: Final = lateness
        self._np: Final = import_numpy()
        self.entries: Final[list[FileEntry]] = []
        self.events: Final = RunEvents()
        self.source = ""
        self.frames = 0
        self.kinds: Final[dict[str, int]] = {}
        self.conids: Final[set[int]] = set()
        self.symbols: Final[dict[int, str]] = {}
        self.span: tuple[int, int] | None = None

    def read(self) -> None:
        """Read all files."""
        for file in self._of("events"):
            self._read_events(file)
        for file in self._of("capture"):
            self._read_capture(file)
        if self.frames:
            self.source = "capture"
        # Ticks have each frame. They are read first, so that quotes are only counted where there are none.
        lateness_from = ""
        for name in ("ticks", "quotes"):
            for file in self._of(name):
                is_counted = not self.source or self.source == name
                has_lateness = self._read_table(file, is_counted=is_counted, is_late=lateness_from in ("", name))
                if is_counted and self.frames:
                    self.source = name
                if has_lateness:
                    lateness_from = name
        for name in TABLES:
            if name not in ("ticks", "quotes"):
                for file in self._of(name):
                    self._read_table(file, is_counted=False, is_late=False)
        self.conids.update(gap["conid"] for gap in self.events.gaps if gap["conid"] is not None)
        self.symbols.update(self.events.symbols)
        self.conids.update(self.events.symbols)

    def _of(self, kind: str) -> list[FoundFile]:
        return [file for file in self._files if file.kind == kind]

    def _read_events(self, file: FoundFile) -> None:
        result = read_events(file.path, self.events)
        notes = [f"it cannot be read: {safe_text(result.error, is_error=True)}"] if result.error else []
        if result.bad_lines:
            notes.append(f"{result.bad_lines:,} lines are no events")
        if result.is_torn:
            notes.append("its last line is incomplete")
        state: FileState = "unfinished" if result.is_torn else "finished"
        if result.error or result.bad_lines:
            state = "damaged"
        self.entries.append(
            FileEntry(
                file.name,
                file.kind,
                self.run,
                file.size_bytes,
                None if result.error else result.events,
                result.first_ns,
                result.last_ns,
                state,
                "; ".join(notes),
            )
        )

    def _read_capture(self, file: FoundFile) -> None:
        np = self._np
        columns = CaptureColumns(file.path)
        first_ns = last_ns = None
        for received, kinds, conids in columns:
            self.conids.update(self._counts.add(conids, received) - {NO_CONID})
            for kind, number in enumerate(np.bincount(kinds)):
                if number:
                    label = FrameKind(kind).label if kind < len(FrameKind) else f"kind {kind}"
                    self.kinds[label] = self.kinds.get(label, 0) + int(number)
            low, high = int(received.min()), int(received.max())
            first_ns = low if first_ns is None else min(first_ns, low)
            last_ns = high if last_ns is None else max(last_ns, high)
        self.frames += columns.frames
        self._extend(first_ns, last_ns)
        self._read_symbols(columns.metadata)
        state: FileState = "finished"
        note = ""
        if not columns.is_capture:
            state, note = "damaged", "it does not begin as a capture"
        elif columns.torn_bytes:
            state = "unfinished"
            note = f"its last {columns.torn_bytes:,} bytes are no complete message"
        elif not columns.is_finished:
            state, note = "unfinished", "it is still being written, or its run was killed"
        self.entries.append(
            FileEntry(
                file.name,
                file.kind,
                self.run,
                file.size_bytes,
                columns.frames if columns.is_capture else None,
                first_ns,
                last_ns,
                state,
                note,
            )
        )

    def _read_table(self, file: FoundFile, *, is_counted: bool, is_late: bool) -> bool:
        """Read a file of a table; returns whether it has lateness that was counted."""
        table = TableFile(file.path)
        state: FileState = "finished"
        if table.error:
            note = f"it is unfinished, and no row of it can be read; {_IN_CAPTURE}"
            if not file.is_part:
                note = f"it is damaged: {safe_text(table.error, is_error=True)}; {_IN_CAPTURE}"
            state = "unfinished" if file.is_part else "damaged"
            self.entries.append(
                FileEntry(file.name, file.kind, self.run, file.size_bytes, None, None, None, state, note)
            )
            return False
        self._extend(table.first_ns, table.last_ns)
        is_late = is_late and table.has("received", "updated")
        names = [
            *(("received",) if is_late or is_counted else ()),
            *(("updated", "late_ns") if is_late else ()),
            *(("conid",) if is_counted else ()),
        ]
        rows = 0
        for batch in table.chunks(*names) if table.has(*names[:1]) else ():
            rows += batch.num_rows
            if is_late:
                self._lateness.add(batch)
            if is_counted and table.has("received", "conid"):
                received = times_ns(batch.column("received"))
                known = received != self._np.iinfo(self._np.int64).min
                conids = batch.column("conid").fill_null(NO_CONID).to_numpy(zero_copy_only=False)[known]
                self.conids.update(self._counts.add(conids, received[known]) - {NO_CONID})
                self.frames += batch.num_rows
        if file.kind in ("ticks", "quotes"):
            self._read_table_symbols(table)
        note, readable = "", table.rows
        if table.error:
            state, readable = "damaged", rows
            note = f"it is damaged after row {rows:,}: {safe_text(table.error, is_error=True)}; {_IN_CAPTURE}"
        elif file.is_part:
            state, note = "unfinished", "its name is that of an unfinished file, and all of its rows can be read"
        self.entries.append(
            FileEntry(
                file.name,
                file.kind,
                self.run,
                file.size_bytes,
                readable,
                table.first_ns,
                table.last_ns,
                state,
                note,
            )
        )
        return is_late and rows > 0

    def _read_table_symbols(self, table: TableFile) -> None:
        """Take symbols from the first rows of a table, while there are instruments without one."""
        if not self.conids or self.conids <= self.symbols.keys() or not table.has("conid", "symbol"):
            return
        for batch in table.chunks("conid", "symbol"):
            pairs = batch.slice(0, 65_536)
            conids = pairs.column("conid").to_numpy(zero_copy_only=False)
            found, first = self._np.unique(conids[::-1], return_index=True)
            texts = pairs.column("symbol")
            for conid, place in zip(found, first, strict=True):
                text = texts[len(conids) - 1 - int(place)].as_py()
                if text is not None:
                    self.symbols.setdefault(int(conid), safe_text(text))
            break

    def _read_symbols(self, metadata: dict[bytes, bytes]) -> None:
        try:
            for one in orjson.loads(metadata.get(b"cpapi_fast.symbols", b"[]")):
                self.symbols[int(one["conid"])] = safe_text(one["symbol"])
        except (ValueError, TypeError, KeyError, AttributeError):
            # The symbols are only names for people.
            return

    def _extend(self, first_ns: int | None, last_ns: int | None) -> None:
        if first_ns is None or last_ns is None:
            return
        before = self.span or (first_ns, last_ns)
        self.span = (min(before[0], first_ns), max(before[1], last_ns))

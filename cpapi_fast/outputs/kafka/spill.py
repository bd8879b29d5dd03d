"""Spill: keeps records on disk that the cluster has not acknowledged, in order, within a bound"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cpapi_fast.outputs.file_names import FileNames

from .records import ACKNOWLEDGED, MOST_ENTRY_BYTES, DoneNote, RecordBlock
from .spill_file import SPILL_SUFFIX, SpillFile

#: The size at which the next spill file begins, so that the space of what is acknowledged becomes free.
_ROLL_BYTES: Final = 64 * 1024 * 1024


class _Waiting(NamedTuple):
    """A block that is only on disk."""

    topic: str
    file: SpillFile
    position: int
    length: int
    records: int
    done: tuple[tuple[int, int], ...] = ()
    is_own: bool = True


class Spill:
    """The spill files of one folder.

    Blocks are in two states here. Those of `keep` are in memory too, and are sent from there; their copies are for the
    next run, after a kill. Those of `put` are on disk only, and `take` returns them in the same order.

    Args:
        folder: the folder.
        run: six digits in the names of the files.
        limit_bytes: how many bytes all spill files of this run may have.
        file_mode: the permissions of new files.
        on_notice: called with a line of text about files of earlier runs.
    """

    def __init__(
        self, folder: Path, run: str, limit_bytes: int, file_mode: int, on_notice: Callable[[str], object]
    ) -> None:
        self.folder: Final = folder
        self._names: Final = FileNames(folder, "unsent", SPILL_SUFFIX, run=run)
        self._limit_bytes: Final = limit_bytes
        self._file_mode: Final = file_mode
        self._on_notice: Final = on_notice
        self._files: Final[list[SpillFile]] = []
        self._current: SpillFile | None = None
        self._waiting: Final[deque[_Waiting]] = deque()
        #: How many records of this run, and of earlier ones, are only on disk.
        self.waiting = 0
        self.recovered_waiting = 0
        #: How many records were written, ever.
        self.spilled = 0
        #: How many records of earlier runs are damaged.
        self.damaged_entries = 0
        #: The topics of the records of earlier runs.
        self.waiting_topics: Final[set[str]] = set()

    def __bool__(self) -> bool:
        """Whether blocks are only on disk."""
        return bool(self._waiting)

    @property
    def paths(self) -> list[Path]:
        """The spill files, oldest first."""
        return [file.path for file in self._files]

    @property
    def nbytes(self) -> int:
        """The size of all spill files."""
        return sum(file.nbytes for file in self._files)

    def recover(self) -> int:
        """Find the files of earlier runs. Their records that are not finished are the first that `take` returns.

        Returns:
            The number of these records.
        """
        found = 0
        for path in sorted(self.folder.glob(f"*{SPILL_SUFFIX}")):
            try:
                file = SpillFile(path, None)
            except BlockingIOError:
                continue  # Another run has it.
            except OSError as exc:
                self._on_notice(f"cannot read the unsent records in {path}: {exc.strerror}")
                continue
            count = self._recover(file)
            found += count
            if file.open_blocks:
                self._files.append(file)
                self._on_notice(f"{path} has {count:,} records that an earlier run did not send; they are sent now")
            else:
                file.remove()
        self.recovered_waiting = found
        return found

    def _recover(self, file: SpillFile) -> int:
        blocks: dict[tuple[str, bytes, int], tuple[int, int, int]] = {}
        done: dict[tuple[str, bytes, int], list[tuple[int, int]]] = {}
        damaged = 0
        for position, length, entry in file.entries():
            if entry is None:
                damaged += 1
            elif isinstance(entry, DoneNote):
                done.setdefault(entry.key, []).append((entry.start, entry.stop))
            else:
                blocks[entry.topic, entry.run, entry.first_sequence] = (position, length, len(entry))
        if damaged:
            self.damaged_entries += damaged
            self._on_notice(f"{damaged:,} blocks of records in {file.path} are damaged and were left out")
        found = 0
        for key, (position, length, count) in blocks.items():
            ranges = tuple(done.get(key, ()))
            left = count - len({index for start, stop in ranges for index in range(start, stop)})
            if left:
                found += left
                self.waiting_topics.add(key[0])
                file.open_blocks += 1
                self._waiting.append(_Waiting(key[0], file, position, length, left, ranges, is_own=False))
        return found

    def keep(self, block: RecordBlock) -> bool:
        """Write a block that stays in memory too. Returns False if there is no room for it.

        Raises:
            OSError: it cannot be written.
        """
        return self._write(block) is not None

    def put(self, block: RecordBlock) -> bool:
        """Write a block, so that its memory is free. Returns False if there is no room for it. Raises like `keep`."""
        written = self._write(block)
        if written is None:
            return False
        self._waiting.append(_Waiting(block.topic, *written, len(block)))
        self.waiting += len(block)
        return True

    def _write(self, block: RecordBlock) -> tuple[SpillFile, int, int] | None:
        entry = block.entry()
        if self.nbytes + len(entry) > self._limit_bytes or len(entry) > MOST_ENTRY_BYTES:
            return None
        if self._current is None or self._current.nbytes >= _ROLL_BYTES:
            self._current = SpillFile(self._names.next(), self._file_mode)
            self._files.append(self._current)
        file = self._current
        position = file.append(entry)
        file.open_blocks += 1
        block.spilled = file
        self.spilled += len(block)
        self.note_progress(block)
        return file, position, len(entry)

    def take(self) -> tuple[RecordBlock | None, dict[str, int]]:
        """Return the oldest block that is only on disk.

        Returns:
            The block, or None if it is damaged; and by topic, how many records of this run are lost with it.

        Raises:
            OSError: it cannot be read.
        """
        waiting = self._waiting[0]
        block = waiting.file.read(waiting.position, waiting.length)
        self._waiting.popleft()
        if waiting.is_own:
            self.waiting -= waiting.records
        else:
            self.recovered_waiting -= waiting.records
        if not isinstance(block, RecordBlock):
            self._finish(waiting.file)
            return None, {waiting.topic: waiting.records} if waiting.is_own else {}
        block.spilled, block.is_own = waiting.file, waiting.is_own
        for start, stop in waiting.done:
            block.fates[start:stop] = bytes((ACKNOWLEDGED,)) * (stop - start)
        return block, {}

    def finish(self, block: RecordBlock) -> None:
        """Note that all records of a block are finished. A file without other blocks is deleted."""
        file = block.spilled
        if file is not None:
            block.spilled = None
            if file.open_blocks > 1:
                # Without the note, they are sent again after a kill.
                with suppress(OSError):
                    file.append(block.done_entry(0, len(block)))
            self._finish(file)

    def _finish(self, file: SpillFile) -> None:
        file.open_blocks -= 1
        if file.open_blocks == 0:
            if file is self._current:
                self._current = None
            self._files.remove(file)
            file.remove()

    def note_progress(self, block: RecordBlock) -> None:
        """Note which records of a block are finished. Without the note, they are sent again after a kill."""
        if block.spilled is not None:
            with suppress(OSError):
                for start, stop in block.finished_ranges:
                    block.spilled.append(block.done_entry(start, stop))

    def close(self) -> None:
        """Close the files. They stay for the next run."""
        for file in self._files:
            file.close()

"""SpillFile: a file with records that the cluster has not acknowledged, and notes of those that it has"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from cpapi_fast.new_file import create_file
from cpapi_fast.outputs.interface import write_all

from .records import HEAD_BYTES, DoneNote, RecordBlock, entry_length, read_entry

#: The suffix of spill files. A file is there only while the cluster has not acknowledged all of its records.
SPILL_SUFFIX: Final = ".kafka-spill"


class SpillFile:
    """One spill file. It is locked while its object exists, where the system has such locks.

    Args:
        path: the file.
        mode: its permissions, if it is created; None to open an existing one.

    Raises:
        OSError: the file cannot be created or opened. `BlockingIOError`: another run has it.

    Attributes:
        nbytes: its length up to the last whole entry.
        open_blocks: how many of its blocks are not finished.
    """

    def __init__(self, path: Path, mode: int | None) -> None:
        self.path: Final = path
        self._file: Final[IO[bytes]] = path.open("r+b", buffering=0) if mode is None else create_file(path, mode)
        try:
            _lock(self._file)
            self._reader: Final = path.open("rb", buffering=0)
        except BaseException:
            self._file.close()
            raise
        self.nbytes = 0
        self.open_blocks = 0

    def append(self, entry: bytes) -> int:
        """Write an entry after the last whole one, and return its position. After an error, the file is as before."""
        position = self.nbytes
        try:
            self._file.seek(position)
            write_all(self._file, entry)  # type: ignore[arg-type]
        except BaseException:
            self._file.truncate(position)
            raise
        self.nbytes += len(entry)
        return position

    def read(self, position: int, length: int) -> RecordBlock | DoneNote | None:
        """Return the entry at a position; None if it is damaged."""
        self._reader.seek(position)
        entry = self._reader.read(length)
        return read_entry(entry) if entry_length(entry) == length == len(entry) else None

    def entries(self) -> Iterator[tuple[int, int, RecordBlock | DoneNote | None]]:
        """Iterate over the whole entries: position, length and content, None for one that is damaged.

        Afterwards, `nbytes` is the end of the last of them.
        """
        size = os.fstat(self._reader.fileno()).st_size
        self.nbytes = 0
        while True:
            self._reader.seek(self.nbytes)
            length = entry_length(self._reader.read(HEAD_BYTES))
            if length is None or self.nbytes + length > size:
                return
            yield self.nbytes, length, self.read(self.nbytes, length)
            self.nbytes += length

    @property
    def torn_bytes(self) -> int:
        """How many bytes are after the last whole entry."""
        return os.fstat(self._reader.fileno()).st_size - self.nbytes

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._reader.close()
        self._file.close()

    def remove(self) -> None:
        """Close and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: a file that is open elsewhere cannot be deleted there.
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

"""The interface of all outputs, and their shared functions: counts, errors, and renaming of finished files."""

from __future__ import annotations

import errno
import io
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from cpapi_fast.errors import MissingDependencyError, OutputError
from cpapi_fast.new_file import create_file
from cpapi_fast.redaction import repr_without_accounts

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

    from .run_events import FileChange, RecordedEvent

#: The suffix of an unfinished file. Such a file is never read, and only its writer removes it.
PART_SUFFIX: Final = ".part"

#: The start of the reasons for items that were lost with their file.
_LOST_WITH_FILE: Final = "file"

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


@repr_without_accounts
@dataclass
class OutputCounts:
    """The counts of one output: received = written + taken_away + dropped + pending, at all times.

    Attributes:
        received: how many frames, rows or events were passed to the output.
        written: how many are in a readable file.
        pending: how many are in memory, or in an unfinished file.
        dropped: how many will never be written, or were lost with their file, by reason.
        taken_away: how many were written to files that another program has moved, or has removed after they were
            finished.
    """

    received: int = 0
    written: int = 0
    pending: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    taken_away: int = 0

    @property
    def dropped_total(self) -> int:
        """How many were dropped, over all reasons."""
        return sum(self.dropped.values())

    def drop(self, count: int, reason: str) -> None:
        """Count `count` received items as dropped."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def drop_pending(self, reason: str) -> None:
        """Count all pending items as dropped."""
        self.drop(self.pending, reason)
        self.pending = 0

    def lose(self, count: int, state: str) -> None:
        """Count `count` written items as dropped, because another program has deleted or changed their file."""
        self.written -= count
        self.drop(count, f"{_LOST_WITH_FILE} {state}")

    def take_away(self, count: int) -> None:
        """Count `count` written items as taken away with their file."""
        self.written -= count
        self.taken_away += count

    @property
    def lost(self) -> int:
        """How many were dropped because another program has deleted or changed their file."""
        return sum(count for reason, count in self.dropped.items() if self.is_loss(reason))

    @staticmethod
    def is_loss(reason: str) -> bool:
        """Whether a reason in `dropped` says that items were lost with their file."""
        return reason.startswith(_LOST_WITH_FILE)

    def copy(self) -> OutputCounts:
        """Return the same counts as another object."""
        return OutputCounts(self.received, self.written, self.pending, dict(self.dropped), self.taken_away)

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.dropped.items()))
        dropped = f"{self.dropped_total:,} dropped" + (f" ({reasons})" if reasons else "")
        away = f"{self.taken_away:,} in files that were taken away + " if self.taken_away else ""
        return f"{self.received:,} received = {self.written:,} written + {away}{dropped} + {self.pending:,} pending"


class FileOutput(Protocol):
    """The interface of every output of files. It counts what it is passed. It is not thread-safe."""

    @property
    def name(self) -> str:
        """The name of the output in the summary."""

    @property
    def unit(self) -> str:
        """The unit of its counts: `frames`, `quotes` or `events`."""

    @property
    def counts(self) -> OutputCounts:
        """The counts of the output."""

    @property
    def files(self) -> list[Path]:
        """The readable files, oldest first."""

    @property
    def changes(self) -> list[FileChange]:
        """What other programs did to the files. The reader removes what it has read."""

    def poll(self) -> float:
        """Do the work that is due, such as a flush.

        Returns:
            The time until the next work is due, in seconds of the clock.

        Raises:
            OutputError: a file cannot be written. The output then accepts nothing more.
        """

    def close(self) -> None:
        """Write the pending items and finish the files; after an error, only close them. Raises like `poll`."""


class BatchOutput(FileOutput, Protocol):
    """An output for batches."""

    def write(self, batch: Batch) -> None:
        """Write a batch. Raises like `poll`."""

    def discard(self, batch: Batch) -> None:
        """Count a batch as received and dropped, after an error."""


class EventOutput(FileOutput, Protocol):
    """An output for events."""

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Write an event. `row` is the number of frames before it. Raises like `poll`."""

    def discard_event(self, event: RecordedEvent) -> None:
        """Count an event as received and dropped, after an error."""


class WriteMeter(Protocol):
    """Measures how long frames wait until an output has written them."""

    def on_batch(self, batch: Batch, counts: OutputCounts, /) -> None:
        """Note a batch after it was passed to the output that has these counts."""

    def settle(self, counts: OutputCounts, /) -> None:
        """Measure what was written since the last call."""


@runtime_checkable
class EventObserver(Protocol):
    """An output for batches that depends on the events between them."""

    def observe_event(self, event: RecordedEvent) -> None:
        """Take note of an event, after the batches before it and before those after it."""


def output_error(exc: BaseException, path: Path) -> OutputError:
    """Return the `OutputError` for an error of the operating system or of Arrow while writing `path`."""
    number = getattr(exc, "errno", None)
    reason = getattr(exc, "strerror", None) or str(exc)
    if number in _DISK_FULL:
        advice = "free some space, or write to another disk; the data before it stays readable"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "make it writable, or choose another folder"
    elif number == errno.EEXIST:
        advice = "files are never overwritten; choose another name"
    elif number in (errno.ENOTDIR, errno.ENOENT, errno.EISDIR):
        advice = "choose a folder that exists or can be created"
    else:
        advice = "the data before it stays readable"
    return OutputError(f"cannot write {path}: {reason}; {advice}", path=str(path))


def import_arrow(name: str) -> Any:
    """Import `pyarrow` or one of its modules, and return it.

    Raises:
        MissingDependencyError: pyarrow is not installed. The message states how to install it.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingDependencyError.of("writing and reading files", "pyarrow") from exc


def system_pool() -> Any:
    """Return the memory pool of Arrow for the streams of outputs: messages of captures, and buffers of Parquet files.

    The default pool keeps up to ten times the memory in use. What Arrow allocates while it compresses a message or
    prepares a row group is there all the same.
    """
    return import_arrow("pyarrow").system_memory_pool()


def make_folder(folder: Path) -> None:
    """Create `folder` if it does not exist, and check that files can be created in it.

    Raises:
        OutputError: the folder or a file in it cannot be created.
    """
    # Two runs may check one folder at the same time.
    probe = folder / f".cpapi-fast-{secrets.token_hex(8)}{PART_SUFFIX}"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as exc:  # The path exists and is not a folder.
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from exc
        create_file(probe).close()
        probe.unlink()
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
        raise output_error(exc, folder) from exc


def unfinished_files(folder: Path) -> list[Path]:
    """Return the unfinished files in `folder`, of killed runs or of other runs, sorted by name."""
    return sorted(path for path in folder.glob(f"*{PART_SUFFIX}") if not path.name.startswith("."))


def write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write all of `data` to an unbuffered file.

    It calls `write` repeatedly, because a full disk accepts a part of the data before it fails.
    """
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def sync(file: io.FileIO) -> None:
    """Flush a file to the disk, if the file system supports it. Raises OSError for delayed write errors."""
    try:
        os.fsync(file.fileno())
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def publish(part: Path, final: Path) -> None:
    """Rename a finished file to its final name, atomically and without overwriting another file.

    Raises:
        FileExistsError: the final name exists. `part` is unchanged.
        OSError: the file cannot be renamed.
    """
    try:
        # A hard link fails if the name exists; a rename on POSIX overwrites the file.
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:
        # The file system has no hard links (FAT, some network mounts), so check before the rename. On Windows the
        # rename itself fails if the name exists.
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        part.rename(final)
    else:
        # The file has its final name, so a failure to remove the other name is not an error.
        with suppress(OSError):
            part.unlink()

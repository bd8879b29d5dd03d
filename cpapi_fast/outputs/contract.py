"""What all writers of files share: how they count, how they fail, and how a finished file gets its name."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from cpapi_fast.errors import MissingDependencyError, OutputError
from cpapi_fast.events import FeedEvent

if TYPE_CHECKING:
    from cpapi_fast.frames.batch import Batch

#: A file whose name ends so is not finished. It is never read by us, and never removed by anyone but its writer.
PART_SUFFIX: Final = ".part"

_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})


@dataclass
class OutputCounts:
    """Where the frames (or rows) went that an output was given: received = written + dropped + pending, always.

    Attributes:
        received: how many were given to the output.
        written: how many are in a file where a reader finds them.
        pending: how many wait: in memory, or in a file that is not finished.
        dropped: how many will never be written, by reason.
    """

    received: int = 0
    written: int = 0
    pending: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def dropped_total(self) -> int:
        """How many were dropped for any reason."""
        return sum(self.dropped.values())

    def drop(self, count: int, reason: str) -> None:
        """Count `count` received ones as dropped."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def drop_pending(self, reason: str) -> None:
        """Count all that wait as dropped."""
        self.drop(self.pending, reason)
        self.pending = 0

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(self.dropped.items()))
        dropped = f"{self.dropped_total:,} dropped" + (f" ({reasons})" if reasons else "")
        return f"{self.received:,} received = {self.written:,} written + {dropped} + {self.pending:,} pending"


@dataclass(frozen=True, slots=True)
class DiskChange:
    """The disk has fallen behind the data, or has caught up.

    Attributes:
        time_ns: when, in ns since the Unix epoch.
        is_slow: which of the two.
        policy: what is done about frames meanwhile.
    """

    time_ns: int
    is_slow: bool
    policy: str


#: What can be written down besides frames.
RecordedEvent = FeedEvent | DiskChange


class Output(Protocol):
    """What all writers of files have, whatever they are fed with; by one thread at a time."""

    @property
    def name(self) -> str:
        """What it is called in the summary."""

    @property
    def unit(self) -> str:
        """What it counts: `frames`, `quotes` or `events`."""

    @property
    def counts(self) -> OutputCounts:
        """Where what it was given went."""

    @property
    def files(self) -> list[Path]:
        """The files that a reader can open, oldest first."""

    def poll(self) -> float:
        """Do what is due, and say in how many seconds of the clock the next thing is.

        Raises OutputError when a file cannot be written; the writer then takes nothing more.
        """

    def close(self) -> None:
        """Write what waits and finish the files; after a failure only let go of them. Raises as `poll` does."""


class BatchOutput(Output, Protocol):
    """A writer that is fed with batches."""

    def write(self, batch: Batch) -> None:
        """Take a batch. Raises as `poll` does."""

    def discard(self, batch: Batch) -> None:
        """Count a batch as received and dropped, after a failure."""


class EventOutput(Output, Protocol):
    """A writer that is fed with events."""

    def write_event(self, event: RecordedEvent, row: int) -> None:
        """Take an event, and how many frames came before it. Raises as `poll` does."""

    def discard_event(self, event: RecordedEvent) -> None:
        """Count an event as received and dropped, after a failure."""


def output_error(exc: BaseException, path: Path) -> OutputError:
    """The typed error for a failure of the operating system (or of Arrow's own file code) to write `path`."""
    number = getattr(exc, "errno", None)
    reason = getattr(exc, "strerror", None) or str(exc)
    if number in _DISK_FULL:
        advice = "free some space, or write to another disk; what was written before stays readable"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "make it writable, or give another folder"
    elif number == errno.EEXIST:
        advice = "a file is never overwritten: give another name"
    elif number in (errno.ENOTDIR, errno.ENOENT, errno.EISDIR):
        advice = "give the path of a folder that exists or can be made"
    else:
        advice = "what was written before stays readable"
    return OutputError(f"cannot write {path}: {reason}; {advice}", path=str(path))


def import_arrow(name: str) -> Any:
    """Import `pyarrow` or one of its modules.

    Raises:
        MissingDependencyError: it is not installed; the message says how to install it.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingDependencyError(
            'writing and reading files needs pyarrow: pip install "cpapi-fast[arrow]"'
        ) from exc


def make_folder(folder: Path) -> None:
    """Make `folder` if it is not there, and try whether a file can be made in it.

    Raises:
        OutputError: it cannot be made or written.
    """
    probe = folder / f".cpapi-fast-{os.getpid()}{PART_SUFFIX}"
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as exc:  # What is there is no folder.
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from exc
        with probe.open("xb"):
            pass
        probe.unlink()
    except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
        raise output_error(exc, folder) from exc


def leftovers(folder: Path) -> list[Path]:
    """Files in `folder` that a run which was killed left unfinished, by name. They are only named, never touched."""
    return sorted(path for path in folder.glob(f"*{PART_SUFFIX}") if not path.name.startswith("."))


def write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write all of `data` to an unbuffered file: a disk that fills up takes what fits, and fails at the next call."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def sync(file: io.FileIO) -> None:
    """Wait until the disk has the file, where the file system knows how to; a late write error comes out here."""
    try:
        os.fsync(file.fileno())
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


@contextmanager
def removed_on_error(part: Path) -> Iterator[None]:
    """Remove an unfinished file when the work on it fails; on a full disk that also gives room to what is finished."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


def publish(part: Path, final: Path) -> None:
    """Give a finished file its final name, whole or not at all, and never over another file.

    Raises:
        FileExistsError: something of that name is there; `part` is left as it is.
        OSError: the file system refused.
    """
    try:
        # A hard link fails when the name is taken, which a rename on POSIX does not.
        os.link(part, final)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system (FAT, some network mounts). What is left is a look before the rename; on
        # Windows the rename itself refuses a name that is taken.
        if final.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        part.rename(final)
    else:
        # The file has its final name by now; a second, unfinished-looking name for it is a blemish, not an error.
        with suppress(OSError):
            part.unlink()

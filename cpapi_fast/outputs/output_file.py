"""OutputFile: a new file that is open for writing, and the check that its path still leads to what was written."""

from __future__ import annotations

import enum
import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

from cpapi_fast.errors import ConfigError, OutputError
from cpapi_fast.new_file import PRIVATE_MODE, create_file

from .file_lock import try_lock
from .file_names import FileNames
from .interface import PART_SUFFIX, OutputCounts, output_error, publish, sync, write_all
from .run_events import FileChange

#: What to do when another program deletes, moves or changes a file that is being written: continue in a new file, or
#: end with an error.
LostFiles = Literal["recreate", "fail"]

#: How many names are tried if files with these names exist.
_MAX_NAMES: Final = 100

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE})


class FileState(enum.Enum):
    """What other programs did to a file that is open here."""

    INTACT = "intact"
    #: It has no name any more, so nobody can open it.
    DELETED = "deleted"
    #: Its path leads to another file or to none, and it has another name.
    MOVED = "moved"
    #: It is shorter or longer than what was written to it.
    CHANGED = "changed"


class OutputFile:
    """A new file that is open for writing, and locked until it is closed. Only complete messages remain in it.

    Args:
        path: the file to create.
        mode: its permissions.

    Raises:
        OSError, ValueError: the file cannot be created.
    """

    __slots__ = ("_file", "nbytes", "path")

    def __init__(self, path: Path, mode: int = PRIVATE_MODE) -> None:
        self.path = path
        #: How many bytes of complete messages were written.
        self.nbytes = 0
        self._file: Final = create_file(path, mode)
        if try_lock(self._file.fileno()) is False or not os.fstat(self._file.fileno()).st_nlink:
            # Another run takes it for a file of a killed run, or has removed it, in the moment before it was locked.
            self.close()
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))

    def append(self, message: bytes | memoryview) -> None:
        """Write a message with all its bytes, or leave the file unchanged and raise OSError or another error."""
        try:
            write_all(self._file, message)
        except BaseException:
            with suppress(OSError):
                self._file.truncate(self.nbytes)
            raise
        self.nbytes += memoryview(message).nbytes

    def state(self) -> FileState:
        """What other programs did to the file. It costs two calls of the operating system."""
        try:
            own = os.fstat(self._file.fileno())
        except OSError as exc:
            if exc.errno in _GONE:
                return FileState.DELETED
            raise
        if own.st_nlink == 0:
            return FileState.DELETED
        try:
            there = self.path.stat()
        except OSError as exc:
            # A folder that may not be searched hides the file. It is still there.
            if exc.errno not in _GONE:
                return FileState.INTACT
            return FileState.MOVED
        if (there.st_dev, there.st_ino) != (own.st_dev, own.st_ino):
            return FileState.MOVED
        return FileState.INTACT if own.st_size == self.nbytes else FileState.CHANGED

    @property
    def final_path(self) -> Path:
        """The path without the suffix of an unfinished file."""
        return self.path.with_name(self.path.name.removesuffix(PART_SUFFIX))

    def publish(self, final: Path) -> None:
        """Rename the file to its final name, atomically and without overwriting another file. Raises OSError."""
        publish(self.path, final)
        self.path = final

    def sync(self) -> None:
        """Flush the file to the disk. Raises OSError for delayed write errors."""
        sync(self._file)

    def number(self) -> int:
        """The number of the file, which no other file of its file system has while this one exists."""
        return os.fstat(self._file.fileno()).st_ino

    def close(self) -> None:
        """Close the file. Idempotent."""
        # A delayed write error has been raised by `sync`, or the file is given up.
        with suppress(OSError):
            self._file.close()

    def remove(self) -> None:
        """Close the file, and delete it unless its path leads to another file."""
        try:
            is_own = self.state() in (FileState.INTACT, FileState.CHANGED)
        except (OSError, ValueError):
            is_own = False
        self.close()
        if is_own:
            with suppress(OSError):
                self.path.unlink()


class FinishedFiles:
    """The finished files of one output, and the check that they are still there.

    Args:
        count_items: returns how many items of a file can be read.

    Attributes:
        paths: the files as texts, oldest first.
    """

    def __init__(self, count_items: Callable[[Path], int]) -> None:
        self.paths: Final[list[str]] = []
        self._count_items: Final = count_items
        # By path: the number of the file in its file system, its size, and how many items it has.
        self._facts: Final[dict[str, tuple[int, int, int]]] = {}

    def add(self, file: OutputFile, items: int) -> None:
        """Add a file that is complete and still open."""
        path = str(file.path)
        self.paths.append(path)
        self._facts[path] = (file.number(), file.nbytes, items)

    def settle(self, counts: OutputCounts) -> None:
        """Correct the counts for the files that are not there any more, or changed. Those not there are forgotten."""
        kept = [path for path in self.paths if path not in self._facts or self._is_there(path, counts)]
        self.paths[:] = kept

    def _is_there(self, path: str, counts: OutputCounts) -> bool:
        number, nbytes, items = self._facts[path]
        try:
            there = Path(path).stat()
        except OSError as exc:
            if exc.errno not in _GONE:
                return True
            there = None
        if there is None or there.st_ino != number:
            counts.take_away(items)
            return False
        if there.st_size != nbytes:
            readable = min(items, self._count_items(Path(path)))
            counts.lose(items - readable, FileState.CHANGED.value)
            # So that nothing is counted twice.
            self._facts[path] = (number, there.st_size, readable)
            return readable > 0
        return True


class LossPolicy:
    """What an output does about a file that another program deleted, moved or changed, and its reports.

    Args:
        counts: the counts of the output.
        unit: what it counts.
        policy: whether to continue in a new file.

    Raises:
        ConfigError: the policy is unknown.
    """

    def __init__(self, counts: OutputCounts, unit: str, policy: LostFiles) -> None:
        if policy not in get_args(LostFiles):
            raise ConfigError(f"lost_files must be one of {', '.join(get_args(LostFiles))}, not {policy!r}")
        #: The changes that nobody has taken yet.
        self.changes: Final[list[FileChange]] = []
        self._counts: Final = counts
        self._unit: Final = unit
        self.policy: Final = policy

    def apply(self, file: OutputFile, state: FileState, lost: int) -> None:
        """Report the change of a file.

        Raises:
            OutputError: the policy is `fail`.
        """
        change = FileChange(time.time_ns(), str(file.path), state.value, self._unit, lost, self.policy)
        self.changes.append(change)
        if self.policy == "fail":
            raise OutputError(
                f"cannot write {file.path}: another program has {state.value} it, and {lost:,} {self._unit} are lost; "
                "let no other program change files that are being written, or choose lost_files='recreate'",
                path=str(file.path),
            )


def create(
    names: FileNames, *, header: bytes = b"", mode: int = PRIVATE_MODE, is_part: bool = False, makes_folder: bool
) -> OutputFile:
    """Create the next file.

    Args:
        names: the names. If a file with the next name exists, the name after it is tried.
        header: the first bytes of the file. With a header, the file gets its name when the header is in it.
        mode: the permissions of the file.
        is_part: whether to leave the suffix `.part` at its name.
        makes_folder: whether to create the folder if it is missing.

    Raises:
        OutputError: the folder or the file cannot be created.
    """
    attempts = 0
    while True:
        path = names.next()
        attempts += 1
        try:
            return _create(path, header, mode, is_part=is_part, makes_folder=makes_folder)
        except FileExistsError as exc:
            if path == names.given or attempts == _MAX_NAMES:
                raise output_error(exc, path) from exc
        except (OSError, ValueError) as exc:  # ValueError: a NUL character in the path.
            raise output_error(exc, path) from exc


def _create(path: Path, header: bytes, mode: int, *, is_part: bool, makes_folder: bool) -> OutputFile:
    has_part = bool(header) or is_part
    if is_part and path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    first_path = path.with_name(path.name + PART_SUFFIX) if has_part else path
    try:
        file = OutputFile(first_path, mode)
    except FileNotFoundError:
        if not makes_folder:
            raise
        path.parent.mkdir(parents=True, exist_ok=True)
        file = OutputFile(first_path, mode)
    try:
        file.append(header)
        if has_part and not is_part:
            file.publish(path)
    except BaseException:
        # This also frees space.
        file.remove()
        raise
    return file

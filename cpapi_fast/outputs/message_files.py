"""MessageFiles: files of complete messages that roll, and are checked before each write: the capture and the events."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from cpapi_fast.clock import Clock
from cpapi_fast.errors import OutputError
from cpapi_fast.new_file import PRIVATE_MODE

from .file_names import FileNames
from .interface import OutputCounts, output_error
from .output_file import FileState, FinishedFiles, LossPolicy, OutputFile, create

_NEVER: Final = float("inf")


class MessageFiles:
    """Appends messages to a file, and begins the next file when the current one is old or large enough.

    Each message is in a file completely, or not at all. Before each message, at each `check` and at the end, the path
    is compared with the open file: what another program has deleted is counted as lost.

    Args:
        names: the names of the files.
        counts: the counts of the output. The items of a message are pending until it is written.
        losses: what to do about a file that another program deleted, moved or changed.
        count_items: returns how many items of a file can be read.
        header: returns the first bytes of the next file.
        end: the last bytes of each file.
        mode: the permissions of the files.
        roll_interval_s: a file is finished this long after its first message, in seconds of `clock`; None for never.
        roll_bytes: a file is finished when it has this many bytes; None for never.
        clock: the clock of `roll_interval_s`.

    Attributes:
        header: returns the first bytes of the next file.
        error: the error after which nothing more is written; None before one.
        roll_at_s: when the current file is to be finished, in seconds of the clock; infinity if there is no such time.
    """

    def __init__(
        self,
        names: FileNames,
        counts: OutputCounts,
        losses: LossPolicy,
        count_items: Callable[[Path], int],
        *,
        header: Callable[[], bytes] = bytes,
        end: bytes = b"",
        mode: int = PRIVATE_MODE,
        roll_interval_s: float | None = None,
        roll_bytes: int | None = None,
        clock: Clock,
    ) -> None:
        self.error: OutputError | None = None
        self._names: Final = names
        self._counts: Final = counts
        self._losses: Final = losses
        self._count_items: Final = count_items
        self.header = header
        self._end: Final = end
        self._mode: Final = mode
        self._roll_interval_s: Final = roll_interval_s
        self._roll_bytes: Final = roll_bytes
        self._clock: Final = clock
        self._finished: Final = FinishedFiles(count_items)
        self._file: OutputFile | None = None
        self._items = 0
        self.roll_at_s = _NEVER
        # A folder that was there before is created again; another one is an error of the caller.
        self._had_folder = names.folder.is_dir()

    @property
    def paths(self) -> list[Path]:
        """The files that can be read, oldest first."""
        return [*map(Path, self._finished.paths), *([] if self._file is None else [self._file.path])]

    @property
    def nbytes(self) -> int:
        """The size of the current file, up to its last complete message; 0 without one."""
        return 0 if self._file is None else self._file.nbytes

    def begin(self) -> OutputFile:
        """Return the current file. Create it if there is none.

        Raises:
            OutputError: it cannot be created.
        """
        if self._file is not None:
            return self._file
        try:
            self._file = file = create(
                self._names,
                header=self.header(),
                mode=self._mode,
                makes_folder=self._had_folder and self._losses.policy == "recreate",
            )
        except OutputError as exc:
            self.error = exc
            raise
        self._items = 0
        self._had_folder = True
        return file

    def append(self, message: bytes | memoryview, items: int) -> None:
        """Write a message with `items` pending items, and count them as written.

        Raises:
            OutputError: it cannot be written, and its items are still pending; or it is written, and its file cannot be
                finished. The file then ends with its last complete message.
        """
        self.check()
        if self.roll_at_s <= self._clock.monotonic_s():
            self.finish()
        file = self.begin()
        try:
            file.append(message)
        except OSError as exc:
            self._fail(exc, file)
        if not self._items and self._roll_interval_s is not None:
            self.roll_at_s = self._clock.monotonic_s() + self._roll_interval_s
        self._items += items
        # Before the file is finished, which can take long and can fail.
        self._counts.pending -= items
        self._counts.written += items
        if self._roll_bytes is not None and file.nbytes >= self._roll_bytes:
            self.finish()

    def poll(self) -> float:
        """Check the current file, and finish it if that is due. Raises like `append`.

        Returns:
            The time until it is due, in seconds of the clock.
        """
        self.check()
        left_s = self.roll_at_s - self._clock.monotonic_s()
        if left_s > 0:
            return left_s
        self.finish()
        return _NEVER

    def check(self) -> None:
        """Compare the path of the current file with what was written.

        Raises:
            OutputError: another program has deleted, moved or changed it, and the policy is `fail`.
        """
        file = self._file
        if file is None:
            return
        try:
            state = file.state()
        except OSError as exc:
            self._fail(exc, file)
        if state is FileState.INTACT:
            return
        self._take_file()
        lost = self._leave(file, state)
        try:
            self._losses.apply(file, state, lost)
        except OutputError as exc:
            self.error = exc
            raise

    def finish(self) -> None:
        """Finish the current file. The next message begins a new one. Raises like `append`."""
        self.check()
        file = self._file
        if file is None:
            return
        try:
            file.append(self._end)
            file.sync()
        except OSError as exc:
            self._fail(exc, file)
        # Another program may have been faster than the end.
        self.check()
        if self._file is not None:
            self._finished.add(file, self._items)
            self._take_file()
            file.close()

    def close(self) -> None:
        """Finish the current file, and correct the counts for files that are not there any more. Idempotent.

        After an error, only close the file. Raises like `append`.
        """
        try:
            if self.error is None:
                self.finish()
        finally:
            file = self._take_file()
            if file is not None:
                file.close()
            self._finished.settle(self._counts)

    def _take_file(self) -> OutputFile | None:
        """Return the current file. After that there is none, until the next message begins one."""
        file, self._file = self._file, None
        self.roll_at_s = _NEVER
        return file

    def _leave(self, file: OutputFile, state: FileState) -> int:
        """Close the current file, and count what of it cannot be read any more. Returns how many items are lost."""
        readable = 0
        if state is FileState.MOVED:
            # What is in it stays readable under its other name.
            with suppress(OSError):
                file.append(self._end)
            self._counts.take_away(self._items)
            readable = self._items
        elif state is not FileState.DELETED:
            readable = min(self._items, self._count_items(file.path))
            with suppress(OSError):
                if readable or not self._items:
                    self._finished.add(file, readable)
                elif file.path.stat().st_size == 0:
                    # Empty, and in the way of programs that read all files of the folder.
                    file.remove()
        file.close()
        self._counts.lose(self._items - readable, state.value)
        return self._items - readable

    def _fail(self, exc: OSError, file: OutputFile) -> NoReturn:
        # What is in the file stays readable: `append` has removed what is not complete.
        self.error = output_error(exc, file.path)
        self._take_file()
        try:
            state = file.state()
        except OSError:
            state = FileState.INTACT
        self._leave(file, state)
        raise self.error from exc

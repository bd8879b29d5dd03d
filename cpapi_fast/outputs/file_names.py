"""Names of files that sort in the order in which the files were begun."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

#: How far the difference of the two clocks may change without a look at the folder: the resolution of names. The
#: clocks are read one after the other.
_STEP_NS: Final = 1_000

#: How long the folder is read for each name after the time of the latest name in it, in microseconds.
_DOUBTFUL_US: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

#: The last time that a name can have, in microseconds since the Unix epoch: the end of the year 9998.
_LAST_US: Final = int((datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000 - 1

#: The time in a name.
TIME_IN_NAME: Final = re.compile(r"\d{8}T\d{6}\.\d{6}Z")

# Names of earlier versions have no fraction of a second. The counter behind it is not needed here.
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(?:\.(\d{6}))?Z")


def time_in_name(time_us: int) -> str:
    """Return a time as it is in names, in UTC: `20260102T143000.123456Z`. Its width never changes."""
    moment = _EPOCH + timedelta(microseconds=time_us)
    return f"{moment.year:04d}{moment:%m%dT%H%M%S.%f}Z"


def new_run(folder: Path) -> str:
    """Return six random hexadecimal digits that no name of a file in `folder` contains.

    The first one is a decimal digit, so that the name of a file never looks like an account.
    """
    try:
        names = "\n".join(path.name for path in folder.iterdir())
    except OSError:
        names = ""
    while True:
        run = f"{secrets.randbelow(10)}{secrets.token_hex(3)[1:]}"
        if run not in names:
            return run


class FileNames:
    """The names of the files of one output in one folder: `<kind>-<time>[-<run>]<suffix>`.

    Names sort in the order in which they were taken: also after a restart, if several runs write to the folder, and if
    the system clock is set back. Then times in names count up in microseconds from the latest one, until the clock
    reaches it again.

    Args:
        folder: the folder.
        kind: the start of the names.
        suffix: the end of the names, such as `.parquet`.
        run: names the run, so that a pattern can select its files; empty for none.
        separator: what follows `kind`.
        clock_ns: returns the time, in ns since the Unix epoch.
        monotonic_ns: a clock that is never set, which shows when the other one is.
    """

    def __init__(
        self,
        folder: Path,
        kind: str,
        suffix: str,
        *,
        run: str = "",
        separator: str = "-",
        clock_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.folder: Final = folder
        #: A path that was given in place of a name; None without one.
        self.given: Path | None = None
        self._start = f"{kind}{separator}"
        self._end = f"-{run}{suffix}" if run else suffix
        self._clock_ns: Final = clock_ns
        self._monotonic_ns: Final = monotonic_ns
        self._latest_us = 0
        self._offset_ns = 0
        # Until then, the folder is read for each name. The first time it is always read.
        self._doubtful_us = _LAST_US
        self._reserved: Path | None = None

    def by(self, clock_ns: Callable[[], int]) -> FileNames:
        """Return the names of the same files by another clock, whose times need not rise."""
        names = FileNames(self.folder, "", "", clock_ns=clock_ns, monotonic_ns=lambda: 0)
        names._start, names._end = self._start, self._end
        return names

    def reserve(self) -> None:
        """Take the name now that `next` returns later, so that it has the time of the first item of its file."""
        if self._reserved is None:
            self._reserved = self.next()

    def next(self) -> Path:
        """Return the path of the next file. The file is not created, and the path may exist."""
        reserved, self._reserved = self._reserved, None
        if reserved is not None:
            return reserved
        now_ns = self._clock_ns()
        offset_ns = now_ns - self._monotonic_ns()
        now_us = now_ns // 1000
        if abs(offset_ns - self._offset_ns) > _STEP_NS or now_us <= self._doubtful_us:
            # The first name, or the clock was set. Names in the folder may have a later time: those of an earlier run,
            # or of another one that counts up too.
            self._latest_us = max(self._latest_us, self._latest_in_folder())
            self._doubtful_us = self._latest_us + _DOUBTFUL_US
        self._offset_ns = offset_ns
        self._latest_us = max(now_us, self._latest_us + 1)
        return self.folder / f"{self._start}{time_in_name(self._latest_us)}{self._end}"

    def _latest_in_folder(self) -> int:
        """The latest time in the names of this kind of file, in microseconds since the Unix epoch; 0 without one."""
        start = self._start
        try:
            with os.scandir(self.folder) as entries:
                names = [entry.name for entry in entries if entry.name.startswith(start)]
        except OSError:
            return 0
        return max((time_of_name(name[len(start) :]) for name in names), default=0)


class NamesAfter(FileNames):
    """A given path first, then names beside it that sort after it: `<name>_<time><suffix>`."""

    def __init__(self, path: Path) -> None:
        # An underscore, because a hyphen sorts before the dot of the suffix.
        super().__init__(path.parent, path.stem, path.suffix, separator="_")
        self.given = path
        self._is_given = False

    def next(self) -> Path:
        """Return the path of the next file. The file is not created, and the path may exist."""
        if self.given is not None and not self._is_given:
            self._is_given = True
            return self.given
        return super().next()


def time_of_name(text: str) -> int:
    """The time at the start of a text in microseconds since the Unix epoch; 0 without one, or beyond the last one."""
    match = _TIME.match(text)
    if match is None:
        return 0
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    fraction = match[7]
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0
    # A name without a fraction may be of any moment of its second.
    time_us = int((moment - _EPOCH).total_seconds()) * 1_000_000 + int(fraction or 999_999)
    return time_us if time_us < _LAST_US else 0

"""Recovery: finishes the files that killed runs have left in a folder, and finds the last frame of the runs before"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from cpapi_fast.errors import ConfigError, CpapiError
from cpapi_fast.outputs.interface import import_arrow, unfinished_files

from .capture_walk import CaptureWalk, last_received_ns
from .earlier_files import (
    InUseError,
    StoppedError,
    finish_capture,
    finish_events,
    has_whole_lines,
    is_finished_capture,
    is_in_use,
    locked,
)
from .rebuild import rebuild_table
from .run_files import RunFile, captures_of, run_file, run_files

#: How many of the latest runs are asked for their last frame: runs at the same time end in another order than they
#: begin.
_MOST_RUNS: Final = 8


def recover(folder: Path, report: Callable[[str], object], is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Finish the files of killed runs in a folder. Nothing is done to the files of runs that still write.

    The rows that a killed run had in memory or in an unfinished file are made again from its capture. Then its capture
    is finished, so that the next call knows that this is done. The recovery can be killed at any moment, and called
    again. What cannot be finished stays unchanged, and is reported.

    Args:
        folder: the folder of the runs.
        report: called with one line of text for each file that was changed, or cannot be.
        is_stopped: whether to stop. It is asked often; the next call does what is left.
    """
    try:
        files = run_files(folder)
        for path in unfinished_files(folder):
            if run_file(path) is None:
                report(f"found an unfinished file, left unchanged because its name is not that of a run: {path}")
    except OSError as exc:
        report(f"cannot look for unfinished files in {folder}: {exc.strerror or exc}")
        return
    runs: dict[str, list[RunFile]] = {}
    for one in files:
        runs.setdefault(one.run, []).append(one)
    try:
        for run, own in runs.items():
            if is_stopped():
                raise StoppedError
            unfinished = [one for one in own if _is_unfinished(one)]
            if unfinished:
                _recover_run(run, unfinished, folder, report, is_stopped)
    except StoppedError:
        report("stopped to finish the files of runs that were killed; the next run in this folder does the rest")


def _is_unfinished(found: RunFile) -> bool:
    if found.is_part:
        return True
    if found.kind == "events":
        return not has_whole_lines(found.path)
    return found.kind == "capture" and not is_finished_capture(found.path)


def _recover_run(
    run: str,
    unfinished: Sequence[RunFile],
    folder: Path,
    report: Callable[[str], object],
    is_stopped: Callable[[], bool],
) -> None:
    with ExitStack() as stack:
        try:
            open_files = {one: stack.enter_context(locked(one.path)) for one in unfinished}
            # Another recovery may have finished them since they were listed. Only now nobody else changes them.
            files = [one for one in run_files(folder) if one.run == run]
            if [one for one in files if _is_unfinished(one)] != list(unfinished):
                return
        except FileNotFoundError:
            # Another recovery has finished it.
            return
        except InUseError as exc:
            if str(exc):
                report(f"left the unfinished files of the run {run} unchanged: {exc}")
            return
        except OSError as exc:
            report(f"left the unfinished files of the run {run} unchanged: {exc.strerror or exc}")
            return
        are_tables_done = True
        for name in _tables_of(run, files):
            parts = [str(one.path) for one in unfinished if one.kind == name]
            what = ", ".join(parts) or f"the table {name} of the run {run}"
            are_tables_done &= _try(partial(rebuild_table, name, run, files, is_stopped), what, report)
        for one, file in open_files.items():
            if one.kind == "events":
                _try(partial(finish_events, one, file), str(one.path), report)
            elif one.kind == "capture" and are_tables_done:
                _try(partial(finish_capture, one, file, is_stopped), str(one.path), report)


def _tables_of(run: str, files: Sequence[RunFile]) -> list[str]:
    """The tables of a run: those with files, and those that its capture names."""
    found = {one.kind: None for one in files if one.run == run and one.kind not in ("capture", "events")}
    for capture in captures_of(files, run):
        try:
            names = orjson.loads(CaptureWalk(capture.path).text("tables") or "[]")
        except (CpapiError, ValueError):
            continue
        found.update(dict.fromkeys(names))
        break
    return list(found)


def _try(action: Callable[[], str], what: str, report: Callable[[str], object]) -> bool:
    """Call a function and report its result. Returns False if a later attempt may succeed."""
    arrow = import_arrow("pyarrow")
    try:
        text = action()
    except StoppedError:
        raise
    # A file of another program or version must not end the run that is being recorded.
    except (CpapiError, OSError, ValueError, TypeError, LookupError, MemoryError, arrow.ArrowException) as exc:
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        report(f"cannot finish a file of a run that was killed, left unchanged: {what}: {reason}")
        return isinstance(exc, ConfigError)
    if text:
        report(text)
    return True


def last_frame_ns(folder: Path) -> int | None:
    """The receive time of the last frame of all runs in a folder that have ended, in ns since the Unix epoch.

    Runs that still write do not count, as far as the file system has locks. Of each run, only the end of its last
    capture is read. Nothing is changed, so captures that cannot be written count.

    Returns:
        None if there is no such frame.
    """
    try:
        files = [one for one in run_files(folder) if one.kind == "capture"]
    except OSError:
        return None
    times: dict[str, int] = {}
    for found in reversed(files):
        if found.run in times or (len(times) == _MOST_RUNS):
            continue
        if is_in_use(found.path):
            # The files of this run before this one do not count, either.
            times[found.run] = 0
            continue
        try:
            last_ns = last_received_ns(found.path)
        except (CpapiError, OSError):
            continue
        if last_ns is not None:
            times[found.run] = last_ns
    return max(times.values(), default=0) or None

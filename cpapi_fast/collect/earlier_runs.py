"""EarlierRuns: what a run does about those before it in its folder: the gap since their last frame, and their files"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cpapi_fast.events import Cause, FeedEvent, Gap
from cpapi_fast.files.recovery import last_frame_ns, recover
from cpapi_fast.frames.batch import Batch

#: How long the end of a run waits for the files of those before it.
_LONGEST_WAIT_S: Final = 10.0


class EarlierRuns:
    """The runs before one in a folder.

    Args:
        folder: the folder.
        report: called in the loop with one line of text for each file that was finished, or cannot be.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._report = report
        self._last_ns: int | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._is_stopped = threading.Event()

    async def begin(self) -> None:
        """Find the last frame, and begin to finish files in a thread. Call it before the run opens its own files."""
        loop = asyncio.get_running_loop()
        self._last_ns = await asyncio.to_thread(last_frame_ns, self._folder)

        def report(text: str) -> None:
            # The loop is closed if the run could not open its own files.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._report, text)

        recovery = asyncio.to_thread(recover, self._folder, report, self._is_stopped.is_set)
        self._recovery = asyncio.create_task(recovery, name="cpapi_fast recovery")

    def gap_until(self, first_ns: int | None) -> Gap | None:
        """The gap since the last frame of the runs before; None without one, and from the second call on.

        Args:
            first_ns: the receive time of the first frame of this run; None if there was none.
        """
        last_ns, self._last_ns = self._last_ns, None
        if last_ns is None:
            return None
        # Where the clock was set back between the runs, the gap has no length, rather than a negative one.
        return Gap(None, last_ns if first_ns is None else min(last_ns, first_ns), first_ns, Cause.NOT_RUNNING)

    def with_gap(self, items: list[Batch | FeedEvent]) -> list[Batch | FeedEvent]:
        """Return the items with the gap before the first batch, if it was not reported yet."""
        if self._last_ns is None:
            return items
        for index, item in enumerate(items):
            if isinstance(item, Batch):
                gap = self.gap_until(item.received_ns[0])
                return [*items[:index], *([] if gap is None else [gap]), *items[index:]]
        return items

    async def finish(self) -> None:
        """Wait until the files are finished, for ten seconds at most. The next run does what is left."""
        if self._recovery is None:
            return
        try:
            await asyncio.wait([self._recovery], timeout=_LONGEST_WAIT_S)
        finally:
            self.stop()
        await self._recovery

    @contextmanager
    def stopped_by_error(self) -> Iterator[None]:
        """Stop if what is done meanwhile fails, so that the process can end."""
        try:
            yield
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop at the next batch. The next run does what is left. Idempotent."""
        self._is_stopped.set()

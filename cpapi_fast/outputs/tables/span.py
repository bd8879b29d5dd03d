"""Span: which items of its run a file of a table has, in the metadata of the file"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, NamedTuple

from cpapi_fast.events import Cause, Gap

#: The key of the metadata.
SPAN_KEY: Final = "cpapi_fast.span"


class Place(NamedTuple):
    """A place in the items of a run. An item is a market data frame, or an update in a message of another table.

    Attributes:
        frame: how many frames of the run are before the batch of the item.
        item: how many items of that batch, or of the list of orders after it, are before the item.
    """

    frame: int
    item: int


class Span(NamedTuple):
    """The items of one file of a table: those from `start` up to `end`.

    Attributes:
        file_number: the number of the file in its run and table, from 1.
        start, end: where they begin and end. `start` is the `end` of the file before.
        items: how many items there are between them. Those that have no row were dropped.
    """

    file_number: int
    start: Place
    end: Place
    items: int

    def metadata(self) -> dict[str, str]:
        """The entry of the metadata of a file."""
        fields = {"file_number": self.file_number, "start": self.start, "end": self.end, "items": self.items}
        return {SPAN_KEY: json.dumps(fields)}

    @classmethod
    def of(cls, metadata: Mapping[str, str] | Mapping[bytes, bytes]) -> Span:
        """The span in the metadata of a file.

        Raises:
            ValueError: there is none, or it is damaged.
        """
        text = next((value for key, value in metadata.items() if key in (SPAN_KEY, SPAN_KEY.encode())), None)
        if text is None:
            raise ValueError(f"the metadata has no {SPAN_KEY}")
        try:
            found = json.loads(text)
            start, end = (Place(*map(int, found[name])) for name in ("start", "end"))
            return cls(int(found["file_number"]), start, end, int(found["items"]))
        except (KeyError, TypeError, ValueError) as exc:
            raise ValueError(f"the {SPAN_KEY} of the metadata is damaged") from exc


class SpanCounter:
    """Counts the items of a table while they are written, for the span of each file.

    Attributes:
        is_batch: whether the items that are taken are those of a batch. Those of a list of orders do not count.
    """

    def __init__(self) -> None:
        self.is_batch = True
        self._file_number = 1
        self._start = Place(0, 0)
        self._place = Place(0, 0)
        self._items = 0

    def continue_after(self, span: Span) -> None:
        """Count on from the end of a finished file, whose last items the next batch begins with."""
        self._start, self._place = span.end, Place(span.end.frame, 0)
        self._file_number = span.file_number + 1

    def skip(self, count: int) -> None:
        """Pass items of the current batch that are in the file before."""
        self._place = Place(self._place.frame, self._place.item + count)

    def take(self, count: int) -> None:
        """Count items of the current batch."""
        if self.is_batch:
            self._place = Place(self._place.frame, self._place.item + count)
            self._items += count

    def pass_batch(self, frames: int) -> None:
        """Count the frames of a batch whose items were all taken."""
        self._place = Place(self._place.frame + frames, 0)

    def observe_event(self, event: object) -> None:
        """Count the frames that did not reach the table: an output gets a gap with their number before the next one."""
        if isinstance(event, Gap) and event.cause is Cause.CONSUMER_OVERFLOW:
            self.pass_batch(event.frames_dropped or 0)

    def metadata(self) -> dict[str, str]:
        """The metadata of the current file, if it ends here."""
        return Span(self._file_number, self._start, self._place, self._items).metadata()

    def end_file(self, metadata: Mapping[str, str]) -> None:
        """Begin the next file where the one with this metadata ends."""
        span = Span.of(metadata)
        self._start, self._file_number = span.end, span.file_number + 1
        self._items -= span.items
